"""Upgrades: from 101 on the two sides talk to each other, in bytes."""

import base64

import pytest

from stage.client import together
from stage.gate import Gate
from stage.waiting import USUAL_S, deadline_in, wait_until

ASK = b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: " \
      + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"


def talking(daemon, more=b""):
    c = daemon.client()
    c.send(ASK + more)
    c.begin_answer().expect(101, upgrade="websocket", connection="Upgrade")
    return c


@pytest.fixture
def echoing(origin):
    origin.on("GET /ws").upgrade()
    return origin


def test_bytes_go_both_ways(echoing, forebay):
    w1 = forebay(app=echoing)
    c1 = talking(w1)
    for text in (b"hello", bytes(range(256)), b"x" * 1000):
        assert c1.send(text).read(len(text)) == text
    seen = echoing.last().headers
    assert seen.get("Upgrade") == "websocket" and seen.get("Connection") == "Upgrade" and "Sec-WebSocket-Key" in seen
    c1.close()
    echoing.wait_connections(0)
    line = w1.access(1)[0]
    assert line["status"] == 101


def test_bytes_that_come_with_the_request_are_not_lost(echoing, forebay):
    c1 = talking(forebay(app=echoing), b"early" * 100)
    assert c1.read(500) == b"early" * 100


def test_bytes_that_come_with_the_101_are_not_lost(origin, forebay):
    origin.on("GET /ws").raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello" + b"y" * 20000)
    c1 = talking(forebay(app=origin))
    assert c1.read_to_end() == b"hello" + b"y" * 20000


def test_one_side_may_end_before_the_other(origin, forebay):
    def play(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        said = exchange.connection.reader.to_end(deadline_in(USUAL_S))
        exchange.send(b"you said " + said)
        exchange.end("close")
    origin.on("GET /ws").do(play)
    c1 = talking(forebay(app=origin))
    c1.send(b"all of it").shut_write()
    assert c1.read_to_end() == b"you said all of it"
    origin.wait_connections(0)


@pytest.mark.patience(120)
def test_much_goes_through_in_both_directions_at_once(echoing, forebay):
    w1 = forebay(app=echoing)
    c1 = talking(w1)
    data = bytes(range(256)) * 4096 * 16
    got = together(lambda: c1.sock.sendall(data), lambda: c1.read(len(data), timeout=60), timeout=90)[1]
    assert got == data


def test_a_tunnel_that_is_silent_is_closed_after_its_time(echoing, forebay, clock):
    w1 = forebay("limits: {tunnel_timeout: 1h}", app=echoing)
    c1 = talking(w1)
    clock.advance(3000)
    assert c1.send(b"x").read(1) == b"x"
    clock.advance(3000)
    assert c1.send(b"y").read(1) == b"y"
    clock.advance(3601)
    c1.wait_closed()
    echoing.wait_connections(0)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_tunnel_ends_when_one_side_goes(origin, forebay, end):
    step = Gate()
    def play(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        step.pass_through()
        exchange.end(end)
    origin.on("GET /ws").do(play)
    w1 = forebay(app=origin)
    c1 = talking(w1)
    step.release()
    if end == "close":
        assert c1.read_to_end() == b""
    c1.wait_closed()
    c1.close()
    origin.wait_connections(0)
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="tunnel")


def test_an_origin_that_will_not_answers_as_usual(origin, forebay):
    origin.on("GET /ws").reply(426, "no", upgrade="websocket", connection="Upgrade")
    origin.on("GET /a").reply(200, "a", cache_control="no-store")
    c1 = forebay(app=origin).client()
    c1.send(ASK).answer().expect(426, "no")
    c1.get("/a").expect(200, "a")
    assert c1.connections == 1


def test_an_http_10_client_cannot_upgrade(origin, forebay):
    origin.on("GET /ws").reply(200, "plain", cache_control="no-store")
    c1 = forebay(app=origin).client()
    c1.send(ASK.replace(b"HTTP/1.1", b"HTTP/1.0")).answer().expect(200, "plain")
    assert "Upgrade" not in origin.last().headers


@pytest.mark.parametrize("fields", ["Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", "Upgrade: websocket",
                                    "Connection: upgrade", "Connection: Upgrade\r\nUpgrade: h2c, websocket",
                                    "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3"], ids=repr)
def test_what_is_no_clear_upgrade_goes_on_without(origin, forebay, fields):
    origin.on("GET /ws").reply(200, "plain", cache_control="no-store")
    c1 = forebay(app=origin).client()
    c1.send(f"GET /ws HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n".encode() + (b"abc" if "Length" in fields else b""))
    c1.answer().expect(200, "plain")
    seen = origin.last().headers
    assert "h2c" not in (seen.get("Upgrade") or "") and "HTTP2-Settings" not in seen
    c1.get("/ws").expect(200)


def test_tunnels_are_never_shared_or_stored(echoing, forebay):
    w1 = forebay(app=echoing)
    one, two = talking(w1), talking(w1)
    assert one.send(b"1").read(1) == b"1" and two.send(b"2").read(1) == b"2"
    assert echoing.connections == 2
    one.close()
    assert two.send(b"3").read(1) == b"3"
    wait_until(lambda: len(echoing.live) == 1, "the first tunnel to end")


def test_a_tunnel_holds_back_who_sends_faster_than_the_other_reads(origin, forebay):
    step = Gate()
    def play(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        step.pass_through()
        exchange.echo()
    origin.on("GET /ws").do(play)
    w1 = forebay("workers: 1", app=origin)
    c1 = talking(w1)
    before = w1.rss_kib()
    sent = c1.send_what_fits(bytes(64 << 20), stalled_s=0.5)
    assert sent < 32 << 20 and w1.rss_kib() - before < 4096
    step.release()
    assert c1.read(sent) == bytes(sent)
