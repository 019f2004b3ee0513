"""What forebay explain says is what the request right afterwards gets, and to ask changes nothing."""

import json
import re

import pytest

from stage.waiting import wait_until

HOST = {"host": "www.a.test"}
CONFIG = """
    workers: 1
    rate_limits:
      few: {algorithm: fixed_window, limit: 1, window: 1h, key: route}
      each: {algorithm: fixed_window, limit: 1, window: 1h, key: client}
    routes:
      - match: GET /film
        cache: {slice: 64KiB}
      - match: GET /sliding
        cache: {ttl: 1000s, sliding: 10000s}
      - match: GET /lost
        cache: {ttl: 10m, statuses: {404: 1000s}}
      - match: GET /limited
        rate_limit: few
      - match: GET /limited-each
        rate_limit: each
      - match: POST /edit
        purge: {urls: [/page], soft: true}
      - match: GET /obey
        cache: {client_directives: obey}
      - match: /**
    """
FILM = bytes(range(256)) * 2048
ALONE = "asks the origin, for this request alone"
SHARED = "asks the origin; who asks meanwhile shares the answer"
MEMORY = "answers from memory"
VALIDATES = "asks the origin whether the stored response is still good"
BEHIND = "answers from memory, and refreshes it behind"
OWN = "answers by itself"
FRESH = dict(cache_control="max-age=600")
SWR = dict(cache_control="max-age=600, stale-while-revalidate=3600")
TAGGED = dict(cache_control="max-age=600", etag='"1"')
QUERY = dict(method="QUERY", body="a=1", content_type="text/plain")

# The origin's fields; what was asked before, and seconds that passed; what is asked; what it gets, and how.
CASES = {
    "nothing is stored": (FRESH, [], {}, "MISS", SHARED),
    "fresh": (FRESH, [{}], {}, "HIT", MEMORY),
    "stale": (FRESH, [{}, 700], {}, "EXPIRED", VALIDATES),
    "stale-while-revalidate": (SWR, [{}, 1200], {}, "STALE", BEHIND),
    "staler than that": (SWR, [{}, 5000], {}, "EXPIRED", VALIDATES),
    "purged": (FRESH, [{}, dict(method="DELETE")], {}, "MISS", SHARED),
    "purged softly": (SWR, [{}, dict(method="POST", target="/edit")], {}, "STALE", BEHIND),
    "no-store": (dict(cache_control="no-store"), [], {}, "MISS", SHARED),
    "no-store, known": (dict(cache_control="no-store"), [{}], {}, "MISS", ALONE),
    "private, known": (dict(cache_control="private, max-age=600"), [{}], {}, "MISS", ALONE),
    "Set-Cookie, known": (dict(cache_control="max-age=600", set_cookie="a=1"), [{}], {}, "MISS", ALONE),
    "no-cache": (dict(cache_control="no-cache", etag='"1"'), [{}], {}, "EXPIRED", VALIDATES),
    "Authorization": (FRESH, [{}], dict(authorization="Basic x"), "HIT", MEMORY),
    "Cookie": (FRESH, [{}], dict(cookie="a=1"), "HIT", MEMORY),
    "Cookie, and the route's life": ({}, [dict(target="/lost")], dict(target="/lost", cookie="a=1"), "BYPASS", ALONE),
    "Vary, another": (dict(FRESH, vary="X-A"), [dict(x_a="1")], dict(x_a="2"), "MISS", SHARED),
    "Vary, the same": (dict(FRESH, vary="X-A"), [dict(x_a="1")], dict(x_a="1"), "HIT", MEMORY),
    "a range": (FRESH, [{}], dict(range="bytes=0-3"), "HIT", MEMORY),
    "a range beyond the end": (FRESH, [{}], dict(range="bytes=900-"), "HIT", MEMORY),
    "a range of nothing": (FRESH, [], dict(range="bytes=0-3"), "MISS", SHARED),
    "HEAD": (FRESH, [{}], dict(method="HEAD"), "HIT", MEMORY),
    "HEAD of nothing": (FRESH, [], dict(method="HEAD"), "MISS", ALONE),
    "If-Match": (TAGGED, [{}], dict(if_match='"1"'), "BYPASS", ALONE),
    "If-None-Match": (TAGGED, [{}], dict(if_none_match='"1"'), "HIT", MEMORY),
    "POST": (FRESH, [{}], dict(method="POST"), "BYPASS", ALONE),
    "a negative life": (dict(status=404), [dict(target="/lost"), 500], dict(target="/lost"), "HIT", MEMORY),
    "a negative life that is over": (dict(status=404), [dict(target="/lost"), 1500], dict(target="/lost"), "EXPIRED", VALIDATES),
    "a sliding life": ({}, [dict(target="/sliding"), 800, dict(target="/sliding"), 800], dict(target="/sliding"), "HIT", MEMORY),
    "a sliding life that is over": ({}, [dict(target="/sliding"), 1200], dict(target="/sliding"), "EXPIRED", VALIDATES),
    "the asker's no-store": (FRESH, [], dict(cache_control="no-store"), "MISS", ALONE),
    "the asker's no-cache": (FRESH, [dict(target="/obey")], dict(target="/obey", cache_control="no-cache"), "BYPASS", VALIDATES),
    "the asker's only-if-cached": (FRESH, [], dict(target="/obey", cache_control="only-if-cached"), "MISS", OWN),
    "QUERY": (FRESH, [QUERY], QUERY, "HIT", MEMORY),
    "QUERY, another": (FRESH, [QUERY], dict(QUERY, body="a=2"), "MISS", SHARED),
    "No-Vary-Search": (dict(FRESH, no_vary_search='params=("a")'), [dict(target="/page?a=1")], dict(target="/page?a=2"), "HIT", MEMORY),
    "an upgrade": (FRESH, [{}], dict(connection="upgrade", upgrade="x"), "BYPASS", ALONE),
    "a limit that is reached": (FRESH, [dict(target="/limited")], dict(target="/limited"), "BYPASS", OWN),
    "a slice": (TAGGED, [dict(target="/film", range="bytes=0-9")], dict(target="/film", range="bytes=5-20"), "HIT", MEMORY),
    "a slice that is not stored": (TAGGED, [dict(target="/film", range="bytes=0-9")], dict(target="/film", range="bytes=-9"), "MISS",
                                   "asks the origin for the part that is not stored"),
    "HEAD of slices": (TAGGED, [dict(target="/film", range="bytes=0-9")], dict(target="/film", method="HEAD"), "HIT", MEMORY),
    "no slice at all": (TAGGED, [], dict(target="/film", range="bytes=0-9"), "MISS", SHARED),
}


