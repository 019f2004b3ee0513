"""Connections to the origin: used again where that is safe, asked again only where that can do no harm."""

import threading

import pytest

from stage.client import together
from stage.gate import Gate
from stage.waiting import wait_until

MIB = 1 << 20


@pytest.fixture
def plain(origin):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    return origin


def test_clients_share_the_connections_of_their_worker(plain, forebay):
    w1 = forebay("workers: 1", app=plain)
    for _ in range(10):
        w1.get("/").expect(200)
    assert plain.connections == 1


def test_no_more_requests_at_once_than_connections_allowed(origin, forebay):
    now, peak, lock = 0, 0, threading.Lock()
    def count(exchange):
        nonlocal now, peak
        with lock:
            now += 1
            peak = max(peak, now)
        exchange.head(200, [("Content-Length", 1), ("Cache-Control", "no-store")])
        with lock:
            now -= 1                            # before the connection is free for the next
        exchange.send("x")
    rule = origin.on("/*").do(count)
    w1 = forebay("upstreams: {app: {servers: ['@app@'], connections: {max: 3}, timeouts: {connect: 1m}}}", app=origin)
    gate = rule.hold()
    clients = [w1.client().ask("GET", f"/{i}") for i in range(12)]
    origin.wait_asked(3)
    assert origin.connections == 3
    gate.release()
    for c in clients:
        c.answer().expect(200)
    assert peak <= 3 and origin.count() == 12


def test_a_connection_that_is_idle_on_one_worker_starves_no_other(plain, forebay):
    w1 = forebay("workers: 4\nupstreams: {app: {servers: ['@app@'], connections: {max: 1}, timeouts: {connect: 20s}}}", app=plain)
    for _ in range(20):                         # each on whichever worker the kernel gives it to
        w1.get("/").expect(200)


def test_an_idle_connection_is_closed_after_its_time(plain, forebay, clock):
    w1 = forebay("workers: 1\nupstreams: {app: {servers: ['@app@'], connections: {idle: 5m}}}", app=plain)
    w1.get("/").expect(200)
    plain.wait_connections(1)
    clock.advance(301)
    plain.wait_connections(0)
    w1.get("/").expect(200)
    assert plain.connections == 2


METHODS = {"GET": 200, "HEAD": 200, "OPTIONS": 200, "PUT": 502, "DELETE": 200, "POST": 502, "PATCH": 502}


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("method", METHODS)
def test_a_request_is_repeated_once_when_a_used_connection_dies_under_it(origin, forebay, method, then):
    origin.on("/warm").reply(200, cache_control="no-store")
    origin.on(f"{method} /a").hangup(then).reply(200, "second", cache_control="no-store")
    w1 = forebay("workers: 1", app=origin)
    w1.get("/warm").expect(200)
    body = "x" if method in ("PUT", "POST", "PATCH") else None
    w1.request(method, "/a", body).expect(METHODS[method])
    assert origin.count(f"{method} /a") == (2 if METHODS[method] == 200 else 1)


def test_a_request_is_not_repeated_on_a_new_connection(origin, forebay):
    origin.on("GET /a").hangup()
    w1 = forebay("workers: 1", app=origin)
    w1.get("/a").expect(502)
    assert origin.count("GET /a") == 1


def test_a_request_is_not_repeated_twice(origin, forebay):
    origin.on("/warm").reply(200, cache_control="no-store")
    origin.on("GET /a").hangup()
    w1 = forebay("workers: 1", app=origin)
    w1.get("/warm").expect(200)
    w1.get("/a").expect(502)
    assert origin.count("GET /a") == 2


def test_a_request_is_not_repeated_once_an_answer_has_begun(origin, forebay):
    origin.on("/warm").reply(200, cache_control="no-store")
    origin.on("GET /a").raw("HTTP/1.1 2", then="close")
    w1 = forebay("workers: 1", app=origin)
    w1.get("/warm").expect(200)
    w1.get("/a").expect(502)
    assert origin.count("GET /a") == 1


def test_a_write_is_never_sent_twice_even_without_a_body(origin, forebay):
    origin.on("/warm").reply(200, cache_control="no-store")
    origin.on("POST /a").hangup()
    w1 = forebay("workers: 1", app=origin)
    w1.get("/warm").expect(200)
    w1.post("/a", b"").expect(502)
    assert origin.count("POST /a") == 1


def test_a_write_does_not_take_a_connection_the_origin_has_just_closed(origin, forebay):
    origin.on("/warm").reply(200, cache_control="no-store")
    origin.on("POST /a").reply(200, "done")
    w1 = forebay("workers: 1", app=origin)
    for _ in range(5):
        w1.get("/warm").expect(200)
        origin.drop_idle()
        w1.post("/a", b"x").expect(200, "done")
    assert origin.count("POST /a") == 5


