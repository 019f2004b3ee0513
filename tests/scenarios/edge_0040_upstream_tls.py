"""TLS to servers: verified always, resumed where it can be, and each way to fail told for what it is."""

import shutil
import socket
import ssl
import threading
from pathlib import Path

import pytest

from stage.certs import Authority
from stage.haproxy import Haproxy

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("strangers"))


def app(origin, tls, more=""):
    return f"upstreams: {{app: {{servers: '{origin}', tls: {tls}{more}}}}}\n"


@pytest.mark.smoke
def test_requests_go_over_tls_and_kept_connections_serve_again(origins, forebay, certs):
    o1 = origins("o1", certs.certificate("127.0.0.1").server_context())
    o1.on("GET /a").reply(200, "here", cache_control="no-store")
    o1.on("POST /a").reply(201, "made")
    o1.on("GET /big").reply(200, b"x" * 3_000_000, cache_control="no-store")
    w1 = forebay(app(o1, f"{{ca: {certs.cert}}}") + "workers: 1\n")
    w1.wait_ready()
    for _ in range(3):
        w1.get("/a").expect(200, "here")
    w1.post("/a", b"y" * 300_000).expect(201, "made")
    assert len(w1.get("/big").expect(200).body) == 3_000_000
    assert len(o1.requests[3].body) == 300_000
    assert len({request.connection for request in o1.requests}) == 1
    assert w1.metric("forebay_upstream_tls_handshakes_total") == 1


def test_another_connection_resumes_the_session(origins, forebay, certs):
    o1 = origins("o1", certs.certificate("127.0.0.1").server_context())
    o1.on("GET /a").reply(200, "here", cache_control="no-store", then="close")
    w1 = forebay(app(o1, f"{{ca: {certs.cert}}}") + "workers: 1\n")
    for _ in range(4):
        w1.get("/a").expect(200, "here")
    assert w1.metric("forebay_upstream_tls_handshakes_total") == 4
    assert w1.metric("forebay_upstream_tls_resumed_total") == 3


def fails(w1, end, error, said):
    """Each time; and the log says so once."""
    for _ in range(3):
        assert error in w1.get("/a").expect(502).headers.get("Proxy-Status")
    assert {line["fetch_end"] for line in w1.access(3)} == {end}
    told = [line for line in w1.log.splitlines() if "upstream app, server" in line]
    assert len(told) == 1 and said in told[0], told
    assert w1.metric("forebay_upstream_tls_failures_total") == 3


WRONG = {
    "unknown authority": ("strangers", ["127.0.0.1"], 30, "unable to get local issuer certificate"),
    "expired": ("certs", ["127.0.0.1"], -1, "certificate has expired"),
    "another address": ("certs", ["127.0.0.2"], 30, "IP address mismatch"),
    "a name instead": ("certs", ["app.example"], 30, "IP address mismatch"),
}


@pytest.mark.parametrize("who, names, days, said", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_certificate_is_never_accepted(origins, forebay, certs, strangers, who, names, days, said):
    authority = {"certs": certs, "strangers": strangers}[who]
    o1 = origins("o1", authority.certificate(*names, days=days, file=f"wrong{days}{names[0]}").server_context())
    w1 = forebay(app(o1, f"{{ca: {certs.cert}}}"))
    fails(w1, "tls_certificate", "error=tls_certificate_error", said)
    assert o1.requests == []


def test_the_system_knows_no_authority_of_ours(origins, forebay, certs):
    o1 = origins("o1", certs.certificate("127.0.0.1").server_context())
    fails(forebay(app(o1, "on")), "tls_certificate", "error=tls_certificate_error", "unable to get local issuer certificate")


def test_the_name_is_told_and_verified(origins, forebay, certs):
    told = []
    context = certs.certificate("app.example", "other.example").server_context()
    context.sni_callback = lambda sock, name, ctx: told.append(name)
    o1 = origins("o1", context)
    o1.on("GET /a").reply(200, "here", cache_control="no-store")
    conf = app(o1, f"{{ca: {certs.cert}, name: NAME}}")
    w1 = forebay(conf.replace("NAME", "app.example"))
    w1.get("/a", host="shop.example").expect(200, "here")
    w1.reload(conf.replace("NAME", "third.example"))
    w1.get("/a").expect(502)
    w1.wait_log("hostname mismatch")
    w1.reload(conf.replace("NAME", "other.example"))
    w1.get("/a").expect(200, "here")
    assert told == ["app.example", "third.example", "other.example"]


def test_a_server_by_name_is_verified_by_it(origins, forebay, certs):
    o1 = origins("o1", certs.certificate("localhost").server_context())
    o1.on("GET /a").reply(200, "here")
    w1 = forebay(app(f"localhost:{str(o1).rpartition(':')[2]}", f"{{ca: {certs.cert}}}", ", host: server"))
    w1.get("/a").expect(200, "here")
    assert o1.requests[0].headers.get("Host") == f"localhost:{str(o1).rpartition(':')[2]}"


def demanding(certs, versions=()):
    context = certs.certificate("127.0.0.1").server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certs.cert)
    for name, value in versions:
        setattr(context, name, value)
    return context


