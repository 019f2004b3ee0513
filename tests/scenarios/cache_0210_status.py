"""Each answer says what the cache did: X-Cache-Status in one word, Cache-Status (RFC 9211) in full."""

import json
import re

import pytest

from stage.waiting import wait_until


@pytest.fixture
def site(origin, forebay):
    origin.on("GET /kept").reply(200, "x", cache_control="max-age=60")
    origin.on("GET /stale").reply(200, "x", cache_control="max-age=100, stale-if-error=600").reply(503)
    origin.on("GET /valid").reply(200, "x", cache_control="max-age=100", etag='"1"', revalidates=True)
    origin.on("GET /expires").reply(200, "x", cache_control="max-age=100")
    origin.on("GET /mine").reply(200, "x", cache_control="private")
    origin.on("GET /cookie").reply(200, "x", cache_control="max-age=60", set_cookie="a=1")
    origin.on("GET /off/x").reply(200, "x", cache_control="max-age=60")
    origin.on("GET /bad").hangup()
    origin.on("GET /chain").reply(200, "x", [("Cache-Status", "inner; hit; ttl=5"), ("Cache-Control", "max-age=60")])
    origin.on("POST /kept").reply(201)
    return forebay("""
        rate_limits: {one: {algorithm: fixed_window, limit: 1, window: 1h}}
        routes:
          - {match: /off/**, cache: off}
          - {match: /fixed, respond: {status: 200, body: fixed}}
          - {match: /away, redirect: /kept}
          - {match: /limited, rate_limit: one, respond: 204}
          - {match: {path: /**, hosts: ["127.0.0.1"]}}
    """, app=origin)


def told(w1, target, method="GET", **words):
    return w1.request(method, target, **words).headers.get("Cache-Status")


def test_in_full(site, clock):
    watch = clock.watch()

    def is_told(said, life_s, target):
        text = told(site, target)
        return re.fullmatch(said.format(ttl=watch.ttl(life_s)), text), text
    assert is_told("forebay; fwd=uri-miss; fwd-status=200; stored; ttl={ttl}", 60, "/kept")[0]
    assert is_told("forebay; hit; ttl={ttl}", 60, "/kept")[0]
    assert is_told("inner; hit; ttl=5, forebay; fwd=uri-miss; fwd-status=200; stored; ttl={ttl}", 60, "/chain")[0]
    assert is_told("inner; hit; ttl=5, forebay; hit; ttl={ttl}", 60, "/chain")[0]
    assert told(site, "/mine") == "forebay; fwd=uri-miss; fwd-status=200; detail=private"
    assert told(site, "/cookie") == "forebay; fwd=uri-miss; fwd-status=200; detail=set-cookie"
    assert told(site, "/off/x") == "forebay; fwd=bypass; fwd-status=200; detail=off"
    assert told(site, "/kept", "POST") in ("forebay; fwd=method; fwd-status=201",)
    assert told(site, "/fixed") is None and told(site, "/bad") is None
    for target in ("/stale", "/valid", "/expires"):
        site.get(target).expect(200, x_cache_status="MISS")
    clock.advance(150)
    assert is_told("forebay; hit; ttl={ttl}; detail=stale-if-error", 100, "/stale")[0]
    watch = clock.watch()
    assert is_told("forebay; fwd=stale; fwd-status=304; stored; ttl={ttl}", 100, "/valid")[0]
    assert is_told("forebay; fwd=stale; fwd-status=200; stored; ttl={ttl}", 100, "/expires")[0]


GUEST = {"cookie": "a=1"}
KEY = {"authorization": "Bearer x"}


