"""What is bounded in front of servers: the queue, retries under load, whoever is slow; and checks that go the way requests go."""

import time

from edge_0020_announced import announcing
from stage.checks import CHECKS, Rounds
from stage.client import together
from stage.waiting import ports, wait_until

CHECKED = {**CHECKS, "path": "/health"}


def test_no_more_wait_for_a_connection_than_may(origin, forebay):
    gate = origin.on("/*").reply(200, "ok", cache_control="no-store").hold()
    w1 = forebay({"workers": 1, "upstreams": {"app": {"servers": [str(origin)], "connections": {"max": 1, "pending": 2},
                                                       "timeouts": {"connect": "5m"}}}})
    first = w1.client().ask("GET", "/1")
    origin.wait_asked(1)
    waiting = [w1.client().ask("GET", f"/{n}") for n in (2, 3)]
    wait_until(lambda: w1.metric("forebay_upstream_in_flight") == 3, "both in the queue")
    refused = w1.get("/4").expect(503)
    assert "connection_limit_reached" in refused.headers["Proxy-Status"] and origin.count() == 1
    assert refused.headers["Retry-After"] in ("1", "2", "3")
    gate.release()
    for c in (first, *waiting):
        c.answer().expect(200)
    assert origin.connections == 1
    assert w1.access(path="/4")[0]["fetch_end"] == "no_connection"


def test_who_is_turned_away_is_told_when_to_come_back_but_not_all_at_once(origin, forebay):
    gate = origin.on("/*").reply(200, "ok", cache_control="no-store").hold()
    w1 = forebay({"upstreams": {"app": {"servers": [str(origin)], "connections": {"requests": 1}}}})
    first = w1.client().ask("GET", "/1")
    origin.wait_asked(1)
    told = {w1.get(f"/other/{n}").expect(503).headers["Retry-After"] for n in range(80)}
    assert told == {"1", "2", "3"}
    gate.release()
    first.answer().expect(200)


def test_a_503_that_the_origin_or_the_configuration_gives_stays_as_it_is(origin, forebay):
    origin.on("/none").reply(503, "down", cache_control="no-store")
    origin.on("/own").reply(503, "down", cache_control="no-store", retry_after="60")
    routes = [{"match": "/closed", "respond": {"status": 503}}, {"match": "/**"}]
    w1 = forebay({"upstreams": {"app": {"servers": [str(origin)]}}, "routes": routes})
    assert "Retry-After" not in w1.get("/none").expect(503).headers
    assert w1.get("/own").expect(503).headers["Retry-After"] == "60"
    assert "Retry-After" not in w1.get("/closed").expect(503).headers


def test_under_load_retries_keep_to_their_budget(origins, forebay):
    good, bad = origins("good"), origins("bad")
    good.on("/*").reply(200, "good", cache_control="no-store")
    bad.on("/*").reply(503, "bad", cache_control="no-store")
    app = {"servers": [str(good), str(bad)], "retries": {"budget": "0%"}, "ejection": "off"}
    w1 = forebay({"upstreams": {"app": app}})

    def ask(me):
        with w1.client() as c:
            return [c.get(f"/{me}/{n}").status for n in range(150)]
    began = time.monotonic()
    statuses = sum(together(*[lambda me=me: ask(me) for me in range(4)]), [])
    most = 10 * (time.monotonic() - began + 1) + 10
    retries = w1.metric("forebay_upstream_retries_total")
    assert 0 < retries <= most and bad.count() == retries + statuses.count(503)
    assert good.count() + bad.count() == len(statuses) + retries


def test_who_is_much_slower_than_the_others_is_not_asked_for_a_while(origins, forebay, clock):
    three = [origins(f"o{n}") for n in range(3)]
    for origin in three:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    slow = three[1]

    def play(exchange):
        if slow.count() % 12 == 0:                  # which is as much as if each took a twelfth of it
            clock.advance(120)
        exchange.head(200, {"Content-Length": "0", "Cache-Control": "no-store"})
    slow.on("/*").do(play)
    w1 = forebay({"workers": 1, "upstreams": {"app": {"servers": [str(o) for o in three], "timeouts": {"response": "10m"},
                                                       "ejection": {"latency": 3, "time": "1h", "max_time": "1h"}}}})
    for n in range(3 * 12 * 5):                     # means are of 10 s: a machine may need longer for the first dozen
        w1.get(f"/{n}").expect(200)
        if slow.count() == 11:
            assert w1.metric("forebay_upstream_ejections_total") == 0
    w1.wait_log(f"{slow} is not asked for 3600 s: it is much slower than the others")
    asked = slow.count()
    assert asked < 60
    for n in range(12):
        w1.get(f"/again/{n}").expect(200)
    assert slow.count() == asked


def test_checks_go_over_tls_and_believe_whom_requests_believe(origins, forebay, certs, clock):
    right = origins("right", certs.certificate("127.0.0.1").server_context())
    wrong = origins("wrong", certs.certificate("elsewhere.test").server_context())
    for origin in (right, wrong):
        origin.on("GET /health").reply(200, "ok")
        origin.on("GET /a").reply(200, origin.name, cache_control="no-store")
    w1 = forebay({"upstreams": {"app": {"servers": [str(right), str(wrong)], "tls": {"ca": str(certs.cert)}, "health": CHECKED}}})
    Rounds(w1, clock).until(wrong, up=False)
    assert right.count("GET /health") >= 2
    assert w1.metric("forebay_upstream_up", server=str(right)) == 1 and wrong.count() == 0
    for _ in range(4):
        w1.get("/a").expect(200, "right")


def test_checks_say_that_they_are_for_nobody(origin, forebay, tmp_path, clock):
    origin.on("GET /health").reply(200, "ok")
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    port = ports.free()
    haproxy = announcing(tmp_path, origin, f"127.0.0.1:{port} accept-proxy")
    try:
        server = f"127.0.0.1:{port}"
        app = {"servers": [server], "proxy_protocol": "v2", "health": CHECKED}
        w1 = forebay({"upstreams": {"app": app}})
        rounds = Rounds(w1, clock)
        for _ in range(2):
            rounds.next()
        assert origin.count("GET /health") == 3
        assert w1.metric("forebay_upstream_up", server=server) == 1
        assert w1.metric("forebay_upstream_checks_failed_total", server=server) == 0
        w1.get("/a").expect(200, "here")
        w1.reload({"upstreams": {"app": {**app, "proxy_protocol": "off"}}})     # without a header it hangs up
        Rounds(w1, clock).until(server, up=False)
    finally:
        haproxy.kill()
