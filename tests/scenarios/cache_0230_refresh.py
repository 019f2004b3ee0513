"""What is asked for often is fetched again before it expires, and what slides lives as long as it is used."""

import pytest

from stage.gate import Gate
from stage.origin import Reply
from stage.waiting import wait_until

FETCH_S, LIFE_S = 60, 2000          # by the clock of the stage: what the machine itself takes is little beside it
PEACE_S = 1                         # at least, after a refresh that failed
EARLY, REFRESHES = "forebay_cache_refreshes_early_total", "forebay_cache_refreshes_total"


@pytest.fixture
def slow(origin, forebay, clock):
    """A daemon with an object whose fetch took a minute and whose life is half an hour; what comes next is held by the gate
    given back."""
    def make(config="workers: 4"):
        first, later = Gate(), Gate()

        def play(gate, n):
            def run(exchange):
                gate.pass_through()
                Reply(200, f"number {n}", cache_control=f"max-age={LIFE_S}")(exchange)
            return run
        origin.on("GET /news").do(play(first, 1)).do(play(later, 2))
        w1 = forebay(f'{config}\nupstreams: {{app: {{servers: ["@app@"], timeouts: {{response: 1h}}}}}}', app=origin)
        c = w1.client().ask("GET", "/news")
        first.wait_arrived()
        clock.advance(FETCH_S)
        first.release()
        c.answer().expect(200, "number 1", x_cache_status="MISS")
        return w1, later
    return make


def pass_all_but(clock, left_s):
    """Nearly all of the object's life; it began to age when it was asked for."""
    clock.advance(LIFE_S - FETCH_S - left_s)


@pytest.mark.tsan
def test_what_is_hot_is_refreshed_before_it_expires_and_by_one_only(slow, origin, clock):
    w1, later = slow()
    pass_all_but(clock, 30)                                         # half of what it took to fetch
    for _ in range(60):
        w1.get("/news").expect(200, "number 1", x_cache_status="HIT")
    later.wait_arrived()
    assert len(origin.requests) == 2 and later.arrived == 1
    assert w1.metric(EARLY) == 1 and w1.metric(REFRESHES) == 1
    later.release()
    w1.wait_metric("forebay_cache_stored_total", 2)
    w1.get("/news").expect(200, "number 2", x_cache_status="HIT")
    clock.advance(60)                                               # the first would have expired
    w1.get("/news").expect(200, "number 2", x_cache_status="HIT")


@pytest.mark.parametrize("config", ["cache: {early_refresh: 0%}", "routes: [{match: /**, cache: {early_refresh: 0%}}]"])
def test_it_can_be_turned_off(slow, origin, clock, config):
    w1, later = slow(config)
    pass_all_but(clock, 30)
    for _ in range(60):
        w1.get("/news").expect(200, "number 1", x_cache_status="HIT")
    assert w1.metric(REFRESHES) == 0 and len(origin.requests) == 1


def test_nothing_is_refreshed_long_before_its_end(slow, origin, clock):
    w1, later = slow()
    for _ in range(60):
        w1.get("/news").expect(200, "number 1", x_cache_status="HIT")   # 32 times what it took to fetch: never, up from 23
    assert len(origin.requests) == 1


def test_a_head_does_not_refresh(slow, origin, clock):
    w1, later = slow()
    pass_all_but(clock, 30)
    for _ in range(60):
        w1.head("/news").expect(200, x_cache_status="HIT")
    assert len(origin.requests) == 1


def test_a_hot_key_never_waits_though_its_fetch_is_quick(origin, forebay, clock):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=1000")
    w1 = forebay("workers: 1\ncache: {early_refresh: 200%}", app=origin)    # twice as early: the odds of none are one in 10^10
    c = w1.client()
    c.get("/news").expect(200, x_cache_status="MISS")
    for _ in range(600):                                            # 400 hits in each life, over one and a half
        clock.advance(2.5)
        r = c.get("/news").expect(200, x_cache_status="HIT")
        if int(r.headers.get("age", "0")) > 500:                    # the origin is quick, by this clock, too
            wait_until(lambda: w1.metric("forebay_cache_stored_total") == 1 + w1.metric(REFRESHES), "a refresh to end")
    assert w1.metric(EARLY) >= 1


