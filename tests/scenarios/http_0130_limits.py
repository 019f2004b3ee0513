"""Every limit has its answer: 414, 431, 413, 408, 504, 502, 503."""

import socket
import pytest

from stage.gate import Gate
from stage.waiting import stands_still, wait_until
from stage.wire import chunk

HEAD = b"GET / HTTP/1.1\r\nHost: a.test\r\n"


def test_a_target_that_is_too_long_is_414(origin, forebay):
    origin.on("/*").reply(200, cache_control="no-store")
    w1 = forebay("limits: {target_size: 1KiB}", app=origin)
    w1.get("/" + "a" * 1000).expect(200)
    w1.get("/" + "a" * 1024).expect(414, connection="close")
    c1 = w1.client()
    c1.send(b"GET /" + b"a" * 100_000).answer().expect(414)          # not even its end is waited for
    c1.wait_closed()


def test_a_head_that_is_too_large_is_431_before_its_end(origin, forebay):
    origin.on("/").reply(200, cache_control="no-store")
    w1 = forebay("limits: {head_size: 8KiB}", app=origin)
    w1.get("/", x_long="x" * 7000).expect(200)
    c1 = w1.client()
    c1.send(HEAD + b"X-Long: " + b"x" * 9000).answer().expect(431, connection="close")
    c1.wait_closed()
    c1.connect().send(HEAD + b"X: 1\r\n" * 1000 + b"\r\n").answer().expect(431)
    assert origin.count() == 1


def test_a_body_that_grows_too_large_is_413(origin, forebay):
    origin.on("POST /up").reply(200)
    w1 = forebay("""
        limits: {body_size: 100KiB}
        routes: [{match: /small, body_size: 10B}, {match: /**}]
    """, app=origin)
    c1 = w1.client()
    c1.post("/up", bytes(100 * 1024)).expect(200)
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(bytes(60_000)))
    origin.wait_asked(2, "POST /up")
    c1.send(chunk(bytes(60_000)))
    c1.answer().expect(413, connection="close")
    c1.wait_closed()
    origin.wait_connections(0)
    assert not origin.last("POST /up").complete
    w1.post("/small", b"x" * 11).expect(413)


@pytest.mark.parametrize("beginning", [b"GET / HT", HEAD, HEAD + b"X-A: 1\r\n"])
def test_a_head_that_does_not_end_is_408(origin, forebay, clock, beginning):
    w1 = forebay("limits: {head_timeout: 10m}", app=origin)
    c1 = w1.client()
    c1.send(beginning)
    w1.wait_metric("forebay_connections_open", lambda n: n >= 2)
    clock.advance(360)
    c1.send(b"TP" if beginning.endswith(b"HT") else b"X-B: 2\r\n")        # what comes does not begin the time anew
    clock.advance(360)
    c1.answer().expect(408, connection="close")
    c1.wait_closed()


def test_a_connection_that_says_nothing_at_all_is_closed_without_a_word(origin, forebay, clock):
    w1 = forebay("limits: {head_timeout: 10s}", app=origin)
    c1 = w1.client().connect()
    w1.wait_metric("forebay_connections_open", lambda n: n >= 2)
    clock.advance(11)
    assert c1.wait_closed() == b""


def test_an_upload_that_stops_is_408(origin, forebay, clock):
    rule = origin.on("POST /up").reply(200)
    w1 = forebay("limits: {body_timeout: 10s}", app=origin)
    c1 = w1.client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    origin.wait_asked(1, "POST /up")
    clock.advance(11)
    c1.answer().expect(408, connection="close")
    c1.wait_closed()
    origin.wait_connections(0)
    assert rule.asked == 1 and not origin.last().complete


def test_a_reader_that_stops_is_let_go(origin, forebay, clock):
    size = 64 << 20
    origin.on("GET /big").reply(200, bytes(size), cache_control="no-store")
    w1 = forebay("limits: {body_timeout: 10s}", app=origin)
    c1 = w1.client()
    r = c1.begin("GET", "/big")
    r.stream.at_least(1)
    there = origin.live[0]
    wait_until(lambda: stands_still(lambda: there.sent), "nothing to move any more")
    clock.advance(11)
    origin.wait_connections(0)
    assert not c1.finish(r).complete
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_slow")