@pytest.mark.parametrize("versions", [[("maximum_version", ssl.TLSVersion.TLSv1_2)], []], ids=["1.2", "1.3"])
def test_a_client_certificate_where_one_is_demanded(origins, forebay, certs, versions):
    o1 = origins("o1", demanding(certs, versions))
    o1.on("GET /a").reply(200, "here", cache_control="no-store")
    us = certs.certificate("forebay.example")
    w1 = forebay(app(o1, f"{{ca: {certs.cert}, cert: {us.cert}, key: {us.key}}}"))
    w1.get("/a").expect(200, "here")
    w1.reload(app(o1, f"{{ca: {certs.cert}}}"))
    r = w1.get("/a").expect(502)
    if versions:                        # with TLS 1.3 the reset behind the alert may overtake it
        assert "error=tls_alert_received" in r.headers.get("Proxy-Status")
        w1.wait_log("upstream app, server .*TLS: .*alert")


def test_versions_that_do_not_meet(origins, forebay, certs):
    context = certs.certificate("127.0.0.1").server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    o1 = origins("o1", context)
    o1.on("GET /a").reply(200, "here", cache_control="no-store")
    w1 = forebay(app(o1, f"{{ca: {certs.cert}}}"))
    w1.get("/a").expect(200, "here")
    w1.reload(app(o1, f"{{ca: {certs.cert}, min_version: 1.3}}"))
    assert "error=tls_alert_received" in w1.get("/a").expect(502).headers.get("Proxy-Status")


def test_a_server_that_speaks_plainly_gets_no_request(forebay, certs):
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as plain:
        def serve():
            for _ in range(3):
                sock = plain.accept()[0]
                seen.append(sock.recv(10000))
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                sock.close()
        threading.Thread(target=serve, daemon=True).start()
        w1 = forebay(app(f"127.0.0.1:{plain.getsockname()[1]}", f"{{ca: {certs.cert}}}"))
        fails(w1, "tls_failed", "error=tls_protocol_error", "TLS: wrong version number")
    assert not any(b"GET" in bytes for bytes in seen)


@pytest.mark.parametrize("framed, end", [("close", "truncated"), ("length", "")])
def test_an_end_without_goodbye_is_no_end_of_a_body(origins, forebay, certs, framed, end):
    o1 = origins("o1", certs.certificate("127.0.0.1").server_context())
    o1.on("GET /a").reply(200, "here", cache_control="no-store", framing=framed, then="close")
    w1 = forebay(app(o1, f"{{ca: {certs.cert}}}"))
    w1.get("/a")
    assert w1.access()[0]["fetch_end"] == end
    assert "server 127" not in w1.log          # no trouble of TLS's


def test_a_handshake_that_never_ends_is_bounded_by_the_connect_timeout(forebay, certs):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        w1 = forebay(app(f"127.0.0.1:{silent.getsockname()[1]}", f"{{ca: {certs.cert}}}", ", timeouts: {connect: 200ms}"))
        w1.get("/a").expect(504)
        assert w1.access()[0]["fetch_end"] == "connect_slow"