def ask(w, target="/page", method="GET", body=None, **fields):
    return w.request(method, target, body, **HOST, **fields)


def explained(w, target="/page", method="GET", body=None, **fields):
    words = [word for name, value in fields.items() for word in ("--request", f"{name.replace('_', '-')}: {value}")]
    words += [] if body is None else ["--data", body]
    return json.loads(w.cli("explain", f"http://www.a.test{target}", "--json", "--method", method, *words).stdout)


def play_film(exchange):
    first, last = map(int, re.match(r"bytes=(\d+)-(\d+)", exchange.request.headers["range"]).groups())
    part = FILM[first:last + 1]
    exchange.head(206, [("Content-Length", len(part)), ("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(FILM)}"),
                        ("ETag", '"1"'), ("Cache-Control", "max-age=600")])
    exchange.send(part)


def counted(w):
    """All that clients, the cache and its second level have counted."""
    theirs = re.compile(r"forebay_(http_requests|cache_(requests|hits|evictions)|flights|refreshes|ratelimit|redis_requests|upstream_requests)")
    return {str(sample) for sample in w.metrics().samples if theirs.match(sample[0])}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_is_what_the_request_gets(origin, forebay, clock, name):
    fields, before, request, word, does = CASES[name]
    fields = dict(fields)
    origin.on("* /*").reply(fields.pop("status", 200), "a page of some length", **fields)
    origin.on("GET /film").do(play_film)
    w = forebay(CONFIG, app=origin)
    for step in before:
        clock.advance(step) if isinstance(step, int) else ask(w, **step)
    was = counted(w)
    told = explained(w, **request)

    assert (told["outcome"]["status"], told["outcome"]["does"]) == (word, does), told
    assert explained(w, **request)["outcome"] == told["outcome"]
    assert counted(w) == was
    asked = origin.count("* /*")
    answer = ask(w, **request)
    assert answer.headers["X-Cache-Status"] == word
    assert told["outcome"]["code"] in (None, answer.status)
    assert (origin.count("* /*") == asked) == (does in (MEMORY, OWN)) or does == BEHIND


def test_a_life_that_slides_ends_when_it_is_said_to(origin, forebay, clock):
    origin.on("GET /sliding").reply(200, "page")
    w = forebay(CONFIG, app=origin)
    ask(w, "/sliding")

    stored, = explained(w, "/sliding")["stored"]

    assert stored["life"] == pytest.approx(1000, abs=1) and 0 < stored["left"] <= 1000


def test_a_limit_of_each_client_says_nothing_of_this_one(origin, forebay):
    origin.on("GET /limited-each").reply(200, "page", **FRESH)
    w = forebay(CONFIG, app=origin)
    ask(w, "/limited-each")

    told = explained(w, "/limited-each")

    assert told["outcome"]["status"] == "HIT" and told["limits"] == ["each"]


def test_to_ask_does_not_keep_a_page_in_memory(origin, forebay):
    origin.on("GET /*").reply(200, "x" * 20000, cache_control="max-age=600")
    w = forebay("workers: 1\ncache: {memory: 1MiB}\nroutes: [{match: /**}]", app=origin)
    ask(w, "/first")
    for _ in range(3):
        assert explained(w, "/first")["outcome"]["status"] == "HIT"

    for n in range(100):
        ask(w, f"/{n}")

    assert ask(w, "/first").headers["X-Cache-Status"] == "MISS"


def test_what_only_redis_has_is_a_hit_and_looking_is_not_counted(origin, forebay, redis):
    origin.on("GET /*").reply(200, "page", **FRESH)
    one, other = (forebay('cache: {redis: {url: "@redis@", timeout: 2s}}', app=origin, redis=redis) for _ in range(2))
    for w in one, other:
        w.wait_redis()
    ask(one)
    wait_until(lambda: explained(other)["redis"]["found"], "the value in Redis")

    was = counted(other)
    told = explained(other)

    assert (told["outcome"]["status"], told["outcome"]["does"]) == ("HIT", "answers from Redis, and keeps it in memory")
    assert counted(other) == was and told["stored"] == []
    assert explained(other, authorization="Basic x")["outcome"]["status"] == ask(other, authorization="Basic x").headers["X-Cache-Status"]
    assert ask(other).headers["X-Cache-Status"] == "HIT"