def test_a_failed_early_refresh_leaves_what_is_fresh_and_the_origin_in_peace(slow, origin, clock):
    w1, later = slow("workers: 1")
    later.release()
    origin.on("GET /news").reply(503, "out of order")
    pass_all_but(clock, 40)

    def hit():
        return w1.get("/news").expect(200, "number 1", x_cache_status="HIT")
    for _ in range(2):                                              # one, and one more a while later, not one for each hit
        before, watch = w1.metric(REFRESHES), clock.watch()
        wait_until(lambda: hit() and w1.metric(REFRESHES) > before, "an attempt")
        for _ in range(60):
            hit()
        assert w1.metric(REFRESHES) - before <= 1 + watch.s() / PEACE_S
        clock.advance(2 * PEACE_S)
    wait_until(lambda: len(origin.requests) == 1 + w1.metric(REFRESHES), "each to be a request")


def test_a_stale_answers_refresh_that_failed_is_not_repeated_at_once(origin, forebay, clock):
    origin.on("GET /news").reply(200, "old", cache_control="max-age=10, stale-while-revalidate=600").reply(503, "out of order")
    w1 = forebay("workers: 1", app=origin)
    w1.get("/news").expect(200, "old", x_cache_status="MISS")
    clock.advance(20)
    watch = clock.watch()
    for _ in range(20):
        r = w1.get("/news").expect(200, "old")
        assert r.cache_status in ("STALE", "UPDATING")
    origin.wait_asked(2)
    wait_until(lambda: w1.get("/news").expect(200, "old").cache_status == "STALE", "the failure to be known")
    assert len(origin.requests) <= 2 + watch.s() / PEACE_S
    asked = len(origin.requests)
    clock.advance(3)
    w1.get("/news").expect(200, "old", x_cache_status="STALE")
    origin.wait_asked(asked + 1)


SLIDING = "routes: [{match: /**, cache: {ttl: 10m, sliding: 50m}}]"


def test_a_sliding_life_begins_again_with_each_hit_up_to_its_cap(origin, forebay, clock):
    origin.on("GET /session").reply(200, "one").reply(200, "two")
    w1 = forebay(SLIDING, app=origin)
    watch = clock.watch()
    w1.get("/session").expect(200, "one", x_cache_status="MISS")
    for _ in range(5):
        clock.advance(500)
        r = w1.get("/session").expect(200, "one", x_cache_status="HIT")
        assert watch.is_age(r.headers["age"])
    clock.advance(450)                                              # used just now, but nearly fifty minutes old
    w1.get("/session").expect(200, "one", x_cache_status="HIT")
    clock.advance(100)
    w1.get("/session").expect(200, "two", x_cache_status="EXPIRED")


def test_a_sliding_life_ends_when_nobody_asks(origin, forebay, clock):
    origin.on("GET /session").reply(200, "one").reply(200, "two")
    w1 = forebay(SLIDING, app=origin)
    w1.get("/session").expect(200, "one", x_cache_status="MISS")
    clock.advance(500)
    w1.get("/session").expect(200, "one", x_cache_status="HIT")
    clock.advance(620)
    w1.get("/session").expect(200, "two", x_cache_status="EXPIRED")


def test_what_the_origin_gives_a_life_does_not_slide(origin, forebay, clock):
    origin.on("GET /session").reply(200, "one", cache_control="max-age=600").reply(200, "two")
    w1 = forebay(SLIDING, app=origin)
    w1.get("/session").expect(200, "one", x_cache_status="MISS")
    clock.advance(500)
    w1.get("/session").expect(200, "one", x_cache_status="HIT")
    clock.advance(120)
    w1.get("/session").expect(200, "two", x_cache_status="EXPIRED")


