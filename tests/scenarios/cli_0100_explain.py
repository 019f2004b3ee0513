"""forebay explain: what a request would get, and why, without sending it."""

import json
import re

import pytest

from stage.waiting import wait_until

HOST = {"host": "www.a.test"}
URL = "http://www.a.test"
CONFIG = """
    rate_limits: {few: {algorithm: fixed_window, limit: 3, window: 1h, key: route}}
    routes:
      - match: GET /private/**
        cache: off
      - match: GET /profile/{id}
        cache: {ttl: 10m, tags: ["user:{id}"], key: {headers: [X-Country]}}
        rate_limit: few
      - match: PUT /profile/{id}
        purge: {tags: ["user:{id}"]}
      - match: GET /gone
        respond: {status: 410}
      - match: GET /**
"""


def explained(w, url, *words, check=0):
    return json.loads(w.cli("explain", URL + url, "--json", *words, check=check).stdout)


@pytest.fixture
def w(origin, forebay):
    origin.on("GET /*").reply(200, "page", cache_control="max-age=60")
    return forebay(CONFIG, app=origin)


def test_a_page_that_nobody_asked_for_yet(w, origin):
    told = explained(w, "/news?b=1")

    assert told["outcome"] == {"status": "MISS", "does": "asks the origin; who asks meanwhile shares the answer", "reason": "nothing is stored for it",
                               "detail": "", "code": None}
    assert told["key"]["url"] == "http://www.a.test/news?b=1"
    assert (told["route"]["name"], told["route"]["number"], told["route"]["upstream"]) == ("GET /**", 5, "app")
    assert (told["stored"], told["last_response"]) == ([], None)
    assert origin.count("GET /*") == 0, "nothing is sent"


def test_a_stored_page(w, origin, clock):
    w.get("/news", **HOST)
    w.get("/news", **HOST)
    clock.advance(20)

    told = explained(w, "/news")

    assert (told["outcome"]["status"], told["outcome"]["does"]) == ("HIT", "answers from memory")
    stored, = told["stored"]
    assert 20 <= stored["age"] < 40 and stored["life"] == 60 and stored["left"] == pytest.approx(60 - stored["age"])
    assert (stored["hits"], stored["purged"]) == (1, "no")
    last = told["last_response"]
    assert (last["source"], last["status"], last["stored"], last["why"]) == ("origin", 200, True, "stored") and last["ago"] >= 20
    assert explained(w, "/news")["stored"][0]["hits"] == 1, "to look is no hit"
    clock.advance(60)
    assert explained(w, "/news")["outcome"]["status"] == "EXPIRED"


def test_why_it_was_not_stored(w, origin):
    origin.on("GET /login").reply(200, "welcome", set_cookie="session=1", cache_control="max-age=60")
    w.get("/login", **HOST)

    last = explained(w, "/login")["last_response"]

    assert (last["stored"], last["why"]) == (False, "the response sets a cookie, and the route's set_cookie is bypass")


def test_a_request_with_a_cookie_is_another_question(w, origin):
    origin.on("GET /profile/7").reply(200, "page")
    w.get("/profile/7", x_country="de", **HOST)

    told = explained(w, "/profile/7", "--request", "X-Country: de", "--request", "Cookie: a=1")

    assert told["outcome"]["status"] == "BYPASS"
    assert "the request has a Cookie" in told["outcome"]["reason"]


def test_key_parts_tags_and_limits(origin, forebay):
    origin.on("GET /*").reply(200, "page")
    w = forebay(CONFIG, app=origin)
    w.get("/profile/7", x_country="de", **HOST)

    told = explained(w, "/profile/7", "--request", "X-Country: de")

    assert told["key"] == {"url": "http://www.a.test/profile/7", "parts": ["header X-Country: de"], "tags": ["user:7"]}
    assert told["limits"] == ["few"]
    assert (told["outcome"]["status"], told["stored"][0]["life_by_route"], told["stored"][0]["tags"]) == ("HIT", True, ["user:7"])
    assert explained(w, "/profile/7")["key"]["parts"] == ["header X-Country (absent)"]
    for _ in range(2):
        w.get("/profile/7", x_country="de", **HOST).expect(200)
    w.get("/profile/7", x_country="de", **HOST).expect(429)         # three were used by requests, none by explanations


def test_a_purged_page(w, origin):
    origin.on("GET /profile/7").reply(200, "page")
    origin.on("PUT /profile/7").reply(204)
    w.get("/profile/7", **HOST)
    w.request("PUT", "/profile/7", **HOST).expect(204)

    told = explained(w, "/profile/7")

    assert told["outcome"]["status"] == "MISS"
    assert all(stored["purged"] == "yes" for stored in told["stored"]), "until it is swept out"
    assert told["purge_log"]["head"] >= 1