@pytest.mark.parametrize("target, how, after_s, detail", [
    ("/kept", {}, 0, ""), ("/off/x", {}, 0, "off"), ("/kept", {"if_match": '"1"'}, 0, "precondition"), ("/kept", {"body": "x"}, 0, "request-body"),
    ("/route", GUEST, 0, "cookie"), ("/route", KEY, 0, "authorization"), ("/valid", {}, 15, ""), ("/asked", {}, 0, "no-cache"), ("/behind", {}, 15, "stale-while-revalidate"),
    ("/obeyed", {"cache_control": "no-cache"}, 0, "request-no-cache"), ("/obeyed", {"cache_control": "max-age=5"}, 9, "request-max-age"),
    ("/obeyed", {"cache_control": "min-fresh=50"}, 15, "request-min-fresh"), ("/obeyed", {"cache_control": "max-stale=99"}, 90, "request-max-stale"),
])
def test_why_is_told_in_a_word_that_the_log_and_explain_have_too(origin, forebay, clock, target, how, after_s, detail):
    origin.on("/*").reply(200, "x", cache_control="max-age=60")
    origin.on("/valid").reply(200, "x", cache_control="max-age=10", etag='"1"', revalidates=True)
    origin.on("/asked").reply(200, "x", cache_control="no-cache", etag='"1"', revalidates=True)
    origin.on("/behind").reply(200, "x", cache_control="max-age=10, stale-while-revalidate=60")
    origin.on("/route").reply(200, "x")
    w1 = forebay("""
        routes:
          - {match: /off/**, cache: off}
          - {match: /route, cache: {ttl: 1m}}
          - {match: /obeyed, cache: {client_directives: obey}}
          - match: /**
    """, app=origin)
    w1.get(target).expect(200)
    clock.advance(after_s)
    asked = [word for name, value in how.items() if name != "body"
             for word in ("--request", f"{name.replace('_', '-')}: {value}")] + (["--data", how["body"]] if "body" in how else [])
    outcome = json.loads(w1.cli("explain", f"http://{w1.address}{target}", *asked, "--json").stdout)["outcome"]
    r = w1.get(target, **how).expect(200)
    line, = w1.access(request_id=r.headers["x-request-id"])
    assert re.search(r"(?:; detail=([\w-]+))?$", r.headers["cache-status"]).group(1) == (detail or None)
    assert (line["detail"], outcome["detail"]) == (detail, detail)
    assert line["reason"] == outcome["reason"] or line["cache"] == "REVALIDATED"


@pytest.mark.parametrize("target, how, status, word", [
    ("/kept", {}, 200, "MISS"), ("/off/x", {}, 200, "BYPASS"), ("/fixed", {}, 200, "BYPASS"), ("/away", {}, 308, "BYPASS"),
    ("/kept", {"range": "bytes=9-"}, 416, "MISS"), ("/bad", {}, 502, "MISS"), ("/kept", {"host": "nowhere.test"}, 404, "BYPASS"),
    ("/kept", {"if_none_match": "*"}, 304, "MISS"),
])
def test_in_one_word_on_every_answer(site, target, how, status, word):
    site.get(target, **how).expect(status, x_cache_status=word, x_request_id=re.compile("."))


def test_on_refusals_too(site):
    site.get("/limited").expect(204, x_cache_status="BYPASS")
    site.get("/limited").expect(429, x_cache_status="BYPASS")
    for raw in (b"GET / HTTP/1.1\r\n\r\n", b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"):
        site.client().send(raw).answer().expect(400, x_cache_status="BYPASS")


def test_what_the_origin_says_of_itself_is_not_taken_for_ours(origin, forebay):
    origin.on("GET /x").reply(200, "x", cache_control="no-store", x_cache_status="HIT", age="5")
    w1 = forebay(app=origin)
    assert w1.get("/x").headers.all("X-Cache-Status") == ["MISS"]


def test_metrics_count_each_word(site, clock):
    for _ in range(2):
        for target in ("/kept", "/stale", "/valid", "/expires", "/off/x"):
            site.get(target)
    clock.advance(150)
    for target in ("/stale", "/valid", "/expires"):
        site.get(target)
    wanted = {"MISS": 4, "HIT": 4, "STALE": 1, "REVALIDATED": 1, "EXPIRED": 1, "BYPASS": 2}
    wait_until(lambda: {w: site.metric("forebay_cache_requests_total", status=w) for w in wanted} == wanted,
               lambda: {w: site.metric("forebay_cache_requests_total", status=w) for w in wanted})
