"""Redis that answers late disturbs nobody, and what it has is for the same requests as what is in memory."""

from stage.gate import Gate
from stage.waiting import wait_until

SITE = {"host": "a.test"}               # the same for both instances
REDIS = """
    workers: 1
    cache: {redis: {url: "@redis@", timeout: 10s}}
"""


def written(redis):
    wait_until(lambda: redis.keys("forebay:o:*"), "the response to be in Redis")


def test_an_answer_on_its_way_is_not_broken_off_by_a_late_one(origin, forebay, redis):
    step = Gate()
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=60").reply(
        200, ["first half, ", step, "second half"], cache_control="max-age=60")
    w1, w2 = forebay(REDIS, app=origin, redis=redis.url), forebay(REDIS, app=origin, redis=redis.url)
    for w in (w1, w2):
        w.wait_redis()
    w1.get("/news", **SITE).expect(200, "spring flood")
    written(redis)
    redis.pause()
    c1 = w2.client()
    r = c1.begin("GET", "/news", headers=SITE)
    r.stream.at_least(12)
    redis.resume()
    w2.wait_metric("forebay_redis_requests_total", lambda n: n >= 1, op="get")
    step.release()
    c1.finish(r).expect(200, "first half, second half")


def test_a_life_of_ours_does_not_apply_to_a_cookie_there_either(origin, forebay, redis):
    config = REDIS + "    routes: [{match: /**, cache: {ttl: 60s}}]\n"
    origin.on("GET /page").reply(200, "for nobody known").reply(200, "for you")
    w1, w2 = forebay(config, app=origin, redis=redis.url), forebay(config, app=origin, redis=redis.url)
    for w in (w1, w2):
        w.wait_redis()
    w1.get("/page", **SITE).expect(200, "for nobody known")
    written(redis)
    w2.get("/page", cookie="session=1", **SITE).expect(200, "for you")
