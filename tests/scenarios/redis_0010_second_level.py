"""What one instance has fetched another need not fetch, as long as they share a Redis.

The origin is asked meanwhile when Redis takes its time, as it may on a busy machine: where Redis must answer, the origin
is held. Times are so long that what a busy machine takes meanwhile does not matter.
"""

import random
import re
import time

import pytest

from stage.redis import LONG_S
from stage.waiting import wait_until

CACHED = "forebay_cache_requests_total"
ASKED = "forebay_redis_requests_total"
CONFIG = 'cache: {redis: {url: "@redis@", timeout: 10s}}'


def connected(*instances):
    for w in instances:
        w.wait_redis()


def only_redis(origin, w):
    """Nobody else answers w from here on."""
    w.wait_redis()
    return origin.hold()


@pytest.fixture
def pair(origin, forebay, redis):
    two = [forebay(CONFIG, app=origin, redis=redis) for _ in range(2)]
    connected(*two)
    return two


def responses(redis):
    return [key for key in redis.keys() if not key.endswith(":probe") and ":log" not in key]


def stored(redis, n=1):
    wait_until(lambda: len(responses(redis)) >= n, lambda: f"{n} values in Redis, there are {redis.keys()}")


def test_one_fetches_and_both_serve(pair, origin, redis):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=600", etag='"7"', x_extra="1")
    w1, w2 = pair
    began_s = time.monotonic()
    w1.get("/news").expect(200, "spring flood", x_cache_status="MISS")
    stored(redis)
    only_redis(origin, w2)
    r = w2.get("/news", host=w1.address).expect(200, "spring flood", x_cache_status="HIT", etag='"7"', x_extra="1")
    assert "detail=redis" in r.headers["cache-status"] and int(r.headers["age"]) <= 1 + time.monotonic() - began_s
    w2.wait_metric(CACHED, 1, status="HIT", tier="redis")
    w2.get("/news", host=w1.address).expect(200, "spring flood", x_cache_status="HIT")          # from memory now
    w2.wait_metric(CACHED, 1, status="HIT", tier="memory")
    w2.get("/news", host=w1.address, if_none_match='"7"').expect(304)
    w2.get("/news", host=w1.address, range="bytes=0-5").expect(206, "spring")
    w2.head("/news", host=w1.address).expect(200, content_length=12)


def test_its_memory_is_told(pair, origin, redis, clock):
    origin.on("GET /*").reply(200, "x" * 1000, cache_control="max-age=600")
    w1, _ = pair
    memory, limit = (lambda name=name: w1.metric(f"forebay_redis_node_memory{name}_bytes") or 0 for name in ("", "_limit"))

    def told():
        clock.advance(15)
        w1.get(f"/{told.n}").expect(200)                            # it is asked when it is used
        told.n += 1
        return limit() == 64 << 20 and memory() > 500_000
    told.n = 0

    redis.limit_memory("64mb")
    wait_until(told, lambda: f"what Redis says: {memory()}, at most {limit()}", LONG_S)


def test_what_is_older_than_memory_may_keep_it_is_used_and_kept_so_long_from_then_on(origin, forebay, redis, clock):
    origin.on("GET /news").reply(200, "one", cache_control="max-age=36000").reply(200, "two")
    w1, w2 = [forebay('cache: {redis: {url: "@redis@", timeout: 10s, memory_life: 10m}}', app=origin, redis=redis) for _ in range(2)]
    connected(w1, w2)
    w1.get("/news", host="a").expect(200, "one")
    stored(redis)
    clock.advance(4000)
    w2.wait_redis()
    with only_redis(origin, w2):
        w2.get("/news", host="a").expect(200, "one", x_cache_status="HIT", cache_status=re.compile("detail=redis"))
        clock.advance(500)
        w2.get("/news", host="a").expect(200, "one", x_cache_status="HIT", cache_status=re.compile(r"hit; ttl=(100|\d\d)$"))
        clock.advance(110)
        w2.wait_redis()
        w2.get("/news", host="a").expect(200, "one", x_cache_status="HIT", cache_status=re.compile("detail=redis"))


