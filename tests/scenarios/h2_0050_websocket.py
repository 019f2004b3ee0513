"""WebSockets over HTTP/2: extended CONNECT (RFC 8441), told to the origin as HTTP/1.1 tells it."""

import pytest

from stage.h2 import DATA, H2, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM
from stage.waiting import wait_until

ENABLE_CONNECT_PROTOCOL = 8


def connect(c1, path="/chat", **fields):
    return c1.open(c1.head("CONNECT", path, [("sec-websocket-version", "13"), ("origin", "http://a.example"), *fields.items()],
                           protocol="websocket"), end=False)


def received(c1, stream, n):
    got = b""
    while len(got) < n:
        got += c1.next(DATA, stream=stream).payload
    return got


@pytest.mark.tsan
def test_bytes_go_both_ways_and_the_end_too(origin, forebay):
    origin.on("GET /chat").upgrade()
    origin.on("GET /page").reply(200, "text")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = connect(c1)
        head = dict(c1.next(HEADERS, stream=s).fields)
        assert head[":status"] == "200" and not {"upgrade", "connection"} & set(head)
        assert c1.settings[ENABLE_CONNECT_PROTOCOL] == 1
        asked = origin.last().headers
        assert asked["Upgrade"] == "websocket" and asked["Connection"] == "Upgrade" and len(asked["Sec-WebSocket-Key"]) == 24
        assert asked["Sec-WebSocket-Version"] == "13"
        c1.data(s, b"spring")
        assert received(c1, s, 6) == b"spring"
        c1.answer(c1.get("/page")).expect(200, "text")
        c1.data(s, b"flood", end=True)
        assert received(c1, s, 5) == b"flood"
        while not c1.next(DATA, stream=s).ends:
            pass
    line = w1.access(2, timeout=10)
    assert any(entry["end"] == "tunnel" and entry["status"] == 101 and entry["bytes"] >= 11 for entry in line)
    wait_until(lambda: w1.metric("forebay_connections", state="tunnel") == 0, "the tunnel to be over")


def test_much_goes_through_in_both_directions(origin, forebay):
    origin.on("GET /chat").upgrade()
    w1 = forebay(app=origin)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1 << 20)]) as c1:
        c1.window(1 << 24)
        s = connect(c1)
        c1.next(HEADERS, stream=s)
        got, sent = b"", b""
        for i in range(200):
            piece = bytes([i]) * 10_000
            c1.data(s, piece)
            sent += piece
            got += received(c1, s, 10_000)
        assert got == sent


def test_an_origin_that_does_not_switch_is_no_tunnel(origin, forebay):
    origin.on("GET /chat").reply(200, "a page", cache_control="max-age=60")
    origin.on("GET /refused").reply(403, "no")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = connect(c1)
        assert c1.answer(s).status == 502
        s = connect(c1, "/refused")
        assert c1.answer(s).status == 403


def test_a_client_that_resets_ends_the_tunnel(origin, forebay):
    origin.on("GET /chat").upgrade()
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = connect(c1)
        c1.next(HEADERS, stream=s)
        c1.reset(s)
        w1.access(1, end="tunnel")
        origin.wait_connections(0)


def test_an_origin_that_leaves_ends_the_stream(origin, forebay):
    origin.on("GET /chat").raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbye")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = connect(c1)
        c1.next(HEADERS, stream=s)
        assert received(c1, s, 3) == b"bye"
        frame = c1.next(DATA, RST_STREAM, stream=s)
        assert frame.kind == RST_STREAM or frame.ends


def test_a_client_that_leaves_takes_its_tunnels_with_it(origin, forebay):
    origin.on("GET /chat").upgrade()
    w1 = forebay(app=origin)
    before = w1.fd_count()
    with H2(w1.address) as c1:
        for _ in range(5):
            c1.next(HEADERS, stream=connect(c1))
    w1.access(5, end="tunnel")
    origin.wait_connections(0)
    wait_until(lambda: w1.fd_count() <= before + 1, "descriptors to be given back")


def test_a_client_that_does_not_read_stops_the_origin(origin, forebay):
    origin.on("GET /chat").upgrade()
    w1 = forebay(app=origin)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 10)], updates=False) as c1:
        s = connect(c1)
        c1.next(HEADERS, stream=s)
        c1.data(s, b"x" * 1000)
        assert received(c1, s, 10) == b"x" * 10
        c1.window(990, s)
        assert received(c1, s, 990) == b"x" * 990


def test_a_silent_tunnel_is_closed(origin, forebay, clock):
    origin.on("GET /chat").upgrade()
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = connect(c1)
        c1.next(HEADERS, stream=s)
        c1.data(s, b"x")
        received(c1, s, 1)
        clock.advance(3601)
        frame = c1.next(DATA, RST_STREAM, stream=s)
        assert frame.kind == RST_STREAM or frame.ends
