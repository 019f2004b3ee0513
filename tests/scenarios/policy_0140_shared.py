"""Limits that instances share: counted in Redis, never over the limit; without Redis each instance applies its share.

Windows are so long that what a busy machine takes meanwhile does not matter.
"""

import bisect
import re
import time

import pytest

from stage.client import together
from stage.redis import LONG_S, let_time_pass
from stage.waiting import wait_until

DECIDED = "forebay_ratelimit_decisions_total"
UP = "forebay_ratelimit_redis_up"
ASKED = "forebay_ratelimit_redis_requests_total"


def shared(rest, routes="[{match: /**, rate_limit: one, respond: 204}]", more=""):
    return f"""
        cache: {{redis: {{url: "@redis@"}}}}
        rate_limits:
          one: {{scope: shared, key: "header:X-Key", {rest}}}
        limits: {{rate_timeout: 1s{more}}}
        routes: {routes}
    """


FIXED = "algorithm: fixed_window, limit: 10, window: 10m"
LOG = "algorithm: sliding_window, limit: 10, window: 10m"
SEGMENTS = "algorithm: sliding_window, limit: 100, window: 10m"
LEASED = "algorithm: sliding_window, limit: 4000, window: 10m"
LEASED_FIXED = "algorithm: fixed_window, limit: 4000, window: 10m"


@pytest.fixture
def cluster(forebay, redis):
    """Instances that share their limits, each of them in touch with Redis and aware of the others."""
    def begin(rest, count=2, **how):
        with_redis = how.pop("redis", redis)
        all_of_them = [forebay(shared(rest, **how), redis=with_redis) for _ in range(count)]
        for w in all_of_them:
            w.wait_metric(UP, 1)
        return all_of_them
    return begin


def statuses(w, n, key="ann"):
    with w.client() as c:
        return [c.get("/", x_key=key).status for _ in range(n)]


def crowd(instances, each, clients=3, key="ann"):
    """Everybody at once; how many passed."""
    passed = []

    def play(w):
        def run():
            passed.append(statuses(w, each, key).count(204))
        return run
    together(*[play(w) for w in instances for _ in range(clients)], timeout=100)
    return sum(passed)


def in_touch(*instances):
    """Whether Redis decides for all of them: somebody else asks."""
    def is_asked(w):
        before = w.metric(ASKED, result="answered")
        statuses(w, 1, key=f"somebody else {before}")
        return w.metric(UP) == 1 and w.metric(ASKED, result="answered") > before
    return all(is_asked(w) for w in instances)


def later(clock, instances, seconds):
    """What was on its way to Redis seems overdue when time jumps: until all of them are in touch again."""
    clock.advance(seconds)
    let_time_pass(clock, lambda: in_touch(*instances), "Redis to be used")


def is_back(clock, *instances):
    let_time_pass(clock, lambda: in_touch(*instances), "Redis to be used again")


@pytest.mark.parametrize("rest", [FIXED, LOG])
def test_what_one_instance_gives_the_others_have_not(cluster, rest):
    w1, w2 = cluster(rest)
    assert statuses(w1, 6) == [204] * 6
    assert statuses(w2, 6) == [204] * 4 + [429] * 2
    r = w1.get("/", x_key="ann").expect(429)
    assert 500 <= int(r.headers["retry-after"]) <= 600
    assert re.match(r'"one";r=0;t=\d+', r.headers["ratelimit"]) and r.headers["ratelimit-policy"] == '"one";q=10;w=600'
    assert statuses(w1, 1, key="bob") == [204]


@pytest.mark.parametrize("rest, limit", [(FIXED, 10), (LOG, 10), (SEGMENTS, 100), (LEASED, 4000), (LEASED_FIXED, 4000)])
@pytest.mark.patience(240)
def test_a_crowd_on_all_instances_never_passes_the_limit(cluster, clock, rest, limit):
    instances = cluster(rest, count=3)
    each = limit // 6 + 10
    for _ in range(3):
        passed = crowd(instances, each)
        assert limit * 9 // 10 <= passed <= limit, passed
        later(clock, instances, 670)                        # a window, and the segment that permits may come back late
    if limit >= 1000:
        assert sum(w.metric(DECIDED, decision="leased") for w in instances) > limit // 2