def test_age_and_life_go_on(pair, origin, redis, clock):
    origin.on("GET /news").reply(200, "one", cache_control="max-age=600")
    w1, w2 = pair
    began_s = time.monotonic()
    w1.get("/news", host="a").expect(200, "one")
    stored(redis)
    clock.advance(400)
    w2.wait_redis()
    with only_redis(origin, w2):
        age_s = int(w2.get("/news", host="a").expect(200, "one", x_cache_status="HIT").headers["age"])
    assert 400 <= age_s <= 401 + time.monotonic() - began_s
    origin.on("GET /news").reply(200, "two", cache_control="max-age=600")
    clock.advance(201)
    w2.get("/news", host="a").expect(200, "two")


def test_it_outlives_a_restart(origin, forebay, redis):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=600")
    w1 = forebay(CONFIG, app=origin, redis=redis)
    connected(w1)
    w1.get("/news").expect(200)
    stored(redis)
    w1.restart()
    connected(w1)
    only_redis(origin, w1)
    w1.get("/news").expect(200, "spring flood", x_cache_status="HIT")


def test_variants_keep_apart(pair, origin, redis):
    def speak(exchange):
        text = f"in {exchange.request.headers.get('Accept-Language')}"
        exchange.head(200, [("Content-Length", len(text)), ("Vary", "Accept-Language"), ("Cache-Control", "max-age=600")])
        exchange.send(text)
    origin.on("GET /news").do(speak)
    w1, w2 = pair
    for language in ("de", "fr"):
        w1.get("/news", host="a", accept_language=language).expect(200, x_cache_status="MISS")
    stored(redis, 3)
    with only_redis(origin, w2):
        for language in ("de", "fr"):
            w2.get("/news", host="a", accept_language=language).expect(200, f"in {language}", x_cache_status="HIT")
    w2.get("/news", host="a", accept_language="it").expect(200, "in it", x_cache_status="MISS")


