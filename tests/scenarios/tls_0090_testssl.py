"""What testssl.sh says of the default configuration."""

import json

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