def test_a_permit_comes_back_to_all_when_its_time_has_come(cluster, clock):
    w1, w2 = cluster(LOG)
    assert statuses(w1, 5) == [204] * 5
    later(clock, [w1, w2], 300)
    assert statuses(w2, 6) == [204] * 5 + [429]
    later(clock, [w1, w2], 200)
    assert statuses(w1, 1) == statuses(w2, 1) == [429]
    later(clock, [w1, w2], 101)
    assert statuses(w1, 3) + statuses(w2, 3) == [204] * 5 + [429]


def test_who_is_known_to_have_none_is_refused_without_asking(cluster):
    w1, = cluster(FIXED, count=1)
    assert statuses(w1, 11)[-1] == 429
    asked = w1.metric(ASKED, result="answered")
    assert statuses(w1, 50) == [429] * 50
    assert w1.metric(ASKED, result="answered") == asked
    assert w1.metric(DECIDED, decision="foreknown") >= 50


def test_refusals_that_count_count_for_all(cluster, clock):
    w1, w2 = cluster(LOG + ", count: all")
    assert statuses(w1, 10) == [204] * 10
    later(clock, [w1, w2], 400)
    assert statuses(w2, 10) == [429] * 10                   # each takes the place of an older one
    later(clock, [w1, w2], 300)
    assert statuses(w1, 1) == [429]
    later(clock, [w1, w2], 601)
    assert statuses(w1, 1) == [204]


def test_shadow_lets_pass_and_tells(cluster):
    w1, w2 = cluster(FIXED + ", shadow: yes")
    assert statuses(w1, 8) + statuses(w2, 8) == [204] * 16
    wait_until(lambda: sum(w.metric(DECIDED, decision="shadow_refused") for w in (w1, w2)) == 6, "six to be told")


def test_what_a_later_limit_refuses_is_given_back_to_all(forebay, redis):
    config = """
        cache: {redis: {url: "@redis@"}}
        rate_limits:
          wide: {scope: shared, algorithm: sliding_window, limit: 10, window: 10m, key: "header:X-Key"}
          narrow: {algorithm: fixed_window, limit: 1, window: 10m, key: "header:X-Key"}
        limits: {rate_timeout: 1s}
        routes:
          - {match: /both, rate_limit: [wide, narrow], respond: 204}
          - {match: /**, rate_limit: wide, respond: 204}
    """
    w1, w2 = forebay(config, redis=redis), forebay(config, redis=redis)
    for w in (w1, w2):
        w.wait_metric(UP, 1)
    asked = w1.metric(ASKED, result="answered")
    assert [w1.get("/both", x_key="ann").status for _ in range(6)] == [204] + [429] * 5
    w1.wait_metric(DECIDED, 5, limit="wide", decision="refunded")
    w1.wait_metric(ASKED, asked + 6 + 5, result="answered")     # Redis has them back
    assert statuses(w2, 10) == [204] * 9 + [429]


def test_a_queue_is_served_when_redis_says_so_the_oldest_first(cluster, origin, clock, forebay, redis):
    origin.on("GET /*").reply(200)
    config = shared("algorithm: fixed_window, limit: 1, window: 60s, queue: 3, queue_timeout: 1h",
                    routes="[{match: /**, rate_limit: one, cache: off}]")
    w1, w2 = forebay(config, app=origin, redis=redis), forebay(config, app=origin, redis=redis)
    for w in (w1, w2):
        w.wait_metric(UP, 1)
    w2.get("/0").expect(200)
    line = []
    for name in "abc":
        line.append(w1.client().ask("GET", f"/{name}"))
        w1.wait_metric(DECIDED, len(line), decision="queued")
    r = w1.get("/d").expect(429)
    assert 180 <= int(r.headers["retry-after"]) <= 240
    for n in range(3):
        clock.advance(61)
        line[n].answer().expect(200)
        assert [r.path for r in origin.requests] == ["/0", "/a", "/b", "/c"][:n + 2]
    w1.wait_metric(DECIDED, 3, decision="granted")