def test_bytes_of_all_kinds_and_sizes(pair, origin, redis):
    rng = random.Random(7)
    bodies = {f"/{n}": rng.randbytes(n) if n % 2 else b"text and more text. " * (n // 20) for n in (0, 1, 100, 1023, 1024, 9001, 65536, 200001, 3000000)}
    for target, body in bodies.items():
        origin.on(f"GET {target}").reply(200, body, cache_control="max-age=600", content_type="text/plain" if len(body) % 2 == 0 else "image/x")
    w1, w2 = pair
    for target in bodies:
        w1.wait_redis()
        w1.get(target, host="a").expect(200, bodies[target])
    stored(redis, len(bodies))
    only_redis(origin, w2)
    for target in bodies:
        w2.wait_redis()
        w2.get(target, host="a").expect(200, bodies[target], x_cache_status="HIT")


def test_what_is_private_never_gets_there(pair, origin, redis):
    origin.on("GET /mine").reply(200, "x", cache_control="private, max-age=60")
    origin.on("GET /cookie").reply(200, "x", cache_control="max-age=600", set_cookie="a=1")
    origin.on("GET /known").reply(200, "x", cache_control="max-age=600")
    origin.on("GET /kept").reply(200, "x", cache_control="max-age=600")
    w1, _ = pair
    for target, fields in (("/mine", {}), ("/cookie", {}), ("/known", {"authorization": "x"}), ("/kept", {})):
        w1.get(target, **fields).expect(200)
    w1.wait_metric(ASKED, 1, op="put", result="done")
    key, = responses(redis)
    assert "a=1" not in str(redis.cli("GET", key))


def test_prefixes_keep_sites_apart(origin, forebay, redis):
    origin.on("GET /news").reply(200, "x", cache_control="max-age=600")
    w1 = forebay('cache: {redis: {url: "@redis@", prefix: one, timeout: 10s}}', app=origin, redis=redis)
    w2 = forebay('cache: {redis: {url: "@redis@", prefix: two, timeout: 10s}}', app=origin, redis=redis)
    connected(w1, w2)
    for w in (w1, w2):
        w.get("/news", host="a").expect(200, x_cache_status="MISS")
        w.wait_metric(ASKED, 1, op="put", result="done")
    assert sorted(key.split(":")[0] for key in responses(redis)) == ["one", "two"]


ROUTES = CONFIG + """
routes:
  - match: GET /products/{id}
    cache: {ttl: 10m, tags: ["product:{id}"]}
  - match: PUT /products/{id}
    purge: {tags: ["product:{id}"]}
  - match: PUT /others/{id}
    purge: {tags: ["other:{id}"]}
  - match: /**
"""


def test_what_was_purged_does_not_come_back_from_redis(origin, forebay, redis):
    origin.on("GET /products/1").reply(200, "old").reply(200, "new")
    origin.on("PUT /products/1").reply(204)
    w1 = forebay(ROUTES, app=origin, redis=redis)
    connected(w1)
    w1.get("/products/1").expect(200, "old", x_cache_status="MISS")
    stored(redis)
    w1.request("PUT", "/products/1", "x").expect(204)
    w1.get("/products/1").expect(200, "new", x_cache_status="MISS")


def test_nor_what_another_instance_had_put_there(origin, forebay, redis):
    origin.on("GET /products/1").reply(200, "old").reply(200, "new")
    origin.on("PUT /*").reply(204)
    w1, w2 = (forebay(ROUTES, app=origin, redis=redis) for _ in range(2))
    connected(w1, w2)
    for n in range(20):                                 # the other one's log is longer, and says nothing of ours
        w1.request("PUT", f"/others/{n}", "x").expect(204)
    w1.get("/products/1", host="a").expect(200, "old", x_cache_status="MISS")
    stored(redis)
    w2.request("PUT", "/products/1", "x", host="a").expect(204)
    w2.get("/products/1", host="a").expect(200, "new")
    w2.get("/products/1", host="a").expect(200, "new", x_cache_status="HIT")


def test_a_shared_secret_is_needed_to_be_believed(origin, forebay, redis):
    origin.on("GET /news").reply(200, "x", cache_control="max-age=600")
    w1 = forebay(CONFIG, app=origin, redis=redis)
    w2 = forebay('cache: {redis: {url: "@redis@", timeout: 10s, secret: sixteen-bytes-at-least}}', app=origin, redis=redis)
    connected(w1, w2)
    w1.get("/news", host="a").expect(200)
    stored(redis)
    w2.get("/news", host="a").expect(200, x_cache_status="MISS")


def test_what_a_query_found_is_shared_by_its_content(pair, origin, redis):
    rule = origin.on("QUERY /search").reply(200, "found", cache_control="max-age=600")
    w1, w2 = pair
    w1.request("QUERY", "/search", "a", content_type="a/b", host="shop.test").expect(200, "found")
    stored(redis)
    with only_redis(rule, w2):
        w2.request("QUERY", "/search", "a", content_type="a/b", host="shop.test").expect(200, "found", x_cache_status="HIT")
    w2.request("QUERY", "/search", "b", content_type="a/b", host="shop.test").expect(200, x_cache_status="MISS")


def test_what_answers_many_queries_is_kept_in_memory_alone(pair, origin, redis):
    origin.on("GET /page").reply(200, "page", cache_control="max-age=600", no_vary_search='params=("a")')
    origin.on("GET /other").reply(200, "other", cache_control="max-age=600")
    w1, w2 = pair
    w1.get("/page?a=1", host="shop.test").expect(200, "page")
    w1.get("/page?a=2", host="shop.test").expect(200, x_cache_status="HIT")
    w1.get("/other", host="shop.test").expect(200)                                   # written after it would have been
    stored(redis)
    assert len(responses(redis)) == 1
    w2.get("/page?a=1", host="shop.test").expect(200, x_cache_status="MISS")
    with only_redis(origin, w2):
        w2.get("/other", host="shop.test").expect(200, x_cache_status="HIT")
