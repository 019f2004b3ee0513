"""Keep-alive and pipelining: where one message ends, the next begins, and nobody's bytes are taken for another's."""

import pytest

from stage.wire import chunk, last_chunk



@pytest.fixture
def echoing(origin):
    def echo(exchange):
        text = exchange.request.method.encode() + b" " + exchange.request.path.encode() + b" " + exchange.request.body
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "no-store")])
        exchange.send(text)
    origin.on("/*").do(echo)
    return origin


def post(path, body, chunked=False):
    head = f"POST {path} HTTP/1.1\r\nHost: a.test\r\n".encode()
    if chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunk(body[i:i + 7]) for i in range(0, len(body), 7)) + last_chunk()
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode()


def test_requests_with_bodies_may_follow_each_other_in_one_write(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(post("/1", b"one") + get("/2") + post("/3", b"three" * 10, chunked=True) + post("/4", b"") + get("/5"))
    assert [c1.answer().expect(200).text for _ in range(5)] == [
        "POST /1 one", "GET /2 ", "POST /3 " + "three" * 10, "POST /4 ", "GET /5 "]
    assert c1.connections == 1


def test_it_does_not_matter_how_the_bytes_are_cut(echoing, forebay):
    c1 = forebay(app=echoing).client()
    stream = post("/1", b"one") + post("/2", b"GET /x HTTP/1.1\r\n\r\n", chunked=True) + get("/3")
    for byte in stream:
        c1.send(bytes([byte]))
    assert [c1.answer().expect(200).text for _ in range(3)] == ["POST /1 one", "POST /2 GET /x HTTP/1.1\r\n\r\n", "GET /3 "]


def test_a_deep_pipeline_of_bodies_larger_than_any_buffer(echoing, forebay):
    w1 = forebay(app=echoing)
    bodies = [bytes([65 + i]) * 90_000 for i in range(8)]
    c1 = w1.client()
    for i, body in enumerate(bodies):
        c1.send(post(f"/{i}", body, chunked=i % 2 == 1))
    for i, body in enumerate(bodies):
        assert c1.answer().expect(200).body == f"POST /{i} ".encode() + body


def test_many_small_requests_in_one_write(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(b"".join(get(f"/{i}") for i in range(1000)))
    assert [c1.answer().expect(200).text for i in range(1000)] == [f"GET /{i} " for i in range(1000)]


def test_what_follows_a_request_that_closes_is_not_served(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(b"GET /1 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n" + get("/2"))
    c1.answer().expect(200, "GET /1 ", connection="close")
    assert c1.wait_closed() == b"" and echoing.count() == 1


def test_what_follows_a_broken_request_is_not_served(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(get("/1") + b"GET /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: x\r\n\r\n" + get("/3"))
    c1.answer().expect(200, "GET /1 ")
    c1.answer().expect(400, connection="close")
    assert c1.wait_closed() == b"" and echoing.count() == 1


def test_an_empty_line_before_a_request_is_forgiven(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(post("/1", b"x") + b"\r\n" + get("/2"))
    assert [c1.answer().expect(200).text for _ in range(2)] == ["POST /1 x", "GET /2 "]


def test_an_idle_connection_is_closed_after_its_time_and_not_before(echoing, forebay, clock):
    w1 = forebay("limits: {keepalive_timeout: 1h}", app=echoing)
    c1 = w1.client()
    c1.get("/1").expect(200)
    clock.advance(2700)
    c1.get("/2").expect(200)
    clock.advance(2700)
    c1.get("/3").expect(200)
    assert c1.connections == 1
    clock.advance(3601)
    c1.wait_closed()


def test_http_10_is_answered_in_its_own_way(origin, forebay):
    origin.on("GET /length").reply(200, "abc", cache_control="no-store")
    origin.on("GET /chunked").reply(200, ["a", "bc"], cache_control="no-store")
    w1 = forebay(app=origin)
    c1 = w1.client()

    c1.ask("GET", "/length", version="HTTP/1.0", connection="keep-alive")
    c1.answer().expect(200, "abc", connection="keep-alive", content_length="3")
    c1.send(b"GET /chunked HTTP/1.0\r\n\r\n")                   # no Host either
    c1.answer().expect(200, "abc", transfer_encoding=None, connection="close")
    assert origin.last().version == "HTTP/1.1" and origin.last().headers["Via"].startswith("1.0 ")


def test_an_origin_of_http_10_is_understood(origin, forebay):
    origin.on("GET /close").reply(200, "until the end", version="HTTP/1.0", framing="close", cache_control="no-store")
    origin.on("GET /keep").reply(200, "kept", version="HTTP/1.0", connection="keep-alive", cache_control="no-store")
    origin.on("GET /plain").reply(200, "plain", version="HTTP/1.0", cache_control="no-store", then="close")
    c1 = forebay("workers: 1", app=origin).client()

    c1.get("/close").expect(200, "until the end")
    before = origin.connections
    for _ in range(3):
        c1.get("/keep").expect(200, "kept")
    assert c1.connections == 1 and origin.connections <= before + 1
    for _ in range(2):
        r = c1.get("/plain").expect(200, "plain")
        assert r.version == "HTTP/1.1"