def test_variants_are_told_apart(w, origin):
    origin.on("GET /page").reply(200, "page", cache_control="max-age=60", vary="Accept-Language")
    w.get("/page", accept_language="de", **HOST)
    w.get("/page", accept_language="en", **HOST)

    told = explained(w, "/page", "--request", "Accept-Language: de")

    assert sorted((v["vary"]["accept-language"], v["answers_this"]) for v in told["stored"]) == [("de", True), ("en", False)]
    assert explained(w, "/page", "--request", "Accept-Language: fr")["outcome"]["reason"] == "what is stored is for other requests"


def test_routes_that_ask_no_origin_or_no_cache(w):
    assert explained(w, "/gone")["outcome"]["code"] == 410
    told = explained(w, "/private/1")
    assert (told["outcome"]["status"], told["outcome"]["reason"], told["key"]) == ("BYPASS", "the route does not cache", None)
    assert explained(w, "/profile/7", "--method", "PUT")["outcome"]["reason"] == "the method asks for the origin"


def test_a_stale_page_is_not_refreshed_by_looking(w, origin, clock):
    origin.on("GET /swr").reply(200, "page", cache_control="max-age=10, stale-while-revalidate=60")
    w.get("/swr", **HOST)
    clock.advance(15)

    told = explained(w, "/swr")

    assert (told["outcome"]["status"], told["outcome"]["does"]) == ("STALE", "answers from memory, and refreshes it behind")
    assert origin.count("GET /swr") == 1
    w.get("/swr", **HOST).expect(200, x_cache_status="STALE")
    wait_until(lambda: origin.count("GET /swr") == 2, "the refresh behind the real request")


def test_what_lies_in_redis(origin, forebay, redis):
    origin.on("GET /*").reply(200, "page", cache_control="max-age=60")
    config = 'cache: {redis: {url: "@redis@", timeout: 2s}}'
    one = forebay(config, app=origin, redis=redis)
    other = forebay(config, app=origin, redis=redis)
    for w in one, other:
        w.wait_redis()
    one.get("/news", **HOST)

    wait_until(lambda: explained(other, "/news")["redis"]["found"], "the value in Redis")

    told = explained(other, "/news")
    assert (told["stored"], told["redis"]["life"], told["outcome"]["status"]) == ([], 60, "HIT")
    assert "answers from Redis" in told["outcome"]["does"]
    assert "looks into Redis" in explained(other, "/other")["outcome"]["does"]
    assert (told["purge_log"]["shared"], told["purge_log"]["coherence"], told["purge_log"]["lag"]) == ("connected", "eventual", 0)
    assert "shared: connected, eventual, number 0 of epoch" in other.cli("explain", URL + "/news").stdout


def test_people_read_it_line_by_line(w):
    w.get("/news", **HOST)

    told = w.cli("explain", URL + "/news").stdout

    assert told.startswith("HIT: answers from memory\n")
    assert "route        5 of 5: GET /** (passes to the upstream app)" in told
    age, left = map(int, re.search(r"^ *age        (\d+) s of 60 s, fresh for (\d+) s", told, re.M).groups())
    assert age + left == 60


@pytest.mark.parametrize("words, code", [((), 2), (("a", "b"), 2), (("not a url",), 1), ((URL + "/", "--request", "no field"), 1),
                                         ((URL + "/", "--request", "A: b\r\nX: y"), 1), ((URL + "/", "--method", "G T"), 1)])
def test_what_is_no_request_is_said_to_be_none(w, words, code):
    assert w.cli("explain", *words, check=code).stderr != ""


def test_to_ask_about_a_purge_is_none(origin, forebay):
    origin.on("GET /news").reply(200, "page", cache_control="max-age=60")
    w = forebay("purge: {allow: [127.0.0.1]}", app=origin)
    w.get("/news", **HOST)

    told = w.admin("POST", "/explain", json.dumps({"url": URL + "/news", "method": "PURGE"})).expect(200).json()

    assert (told["request"]["method"], told["purge_log"]["head"]) == ("PURGE", 0)
    w.get("/news", **HOST).expect(200, x_cache_status="HIT")


def test_to_ask_whether_one_may_purge_is_no_attempt(origin, forebay):
    w = forebay("purge: {allow: [192.0.2.1]}", app=origin)

    told = w.admin("POST", "/explain", json.dumps({"url": URL + "/news", "method": "PURGE"})).expect(200).json()

    assert (told["outcome"]["code"], w.metric("forebay_admin_denied_total") or 0) == (403, 0)
