"""WebSockets to servers that are spoken to by HTTP/2: by HTTP/1.1 where ALPN agrees on it, else refused for what it is."""

import pytest

from stage.h2 import H2, HEADERS
from stage.h2app import app, c1, w1  # noqa: F401 (fixtures)

WEBSOCKET = dict(upgrade="websocket", connection="Upgrade", sec_websocket_version="13", sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==")


def over_tls(forebay, certs, origin):
    return forebay(f"workers: 1\nupstreams: {{app: {{servers: '{origin}', protocol: h2, tls: {{ca: {certs.cert}}}}}}}\n"
                   "routes: [{match: /**}]\n")


@pytest.fixture
def server(origins, certs):
    """Speaks HTTP/1.1 over TLS and agrees by ALPN to what the test says."""
    def run(*protocols):
        context = certs.certificate("127.0.0.1").server_context()
        if protocols:
            context.set_alpn_protocols(protocols)
        origin = origins("o1", context)
        origin.on("GET /chat").upgrade()
        return origin
    return run


def test_over_tls_http_1_1_is_agreed_on_for_the_websocket_alone(server, forebay, certs):
    w1 = over_tls(forebay, certs, server("http/1.1"))
    with w1.client() as c:
        c.ask("GET", "/chat", **WEBSOCKET).begin_answer().expect(101)
        c.send(b"spring flood")
        assert c.read(12) == b"spring flood"
    assert w1.get("/page").expect(502).headers["Proxy-Status"] == "forebay; error=http_protocol_error"
    assert w1.access(path="/page")[0]["fetch_end"] == "not_h2"


def test_a_websocket_over_http_2_goes_the_same_way(server, forebay, certs):
    w1 = over_tls(forebay, certs, server("http/1.1"))
    with H2(w1.address) as c1:
        stream = c1.open(c1.head("CONNECT", "/chat", [("sec-websocket-version", "13")], protocol="websocket"), end=False)
        assert dict(c1.next(HEADERS, stream=stream).fields)[":status"] == "200"


@pytest.mark.parametrize("protocols", [["h2"], []], ids=["h2", "no ALPN"])
def test_a_server_that_does_not_agree_gets_none_and_is_not_blamed(server, forebay, certs, protocols):
    w1 = over_tls(forebay, certs, server(*protocols))
    for _ in range(8):
        assert w1.get("/chat", **WEBSOCKET).expect(502).headers["Proxy-Status"] == "forebay; error=http_upgrade_failed"
    assert [line["fetch_end"] for line in w1.access(8)] == ["no_upgrade"] * 8
    w1.wait_log("upstream app: an upgrade \\(WebSocket\\) was refused: protocol is h2, and the server does not agree to HTTP/1.1 by ALPN")
    assert w1.log.count("was refused") == 1
    assert w1.metric("forebay_upstream_ejections_total") == 0


def test_without_tls_there_is_no_agreeing(app, c1, w1):
    for _ in range(8):
        assert w1.get("/chat", **WEBSOCKET).expect(502).headers["Proxy-Status"] == "forebay; error=http_upgrade_failed"
    assert [line["fetch_end"] for line in w1.access(8)] == ["no_upgrade"] * 8
    w1.wait_log("without tls there is no agreeing on HTTP/1.1")
    assert w1.metric("forebay_upstream_connects_total") == 0
    first = c1.get("/page")
    s1 = app.accept()
    s1.reply(s1.request(), "text")
    c1.answer(first).expect(200, "text")
    assert w1.metric("forebay_upstream_ejections_total") == 0
