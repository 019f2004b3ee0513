"""Long values are packed and unpacked beside the workers' loops: small in Redis, whole elsewhere, purged in between."""

import random
import re

import pytest

from stage.redis import LONG_S, caught_up
from stage.waiting import wait_until

pytestmark = pytest.mark.tsan

ASKED = "forebay_redis_requests_total"
SITE = {"host": "site.test"}            # the same for all instances
CONFIG = """
    workers: 2
    cache: {redis: {url: "@redis@", timeout: 10s%s}}
    routes:
      - match: GET /report/{id}
        cache: {ttl: 10m, tags: [reports]}
      - match: PUT /reports
        purge: {tags: [reports]}
      - match: /**
"""
MIB = 1 << 20
WORDS = "the flood came in spring and the weir held it back until the mill had ground all its grain".split()


def text(n, seed):
    rng = random.Random(seed)
    some = " ".join(rng.choices(WORDS, k=5000)).encode()
    return (b"<li>%d " % seed + some) * (n // len(some) + 1)


def report(n, seed=7):
    return text(n, seed)[:n]


@pytest.fixture
def group(origin, forebay, redis):
    def make(n=2, more=""):
        instances = [forebay(CONFIG % more, app=origin, redis=redis) for _ in range(n)]
        for w in instances:
            w.wait_redis()
        return instances
    return make


def values(redis, kind="o"):
    return redis.keys(f"forebay:{kind}:*")


def stored_bytes(redis):
    return sum(redis.cli("STRLEN", key) for key in redis.keys("forebay:[ov]:*"))


def only_redis(origin, w):
    """Nobody else answers w from here on."""
    w.wait_redis()
    return origin.hold()


def wait_put(w, n=1, result="done"):
    w.wait_metric(ASKED, n, LONG_S, op="put", result=result)


@pytest.mark.parametrize("size", [2000, 40000, MIB, 7 * MIB])
@pytest.mark.parametrize("fields", [{"content_type": "text/html"}, {"content_type": "application/json", "cache_control": "no-transform"}])
def test_a_text_is_small_in_redis_and_the_same_elsewhere(group, origin, redis, size, fields):
    body = report(size)
    origin.on("GET /report/1").reply(200, body, **fields)
    w1, w2 = group()
    w1.get("/report/1", **SITE).expect(200, body, x_cache_status="MISS")
    wait_put(w1)
    assert stored_bytes(redis) < 600 + size / 2
    with only_redis(origin, w2):
        w2.get("/report/1", **SITE).expect(200, body, x_cache_status="HIT", cache_status=re.compile("detail=redis"))
        w2.get("/report/1", range="bytes=1000-1009", **SITE).expect(206, body[1000:1010])
    assert w2.metric(ASKED, op="get", result="hit") == 1


@pytest.mark.parametrize("secret", ["", ", secret: sixteen-bytes-at-least"])
def test_every_length_and_kind_comes_back(group, origin, redis, secret):
    rng = random.Random(7)
    sizes = (65535, 65536, 65537, 262144, 262145, 3 * MIB, 8 * MIB - 4096)
    bodies = {f"/{kind}/{n}": (report(n), "text/plain") if kind == "text" else (rng.randbytes(n), "video/mp4")
              for n in sizes for kind in ("text", "film")}
    for target, (body, kind) in bodies.items():
        origin.on(f"GET {target}").reply(200, body, cache_control="max-age=600", content_type=kind)
    w1, w2 = group(more=secret)
    for target, (body, _) in bodies.items():
        w1.wait_redis()
        w1.get(target, **SITE).expect(200, body)
    wait_put(w1, len(bodies))
    with only_redis(origin, w2):
        for target, (body, _) in bodies.items():
            w2.wait_redis()
            w2.get(target, **SITE).expect(200, body, x_cache_status="HIT")


def test_a_long_text_that_varies(group, origin, redis):
    def speak(exchange):
        body = report(MIB, len(exchange.request.headers.get("Accept-Language")))
        exchange.head(200, [("Content-Length", len(body)), ("Content-Type", "text/plain"), ("Vary", "Accept-Language")])
        exchange.send(body)
    origin.on("GET /report/1").do(speak)
    w1, w2 = group()
    for language in ("de", "gsw"):
        w1.get("/report/1", accept_language=language, **SITE).expect(200, report(MIB, len(language)))
    wait_put(w1, 4)
    assert len(values(redis, "v")) == 2 and stored_bytes(redis) < MIB
    with only_redis(origin, w2):
        for language in ("de", "gsw"):
            w2.get("/report/1", accept_language=language, **SITE).expect(200, report(MIB, len(language)), x_cache_status="HIT")


def test_what_is_purged_while_it_is_packed_does_not_come_back(group, origin, redis):
    old, new = report(4 * MIB, 1), report(4 * MIB, 2)
    for i in range(6):
        origin.on(f"GET /report/{i}").reply(200, old, content_type="text/plain").reply(200, new, content_type="text/plain")
    origin.on("PUT /reports").reply(204)
    w1, w2 = group()
    for client in [w1.client().ask("GET", f"/report/{i}", **SITE) for i in range(6)]:
        client.answer().expect(200, old)
    w1.request("PUT", "/reports", "x", **SITE).expect(204)                # of what was fetched something is still being packed
    caught_up(redis, w2)
    for i in range(6):
        w2.get(f"/report/{i}", **SITE).expect(200, new)
        w1.get(f"/report/{i}", **SITE).expect(200, new)
    wait_until(lambda: sum(w1.metric(ASKED, op="put", result=r) or 0 for r in ("done", "purged", "outdated", "busy")) >= 6,
               lambda: "all that was fetched first has been packed, or given up", LONG_S)
    w1.restart()                                                          # its memory forgets
    w1.wait_redis()
    for i in range(6):
        w1.get(f"/report/{i}", **SITE).expect(200, new)


@pytest.mark.parametrize("how", ["flip", "cut", "unpacked longer"])
def test_a_damaged_long_value_is_a_miss(group, origin, redis, how):
    body = report(MIB)
    rule = origin.on("GET /report/1").reply(200, body, content_type="text/plain")
    w1, w2 = group()
    w1.get("/report/1", **SITE).expect(200, body)
    wait_put(w1)
    key, = values(redis)
    if how == "cut":
        redis.cli("EVAL", "redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], 0, -1000))", 1, key)
    else:
        redis.cli("SETRANGE", key, 5000 if how == "flip" else 43, b"\xee")
    with rule.hold():                                                     # who asks it meanwhile does not wait for Redis any more
        reader = w2.client().ask("GET", "/report/1", **SITE)
        w2.wait_metric(ASKED, 1, op="get", result="corrupt")
    reader.answer().expect(200, body, x_cache_status="MISS")


def test_who_waits_for_the_fetch_of_another_finds_what_was_packed(group, origin, redis):
    body = report(4 * MIB)
    gate = origin.on("GET /report/1", times=1).reply(200, body, content_type="text/plain").hold()
    instances = group(3, more=", fetch_lock: 30s")
    clients = [w.client().ask("GET", "/report/1", **SITE) for w in instances for _ in range(3)]
    for w in instances:
        w.wait_metric("forebay_flights_total", 2, role="ride")
    origin.wait_asked(1)
    gate.release()
    for client in clients:
        client.answer(LONG_S).expect(200, body)
    assert len(origin.requests) == 1
    wait_until(lambda: not redis.keys("forebay:l:*"), lambda: f"no lock in Redis, there are {redis.keys()}")


@pytest.mark.parametrize("how", ["stop", "reload"])
def test_a_stop_or_another_redis_while_values_are_packed(group, origin, redis, redises, how):
    body = report(4 * MIB)
    origin.on("GET /*").reply(200, body, content_type="text/plain", cache_control="max-age=60")
    w1, = group(1)
    clients = [w1.client().ask("GET", f"/report/{i}", **SITE) for i in range(6)]
    for client in clients:
        client.answer().expect(200, body)
    if how == "stop":
        w1.stop()                                                         # clean, under sanitizers too
        return
    other = redises()
    w1.reload((CONFIG % "").replace("@redis@", other.url))
    w1.wait_redis()
    w1.get("/other", **SITE).expect(200, body)
    wait_until(lambda: values(other), lambda: f"a value in the other Redis, there are {other.keys()}", LONG_S)