def test_the_next_server_stands_in(origins, forebay, certs, strangers):
    bad = origins("bad", strangers.certificate("127.0.0.1").server_context())
    good = origins("good", certs.certificate("127.0.0.1").server_context())
    good.on("POST /a").reply(201, "made")
    w1 = forebay(f"upstreams: {{app: {{servers: ['{bad}', '{good}'], tls: {{ca: {certs.cert}}}}}}}\n")
    for _ in range(4):
        w1.post("/a", b"x").expect(201, "made")


@pytest.mark.tsan
def test_a_reload_keeps_connections_where_nothing_changed_and_reads_changed_files(origins, forebay, certs, strangers, tmp_path):
    ca = tmp_path / "ca.pem"
    shutil.copy(certs.cert, ca)
    o1 = origins("o1", certs.certificate("127.0.0.1").server_context())
    o1.on("GET /a").reply(200, "here", cache_control="no-store")
    conf = app(o1, f"{{ca: {ca}}}") + "workers: 1\n"
    w1 = forebay(conf)
    w1.get("/a").expect(200, "here")
    w1.reload(conf + "limits: {head_timeout: 9s}\n")
    w1.get("/a").expect(200, "here")
    assert o1.connections == 1
    ca.write_bytes(strangers.cert.read_bytes() + b"\n")
    w1.reload(conf)
    w1.get("/a").expect(502)
    ca.write_bytes(certs.cert.read_bytes() + b"\n\n")
    w1.reload(conf)
    w1.get("/a").expect(200, "here")


def test_haproxy_on_a_unix_socket_announced_and_over_tls(origin, forebay, certs, tmp_path):
    made = certs.certificate("app.example")
    both = tmp_path / "both.pem"
    both.write_bytes(made.cert.read_bytes() + made.key.read_bytes())
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    haproxy = Haproxy(tmp_path, f"""
defaults
    mode http
    timeout connect 60s
    timeout client 60s
    timeout server 60s
frontend in
    bind unix@{tmp_path}/app.sock mode 666 accept-proxy ssl crt {both}
    http-request set-header X-Seen "%[src] %[ssl_fc_sni]"
    default_backend out
backend out
    server origin {origin}
""")
    try:
        w1 = forebay(app(f"unix:{tmp_path}/app.sock", f"{{ca: {certs.cert}, name: app.example}}", ", proxy_protocol: v2"))
        w1.client(source="127.0.0.7").get("/a").expect(200, "here")
    finally:
        haproxy.kill()
    assert origin.requests[0].headers.get("X-Seen") == "127.0.0.7 app.example"


@pytest.mark.parametrize("server, tls, said", [
    ("127.0.0.1:1", "{ca: /nowhere.pem}", "/nowhere.pem: No such file"),
    ("127.0.0.1:1", "{ca: forebay.yaml}", "authorities in"),
    ("127.0.0.1:1", "{cert: a.pem}", "key is missing"),
    ("127.0.0.1:1", "{min_version: 1.1}", "1.2"),
    ("unix:/run/app.sock", "on", "a unix socket has no name"),
])
def test_bad_values_are_told_in_their_place(cli, tmp_path, server, tls, said):
    path = tmp_path / "forebay.yaml"
    path.write_text(f"listen: ':8080'\nupstreams: {{app: {{servers: '{server}', tls: {tls}}}}}\nroutes: [{{match: /**}}]\n")
    done = cli("check", "-c", path)
    assert done.returncode != 0 and "forebay.yaml:2:" in done.stderr and said in done.stderr, done.stderr


def test_the_example_means_what_it_says(origins, forebay, certs):
    us = certs.certificate("forebay.example")
    context = certs.certificate("app.internal").server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certs.cert)
    o1 = origins("o1", context)
    o1.on("GET /a").reply(200, "here")
    text = OPERATIONS.read_text().partition("## TLS to servers")[2].partition("```yaml\n")[2].partition("```")[0]
    text = text.replace("10.0.0.5:8443, 10.0.0.6:8443", str(o1))
    for file, made in (("internal-ca.pem", certs.cert), ("forebay.pem", us.cert), ("forebay.key", us.key)):
        text = text.replace(f"/etc/forebay/tls/{file}", str(made))
    forebay(text).get("/a").expect(200, "here")
