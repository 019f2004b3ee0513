"""What testssl.sh says of the default configuration."""

import json
import re

import pytest

from stage.peers import run, tool

NOT_OURS = ("cert_revocation", "DNS_CAArecord", "OCSP_stapling", "certificate_transparency")    # what an authority or DNS has to say


@pytest.mark.slow
@pytest.mark.patience(240)
def test_testssl_finds_nothing_above_low(origin, forebay, certs, tmp_path):
    origin.on("/*").reply(200, "home")
    pair = certs.certificate("localhost", days=300, file="for-testssl")
    w1 = forebay(f"listen: [{{address: '127.0.0.1:@PORT@', tls: [{{cert: '{pair.cert}', key: '{pair.key}'}}]}}]", app=origin)
    findings = tmp_path / "findings.json"
    run(tool("testssl", "testssl.sh"), "--quiet", "--color", "0", "--warnings", "off", "--fast", "--ip", "one", "--add-ca", certs.cert,
        "--protocols", "--server-defaults", "--server-preference", "--fs", "--vulnerable", "--jsonfile", findings,
        f"localhost:{w1.port()}", timeout=180)
    found = json.loads(findings.read_text())
    said = {finding["id"]: finding for finding in found}
    assert said["TLS1_3"]["severity"] == said["TLS1_2"]["severity"] == "OK" and said["heartbleed"]["severity"] == "OK"
    bad = [finding for finding in found if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    assert not [finding for finding in bad if finding["id"] not in NOT_OURS]
    assert grade(said) == "A"
    # "sessionresumption_ticket" may be WARN: s_client without input leaves after the handshake, at times before the ticket has come.


def grade(said):
    """As SSL Labs' rating guide has it: 30 % protocols, 30 % key exchange, 40 % ciphers, each the mean of its best and worst; A from 80,
    B at most with TLS below 1.2 or without forward secrecy. Debian's testssl.sh gives none."""
    def mean(points):
        return (min(points) + max(points)) / 2
    worth = {"SSLv2": 0, "SSLv3": 80, "TLS1": 90, "TLS1_1": 95, "TLS1_2": 100, "TLS1_3": 100}
    protocols = [points for name, points in worth.items() if not said[name]["finding"].startswith("not offered")]
    ciphers = [100 if re.search("AES_?256|CHACHA20", cipher) else 80 for cipher in said["PFS_ciphers"]["finding"].split()]
    assert all(re.search("GCM|CHACHA20", cipher) for cipher in said["PFS_ciphers"]["finding"].split())
    exchange = 90 if said["cert_keySize"]["finding"] == "EC 256 bits" else 0         # as RSA of 3072
    points = 0.3 * mean(protocols) + 0.3 * exchange + 0.4 * mean(ciphers)
    is_capped = min(protocols) < 100 or said["PFS"]["severity"] != "OK" or not said["ROBOT"]["finding"].endswith("no RSA key transport cipher")
    return "A" if points >= 80 and not is_capped else "B or less"