def test_a_client_that_leaves_before_the_answer_frees_the_origins_connection(origin, forebay):
    origin.on("GET /pass").reply(200)
    gate = origin.hold()
    w1 = forebay("routes: [{match: /**, cache: off}]", app=origin)
    c1 = w1.client().ask("GET", "/pass")
    origin.wait_asked(1)
    c1.close()
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_gone")
    gate.release()
    origin.wait_connections(0)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_mid_download_frees_the_origins_connection(origin, forebay, how):
    sent = 0
    def pour(exchange):
        nonlocal sent
        exchange.head(200, [("Content-Length", 500 * MIB), ("Cache-Control", "no-store")])
        for _ in range(500):
            exchange.send(bytes(MIB))
            sent += 1
    origin.on("GET /big").do(pour)
    w1 = forebay(app=origin)
    c1 = w1.client()
    c1.begin("GET", "/big").stream.at_least(1000)
    getattr(c1, how)()
    origin.wait_connections(0)
    assert sent < 100                           # and not: read to its end for nobody
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_gone")
    assert w1.access(1)[0]["status"] == 200


def test_a_client_that_leaves_in_mid_upload_frees_the_origins_connection(origin, forebay):
    origin.on("POST /up").reply(200)
    w1 = forebay(app=origin)
    c1 = w1.client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000\r\n\r\nabc")
    origin.wait_asked(1)
    c1.close()
    origin.wait_connections(0)
    assert not origin.last().complete


def test_a_fetch_that_can_be_stored_goes_on_without_its_client(origin, forebay):
    step = Gate()
    origin.on("GET /a").reply(200, ["one", step, "two"], cache_control="max-age=60")
    w1 = forebay(app=origin)
    c1 = w1.client()
    c1.begin("GET", "/a").stream.until(b"one")
    c1.close()
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_gone")
    step.release()
    wait_until(lambda: w1.metric("forebay_cache_objects") == 1, "the object to be stored")
    w1.get("/a").expect(200, "onetwo", x_cache_status="HIT")
    assert origin.count() == 1


def test_a_waiting_client_that_leaves_gives_up_its_place(origin, forebay):
    origin.on("GET /*").reply(200, cache_control="no-store")
    gate = origin.hold()
    w1 = forebay("workers: 1\nupstreams: {app: {servers: ['@app@'], connections: {max: 1}, timeouts: {connect: 1m}}}\nroutes: [{match: /**, cache: off}]", app=origin)
    first = w1.client().ask("GET", "/first")
    origin.wait_asked(1)
    second = w1.client().ask("GET", "/second")
    third = w1.client().ask("GET", "/third")
    w1.wait_metric("forebay_upstream_in_flight", 3)
    second.close()
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_gone")
    gate.release()
    first.answer().expect(200)
    third.answer().expect(200)
    assert origin.count("GET /second") == 0


@pytest.mark.tsan
def test_many_at_once_over_few_connections_each_get_their_own(origin, forebay):
    def mirror(exchange):
        path = exchange.request.path
        exchange.head(200, [("Content-Length", len(path)), ("Cache-Control", "no-store")])
        exchange.send(path)
    origin.on("GET /*").do(mirror)
    w1 = forebay("workers: 3\nupstreams: {app: {servers: ['@app@'], connections: {max: 4}, timeouts: {connect: 1m}}}", app=origin)

    def visit(n):
        return all(w1.get(f"/{n}/{i}").expect(200).text == f"/{n}/{i}" for i in range(10))
    assert all(together(*[lambda n=n: visit(n) for n in range(30)]))


def test_an_origin_on_a_unix_socket_and_on_ipv6(origin, forebay):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    for address in (origin.listen_unix(), origin.listen("::1")):
        w1 = forebay(f"upstreams: {{app: '{address}'}}", app=origin)
        w1.get("/").expect(200, "ok")


def test_an_origin_by_name(origin, forebay, nameserver):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    port = str(origin).rpartition(":")[2]
    w1 = forebay(f"upstreams: {{app: 'localhost:{port}'}}", app=origin)
    w1.get("/").expect(200, "ok")
    forebay("resolver: '@dns@'\nupstreams: {app: 'no-such-host.invalid:80'}", app=origin, dns=nameserver()).get("/").expect(502)


def test_what_is_idle_at_one_worker_makes_room_for_another(origin, forebay):
    rule = origin.on("/*").reply(200, "x")
    w1 = forebay("workers: 2\nupstreams: {app: {servers: ['@origin@'], connections: {max: 8}, timeouts: {connect: 1m}}}\nroutes: [{match: /**, cache: off}]", origin=origin)
    for n in range(1, 6):                                           # as chance has it, now more of them at this one, now at that
        gate = rule.hold()
        clients = [w1.client().ask("GET", f"/{n}/{i}") for i in range(8)]
        origin.wait_asked(8 * n)                                    # eight are on their way at once, whoever has the idle ones
        gate.release()
        for c in clients:
            c.answer().expect(200, "x")