def test_who_leaves_the_queue_gives_his_place_away(forebay, origin, redis, clock):
    origin.on("GET /*").reply(200)
    w1 = forebay(shared("algorithm: fixed_window, limit: 1, window: 60s, queue: 2, queue_timeout: 10m",
                        routes="[{match: /**, rate_limit: one, cache: off}]"), app=origin, redis=redis)
    w1.wait_metric(UP, 1)
    w1.get("/0").expect(200)
    a, b = w1.client().ask("GET", "/a"), None
    w1.wait_metric(DECIDED, 1, decision="queued")
    b = w1.client().ask("GET", "/b")
    w1.wait_metric(DECIDED, 2, decision="queued")
    a.reset()
    w1.wait_metric(DECIDED, 1, decision="cancelled")
    clock.advance(61)
    b.answer().expect(200)
    assert [r.path for r in origin.requests] == ["/0", "/b"]


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_without_redis_each_instance_applies_its_share(cluster, redis, clock, how):
    w1, w2 = cluster(FIXED, count=2)
    for w in (w1, w2):
        w.wait_metric("forebay_ratelimit_instances", 2)
    assert statuses(w1, 3) == [204] * 3                     # they count in its share
    redis.kill() if how == "killed" else redis.pause()
    together(*[lambda w=w: statuses(w, 10, key="somebody") for w in (w1, w2)])
    for w in (w1, w2):
        w.wait_metric(UP, lambda up: up < 1)
    assert statuses(w1, 10).count(204) <= 2 + (how == "stopped")
    assert statuses(w1, 20, key="new").count(204) + statuses(w2, 20, key="new").count(204) == 10
    assert w1.metric(DECIDED, decision="by_share") > 0
    for w in (w1, w2):
        w.wait_log("rate limits: Redis .* is away")
        assert len(re.findall(r"rate limits: Redis .* is away", w.log)) == 1
    redis.start() if how == "killed" else redis.resume()
    is_back(clock, w1, w2)
    for w in (w1, w2):
        w.wait_log("rate limits: Redis .* decides again")
    assert crowd([w1, w2], 10, clients=1, key="later") == 10


def test_what_was_used_without_redis_is_told_to_it(cluster, redis, clock):
    w1, w2 = cluster(LOG, count=2)
    for w in (w1, w2):
        w.wait_metric("forebay_ratelimit_instances", 2)
    redis.drop_clients()
    redis.kill()
    w1.wait_metric(UP, 0)
    assert statuses(w1, 10).count(204) == 5
    redis.start()
    is_back(clock, w1, w2)
    assert statuses(w1, 1) == [204]
    assert statuses(w2, 10).count(204) == 4


def test_a_redis_that_takes_no_writes_is_not_used(cluster, redis, clock):
    w1, = cluster(FIXED, count=1)
    redis.limit_memory(1)
    assert statuses(w1, 20).count(204) <= 10
    for n in range(10):
        statuses(w1, 1, key=str(n))
    w1.wait_metric(UP, lambda up: up < 1)
    assert w1.metric(ASKED, result="error") > 0
    w1.wait_log("rate limits: Redis .* is away .*OOM")
    redis.limit_memory(0)
    is_back(clock, w1)


def test_keys_in_redis_go_when_their_permits_are_back(cluster, redis):
    w1, = cluster("algorithm: sliding_window, limit: 5, window: 1s", count=1)
    for n in range(50):
        assert statuses(w1, 1, key=str(n)) == [204]
    keys = redis.keys("{forebay:rl:one:*")
    for left_ms in [redis.cli("PTTL", key) for key in keys]:
        assert 0 <= left_ms <= 1000 or left_ms == -2        # it has gone meanwhile
    wait_until(lambda: redis.keys("{forebay:rl:one:*") == [], "all of them to expire", LONG_S)