def test_a_sliding_life_in_redis_goes_on_with_each_use(origin, forebay, redis, clock):
    config = "cache: {redis: {url: '@redis@', timeout: 10s}}\n" + SLIDING
    origin.on("GET /session").reply(200, "one")
    w1 = forebay(config, app=origin, redis=redis)
    w2 = forebay(config, app=origin, redis=redis)
    for w in (w1, w2):
        w.wait_redis()
    w1.get("/session", host="a").expect(200, "one", x_cache_status="MISS")
    w1.wait_metric("forebay_redis_requests_total", 1, op="put", result="done")
    [key] = [k for k in redis.keys() if ":o:" in k]
    ttl = int(redis.cli("PTTL", key))
    assert 300_000 < ttl <= 600_000                                  # nothing tells there when it was used: no longer than it is fresh
    redis.cli("PEXPIRE", key, "200000")
    clock.advance(100)                                              # a use right after another is not worth telling
    w2.wait_redis()
    origin.hold()
    w2.get("/session", host="a").expect(200, "one", x_cache_status="HIT")
    w2.wait_metric("forebay_redis_requests_total", 1, op="touch", result="done")
    assert 300_000 < int(redis.cli("PTTL", key)) <= 600_000


def test_a_sliding_life_that_ended_does_not_begin_again_from_redis(origin, forebay, redis, clock):
    config = "cache: {redis: {url: '@redis@', timeout: 10s}}\nroutes: [{match: /**, cache: {ttl: 60s, sliding: 30m}}]"
    origin.on("GET /session").reply(200, "one").reply(200, "two")
    w1 = forebay(config, app=origin, redis=redis)
    w1.wait_redis()
    w1.get("/session", host="a").expect(200, "one", x_cache_status="MISS")
    w1.wait_metric("forebay_redis_requests_total", 1, op="put", result="done")
    [key] = [k for k in redis.keys() if ":o:" in k]
    clock.advance(200)
    redis.cli("PEXPIRE", key, str(int(redis.cli("PTTL", key)) - 200_000))     # time goes by there, too
    w1.wait_redis()
    w1.get("/session", host="a").expect(200, "two", x_cache_status="EXPIRED")


def test_a_sliding_cap_shorter_than_the_life_is_refused(cli, tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("listen: 127.0.0.1:1\nupstreams: {a: {servers: ['127.0.0.1:2']}}\nroutes: [{match: /**, cache: {ttl: 60s, sliding: 10s}}]\n")
    done = cli("check", "-c", path)
    assert done.returncode != 0 and "sliding" in done.stdout + done.stderr


def test_the_origins_lives_are_spread_too(origin, forebay, clock):
    origin.on("/*").reply(200, "x", cache_control="max-age=1000")
    w1 = forebay("routes: [{match: /**, cache: {jitter: 50%}}]", app=origin)
    c = w1.client()
    for n in range(80):
        c.get(f"/{n}").expect(200, x_cache_status="MISS")
    clock.advance(750)
    c = w1.client()  # the other has been idle for too long
    fresh = [c.get(f"/{n}").cache_status for n in range(80)].count("HIT")
    assert 10 <= fresh <= 70                                        # each as likely as not: the odds of less or more are one in 10^12


def test_a_refresh_by_head_does_not_end_sharing(origin, forebay, client, clock):
    stale = dict(cache_control="max-age=10, stale-while-revalidate=60")
    origin.on("GET /news").reply(200, "one", etag='"1"', **stale)
    origin.on("HEAD /news").reply(200, etag='"2"', content_length=3, **stale)
    w1 = forebay(app=origin)
    w1.get("/news", host="a").expect(200, "one", x_cache_status="MISS")
    clock.advance(15)
    w1.head("/news", host="a").expect(200, x_cache_status="STALE")
    asked = '{"url": "http://a/news"}'
    wait_until(lambda: w1.admin("POST", "/explain", asked).json()["stored"][0]["purged"] != "no", "HEAD to tell that it has changed")
    assert w1.admin("POST", "/explain", asked).json()["is_unshared"] is False


def test_who_forbids_to_store_begins_no_refresh(origin, forebay, clock):
    origin.on("GET /news").reply(200, "one", cache_control="max-age=10, stale-while-revalidate=60").reply(200, "two", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "one", x_cache_status="MISS")
    clock.advance(15)
    w1.get("/news", cache_control="no-store").expect(200, "one", x_cache_status="STALE")
    w1.get("/news").expect(200, "one", x_cache_status="STALE")
    wait_until(lambda: w1.metric("forebay_cache_stored_total") == 2, "the refresh to be stored")
    w1.get("/news").expect(200, "two", x_cache_status="HIT")
    assert len(origin.requests) == 2