def test_an_origin_that_does_not_answer_is_504(origin, forebay, clock):
    origin.on("GET /slow").reply(200)
    gate = origin.hold()
    w1 = forebay("upstreams: {app: {servers: ['@app@'], timeouts: {response: 60s}}}", app=origin)
    c1 = w1.client().ask("GET", "/slow")
    origin.wait_asked(1)
    clock.advance(61)
    r = c1.answer().expect(504, x_cache_status="MISS")
    assert r.headers["Proxy-Status"].startswith("forebay; error=http_response_timeout")
    gate.release()
    origin.wait_connections(0)


def test_an_origin_that_stops_in_mid_body_is_cut_off(origin, forebay, clock):
    step = Gate()
    origin.on("GET /slow").reply(200, ["beginning", step, "end"], cache_control="no-store")
    w1 = forebay("upstreams: {app: {servers: ['@app@'], timeouts: {response: 60s}}}", app=origin)
    c1 = w1.client()
    r = c1.begin("GET", "/slow")
    r.stream.until(b"beginning")
    clock.advance(61)
    assert not c1.finish(r).complete
    step.release()
    origin.wait_connections(0)


def test_a_slow_origin_that_goes_on_is_waited_for(origin, forebay, clock):
    steps = [Gate() for _ in range(4)]
    pieces = [part for i, step in enumerate(steps) for part in (f"{i}", step)]
    origin.on("GET /slow").reply(200, [*pieces, "end"], cache_control="no-store")
    w1 = forebay("upstreams: {app: {servers: ['@app@'], timeouts: {response: 1h}}}\nlimits: {body_timeout: 1h}", app=origin)
    c1 = w1.client()
    r = c1.begin("GET", "/slow")
    for i, step in enumerate(steps):
        r.stream.until(f"{i}".encode())
        clock.advance(2700)
        step.release()
    c1.finish(r).expect(200, "0123end")


def test_an_origin_that_is_not_there_is_502(origin, forebay):
    w1 = forebay(app=origin)
    origin.refuse()
    r = w1.get("/").expect(502, content_type="application/problem+json")
    assert "connection_refused" in r.headers["Proxy-Status"]


def test_an_origin_that_does_not_take_connections_is_504(forebay):
    with socket.socket() as full:               # listens, but its queue is full: the kernel drops what knocks
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        knocks = [socket.socket() for _ in range(4)]
        for s in knocks:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        w1 = forebay(f"upstreams: {{app: {{servers: ['127.0.0.1:{port}'], timeouts: {{connect: 300ms}}}}}}")
        r = w1.get("/").expect(504)
        assert "connection_timeout" in r.headers["Proxy-Status"]
        for s in knocks:
            s.close()


def test_more_requests_than_connections_and_queue_are_503(origin, forebay):
    origin.on("GET /*").reply(200, cache_control="no-store")
    gate = origin.hold()
    w1 = forebay("""
        workers: 1
        upstreams: {app: {servers: ['@app@'], connections: {max: 2, pending: 1}, timeouts: {connect: 1m}}}
    """, app=origin)
    running = [w1.client().ask("GET", f"/{i}") for i in range(2)]
    origin.wait_asked(2)
    waits = w1.client().ask("GET", "/waits")
    w1.wait_metric("forebay_upstream_in_flight", 3)                     # the third waits for a connection
    refused = [w1.client().ask("GET", f"/late{i}") for i in range(2)]
    statuses = sorted(c.answer().status for c in refused)
    gate.release()
    assert statuses == [503, 503]
    for c in [*running, waits]:
        c.answer().expect(200)
    assert origin.connections == 2


def test_a_server_that_refuses_leaves_it_to_the_next(origins, forebay):
    dead, alive = origins("dead"), origins("alive")
    alive.on("/*").reply(200, "alive", cache_control="no-store")
    w1 = forebay("upstreams: {app: ['@dead@', '@alive@']}", dead=dead, alive=alive)
    dead.refuse()
    for _ in range(4):
        w1.get("/").expect(200, "alive")
        w1.post("/", "x").expect(200, "alive")


def test_connections_past_the_limit_are_turned_away(origin, forebay):
    origin.on("/").reply(200, cache_control="no-store")
    w1 = forebay("limits: {connections: 3}", app=origin)
    held = [w1.client() for _ in range(2)]
    for c in held:
        c.get("/").expect(200)
    more = [w1.client().connect() for _ in range(4)]
    wait_until(lambda: [c.is_open for c in more].count(True) == 1, "all but one to be closed")    # each worker accepts in its own time
    for c in held:
        c.get("/").expect(200)
        assert c.connections == 1