def test_a_shared_limit_without_redis_is_refused_in_its_place(cli, tmp_path):
    path = tmp_path / "forebay.yaml"
    path.write_text("""listen: "127.0.0.1:8080"
rate_limits:
  one: {algorithm: fixed_window, limit: 1, window: 1s, scope: shared}
routes: [{match: /**, respond: 204, rate_limit: one}]
""")
    done = cli("check", "-c", path)
    assert done.returncode == 1 and re.search(r"forebay.yaml:3:\d+", done.stderr) and "cache.redis.url" in done.stderr


def test_a_stop_does_not_wait_for_leases(cluster):
    w1, w2 = cluster(LEASED)
    crowd([w1, w2], 200)
    w1.stop()
    w2.stop()


def test_slices_go_back_when_an_instance_stops(cluster):
    w1, w2 = cluster(LEASED_FIXED)
    passed = crowd([w1], 500)
    w1.wait_metric(DECIDED, lambda n: n > 0, decision="leased")
    w1.stop()
    assert crowd([w2], 1400) == 4000 - passed


def test_who_stands_in_a_line_that_another_worker_looks_after_is_served_while_it_stops(forebay, redis, origin, clock):
    origin.on("GET /*").reply(200)
    w1 = forebay("workers: 8\n" + shared("algorithm: fixed_window, limit: 4, window: 60s, queue: 20, queue_timeout: 1h",
                                         routes="[{match: /**, rate_limit: one, cache: off}]", more=", drain_timeout: 1h").replace("\n        ", "\n"), app=origin, redis=redis)
    w1.wait_metric(UP, 1)
    assert [w1.get("/").status for _ in range(4)] == [200] * 4
    clients = []
    for n in range(2):                                      # the worker of the first looks after the line
        clients.append(w1.client().ask("GET", f"/{n}"))
        w1.wait_metric(DECIDED, n + 1, decision="queued")
    clients.pop(0).reset()
    w1.wait_metric(DECIDED, 1, decision="cancelled")
    w1.terminate()
    clock.advance(61)
    clients[0].answer().expect(200)
    assert w1.wait_exit() == 0


@pytest.mark.tsan
@pytest.mark.patience(180)
def test_in_no_window_anywhere_pass_more_than_the_limit(cluster):
    """Real time: requests, when they were asked and when answered, on three instances; leases and a queue among them."""
    limit, window_s = 1200, 0.5
    instances = cluster(f"algorithm: sliding_window, limit: {limit}, window: 500ms", count=3)
    for w in instances:
        w.wait_metric("forebay_ratelimit_instances", 3)
    passed, until = [], time.monotonic() + 3

    def play(w):
        def run():
            with w.client() as c:
                while time.monotonic() < until or len(passed) <= limit:
                    asked = time.monotonic()
                    if c.get("/", x_key="ann").status == 204:
                        passed.append((asked, time.monotonic()))
        return run
    together(*[play(w) for w in instances for _ in range(2)], timeout=100)
    asked, answered = (sorted(when) for when in zip(*passed))
    slack = 0.02                                            # the clock is read once in a turn of the loop
    most = max(bisect.bisect_right(answered, a + window_s - slack) - n for n, a in enumerate(asked))    # all of them in between
    assert len(answered) > limit and most <= limit, most


def test_a_million_keys_cannot_grow_what_is_remembered(forebay, redis):
    w1 = forebay(shared("algorithm: sliding_window, limit: 5, window: 6s", more=", rate_table: 64KiB"), redis=redis)
    w1.wait_metric(UP, 1)
    with w1.client() as c:
        for n in range(3000):
            assert c.get("/", x_key=f"{n}").status == 204
    assert w1.metric("forebay_ratelimit_bytes") <= 64 * 1024
    assert w1.metric("forebay_ratelimit_keys") < 1000
    assert statuses(w1, 8, key="again").count(204) == 5
    wait_until(lambda: redis.keys("{forebay:rl:one:*") == [], "Redis to forget them", LONG_S)
