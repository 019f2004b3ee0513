"""docs/operations.md, TLS: its commands, run as they stand there, but for paths, names and ports."""

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from stage.peers import curl, run, tool
from stage.process import Process
from stage.waiting import ports, wait_until

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
PAGE = PAGE[PAGE.index("\n## TLS\n"):PAGE.index("\n## TLS to servers\n")]


def block(begins):
    """The commands of the block on the page that begins so."""
    return re.search(r"^```\n(" + re.escape(begins) + r".*?)^```$", PAGE, re.M | re.S)[1]


def shell(text, directory):
    return run("bash", "-c", "set -e\n" + text, cwd=directory).expect()


@pytest.fixture
def authority(certs, tmp_path):
    """An ACME authority, and a name server for which every name is this machine. Gives how certbot is to be called, and a root."""
    started = []

    def start(http_port):
        own = certs.certificate("localhost", "127.0.0.1", file="acme")
        dns, acme, manage = (ports.free() for _ in range(3))
        conf = tmp_path / "pebble.json"
        conf.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{acme}", "managementListenAddress": f"127.0.0.1:{manage}", "certificate": str(own.cert),
            "privateKey": str(own.key), "httpPort": http_port, "tlsPort": ports.free(), "ocspResponderURL": "",
            "externalAccountBindingRequired": False}}))
        started.append(Process("names", [tool("pebble-challtestsrv", "pebble"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-dns01",
                                         f"127.0.0.1:{dns}", "-http01", "", "-https01", "", "-tlsalpn01", "", "-management",
                                         f"127.0.0.1:{ports.free()}"], tmp_path / "names.log"))
        quick = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        started.append(Process("pebble", [tool("pebble", "pebble"), "-config", conf, "-dnsserver", f"127.0.0.1:{dns}"],
                               tmp_path / "pebble.log", env=quick))
        root = tmp_path / "root.pem"
        wait_until(lambda: curl("--cacert", certs.cert, f"https://127.0.0.1:{manage}/roots/0", "-o", root).code == 0, "pebble to answer")
        return f"https://127.0.0.1:{acme}/dir", root
    yield start
    for process in started:
        process.kill()


@pytest.mark.slow
@pytest.mark.patience(300)
def test_certbot_gets_a_certificate_and_renews_it_without_a_reload(origin, forebay, authority, certs, tmp_path):
    origin.on("GET /").reply(200, "home")
    plain, secure = ports.free(), ports.free()
    challenges = tmp_path / "www/.well-known/acme-challenge"
    challenges.mkdir(parents=True)
    example = re.search(r"^```yaml\n(listen:.*?)^```$", PAGE, re.M | re.S)[1]
    for there, here in (("/var/www", tmp_path / "www"), ("/etc/letsencrypt", tmp_path / "etc"), ('":80"', f"'127.0.0.1:{plain}'"),
                        ('":443"', f"'127.0.0.1:{secure}'"), ("https_redirect: on", f"https_redirect: {secure}")):
        example = example.replace(there, str(here))
    example = re.sub(r".*/etc/forebay/tls/wild.*\n", "", example)
    first = re.sub(r"^  - address: .*?(?=^acme)", "", example, flags=re.M | re.S)      # the page: begin with the first listener alone
    w1 = forebay(first, app=origin)
    server, root = authority(plain)

    def certbot(command):
        words = [str(tmp_path / "www") if word == "/var/www" else word for word in shlex.split(command)]
        run(tool("certbot", "certbot"), *words[1:], "--server", server, "--config-dir", tmp_path / "etc", "--work-dir", tmp_path / "work",
            "--logs-dir", tmp_path / "logs", "--non-interactive", "--no-random-sleep-on-renew" if "renew" in words else "-v", timeout=120,
            env={"REQUESTS_CA_BUNDLE": str(certs.cert)}).expect()

    def home():
        return curl("--cacert", root, "--resolve", f"example.com:{secure}:127.0.0.1", "-w", " %{http_version}", f"https://example.com:{secure}/").expect().out
    try_it = re.search(r"`(echo ok >\S+); curl http://localhost(\S+)`", PAGE)
    shell(try_it[1].replace("/var/www", str(tmp_path / "www")), tmp_path)
    assert curl(f"http://127.0.0.1:{plain}{try_it[2]}").out == "ok\n"

    certbot(block("certbot certonly") + " --agree-tos --register-unsafely-without-email")
    w1.reload(example)
    assert home().startswith("home 2")
    assert curl("-o", "/dev/null", "-w", "%{redirect_url}", f"http://127.0.0.1:{plain}/a").out.endswith(f":{secure}/a")
    before = (tmp_path / "etc/live/example.com/fullchain.pem").resolve()
    certbot("certbot renew --force-renewal")
    assert (tmp_path / "etc/live/example.com/fullchain.pem").resolve() != before
    w1.wait_metric("forebay_tls_certificate_reloads_total", 1, result="renewed")
    assert home().startswith("home 2") and w1.metric("forebay_config_generation") == 2


def test_clients_show_certificates_of_an_authority_made_by_the_page(origin, forebay, certs, tmp_path):
    origin.on("GET /").reply(200, "home")
    shell(block("openssl req -x509"), tmp_path)
    pair = certs.certificate("example.com")
    w1 = forebay(f"listen: [{{address: '127.0.0.1:@PORT@', tls: {{certificates: [{{cert: {pair.cert}, key: {pair.key}}}], "
                 f"client_ca: {tmp_path / 'clients.pem'}}}}}]", app=origin)
    try_it = re.search(r"`curl (--cert jane.pem --key jane.key) https://example.com/`", PAGE)[1].split()
    there = ("--cacert", certs.cert, "--resolve", f"example.com:{w1.port()}:127.0.0.1", f"https://example.com:{w1.port()}/")
    assert curl(*try_it, *there, cwd=tmp_path).expect().out == "home"
    assert origin.last().headers["Client-Cert"].startswith(":MI")
    assert curl(*there).code != 0


def test_the_command_of_the_page_makes_ticket_keys_that_instances_share(origin, forebay, certs, tmp_path):
    origin.on("GET /").reply(200, "home")
    pair, keys = certs.certificate("localhost"), tmp_path / "tickets"
    again = block("umask 077")
    shell(again, tmp_path)
    conf = f"listen: [{{address: '127.0.0.1:@PORT@', tls: {{certificates: [{{cert: {pair.cert}, key: {pair.key}}}], ticket_keys: {keys}}}}}]"
    w1, w2 = forebay(conf, app=origin), forebay(conf, app=origin)
    assert len(keys.read_text().split()) == 1 and keys.stat().st_mode & 0o077 == 0

    def visit(member, *known):
        out = run("openssl", "s_client", "-connect", member, *known, "-ign_eof",
                  feed="GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").out
        return "Reused, TLS" in out
    session = tmp_path / "session"
    assert not visit(w1, "-sess_out", session) and visit(w2, "-sess_in", session)
    for n in (2, 3, 3):
        shell(again, tmp_path)
        assert len(keys.read_text().split()) == n
    for member in (w1, w2):
        member.wait_metric("forebay_tls_ticket_rotations_total", lambda n: n >= 1, result="renewed")
    assert visit(w2, "-sess_in", session)
