"""Instances that share a Redis fetch in turns where they are told to: one asks the origin, the others take what it wrote."""

import re

import pytest

from stage.gate import Gate
from stage.origin import Reply
from stage.waiting import wait_until

pytestmark = pytest.mark.tsan

LOCKS = "forebay_fetch_locks_total"


@pytest.fixture
def trio(origin, forebay, redis):
    def make(lock="30s", more="", n=3):
        config = f'cache: {{redis: {{url: "@redis@", timeout: 10s, fetch_lock: {lock}}}}}\nworkers: 2\n{more}'
        instances = [forebay(config, app=origin, redis=redis) for _ in range(n)]
        for w in instances:
            w.wait_redis()
        return instances
    return make


def crowd(w, n, target="/news"):
    return [w.client().ask("GET", target, host="site") for _ in range(n)]


def all_ride(w, n):
    w.wait_metric("forebay_flights_total", n, role="ride")


def waits_for_the_lock(redis):
    """Somebody looks again and again whether it is gone."""
    def looks():
        told = re.search(r"cmdstat_get:calls=(\d+)", redis.cli("INFO", "commandstats"))
        return int(told[1]) if told else 0
    before = looks()
    wait_until(lambda: looks() >= before + 2, "somebody to look at the lock")


def lock_is_there(redis):
    wait_until(lambda: [k for k in redis.keys() if ":l:" in k], lambda: f"a lock in Redis, there are {redis.keys()}")


@pytest.mark.parametrize("lock,asked", [("30s", 1), ("0", 3)])
def test_five_hundred_at_once_on_three_instances(trio, origin, lock, asked):
    gate = origin.on("GET /news", times=asked).reply(200, "spring flood", cache_control="max-age=60").hold()
    instances = trio(lock)
    clients = [c for w in instances for c in crowd(w, 167)]
    for w in instances:
        all_ride(w, 166)
    origin.wait_asked(asked)
    gate.release()
    for c in clients:
        c.answer().expect(200, "spring flood")
    assert len(origin.requests) == asked
    if asked == 1:
        assert sum(w.metric(LOCKS, result="mine") for w in instances) >= 1
        assert sum(w.metric(LOCKS, result="none") for w in instances) == 0


def test_nothing_is_left_of_the_lock(trio, origin, redis):
    origin.on("/*").reply(200, "spring flood", cache_control="max-age=60")
    origin.on("GET /bad").reply(503, "out of order")
    [w1] = trio(n=1)
    for target, status in (("/news", 200), ("/bad", 503)):
        w1.get(target).expect(status)
    wait_until(lambda: not [k for k in redis.keys() if ":l:" in k], lambda: f"no lock in Redis, there are {redis.keys()}")
    assert w1.metric(LOCKS, result="mine") == 2


def test_what_is_for_one_is_fetched_by_each_instance_and_nobody_waits_again(trio, origin):
    first, later = Gate(), Gate()

    def play(gate):
        def run(exchange):
            gate.pass_through()
            Reply(200, "mine", cache_control="private")(exchange)
        return run
    origin.on("GET /news").do(play(first)).do(play(later))
    w1, w2, w3 = trio()
    clients = crowd(w1, 1)
    origin.wait_asked(1)
    clients += crowd(w2, 5) + crowd(w3, 5)
    all_ride(w2, 4)
    all_ride(w3, 4)
    first.release()
    origin.wait_asked(11)                                           # all of them, before one is answered
    clients += crowd(w2, 3)
    origin.wait_asked(14)                                           # it is known here now
    later.release()
    for c in clients:
        c.answer().expect(200, "mine")
    for w in (w2, w3):
        assert w.metric(LOCKS, result="unshared") == 1


@pytest.mark.parametrize("answer", ["503", "nothing", "no-cache"])
def test_what_one_could_not_get_the_others_ask_for_themselves(trio, origin, answer):
    first = Gate()

    def fail(exchange):
        first.pass_through()
        if answer == "nothing":
            exchange.end("close")
        elif answer == "503":
            Reply(503, "out of order")(exchange)
        else:
            Reply(200, "spring flood", cache_control="no-cache", etag='"1"')(exchange)
    origin.on("GET /news", times=2).do(fail).reply(200, "spring flood", cache_control="max-age=60")
    w1, w2 = trio(n=2)
    [c1] = crowd(w1, 1)
    origin.wait_asked(1)
    c2 = crowd(w2, 3)
    all_ride(w2, 2)
    first.release()
    c1.answer().expect({"503": 503, "nothing": 502}.get(answer, 200))
    for c in c2:
        c.answer().expect(200, "spring flood")


def one_is_late(two, origin, redis):
    """One instance has the lock and is answered when the gate is passed; three clients of the other wait. Both, the gate, and the clients of each."""
    first = Gate()

    def late(exchange):
        first.pass_through()
        Reply(200, "late", cache_control="max-age=60")(exchange)
    origin.on("GET /news", times=2).do(late).reply(200, "spring flood", cache_control="max-age=60")
    w1, w2 = two
    w1.wait_redis()
    [c1] = crowd(w1, 1)
    origin.wait_asked(1)
    lock_is_there(redis)
    w2.wait_redis()
    c2 = crowd(w2, 3)
    all_ride(w2, 2)
    waits_for_the_lock(redis)
    return w1, w2, first, c1, c2


@pytest.mark.parametrize("how", ["dead", "slow"])
def test_nobody_waits_for_one_that_is_dead_or_slow_beyond_the_bound(trio, origin, clock, redis, how):
    w1, w2, first, c1, c2 = one_is_late(trio("20s", n=2), origin, redis)
    if how == "dead":
        w1.kill()
    w2.wait_metric("forebay_flights_total", 1, role="lead")
    assert len(origin.requests) == 1
    clock.advance(21)
    for c in c2:
        c.answer().expect(200, "spring flood")
    assert w2.metric(LOCKS, result="none") == 1
    first.release()
    if how == "slow":
        c1.answer().expect(200, "late")


def test_without_redis_there_is_no_lock_and_no_wait(trio, origin, redis):
    w1, w2, first, c1, c2 = one_is_late(trio(n=2), origin, redis)
    redis.kill()
    for c in c2:
        c.answer().expect(200, "spring flood")
    first.release()
    c1.answer().expect(200, "late")


def test_a_reload_while_another_is_waited_for_leaves_nobody_waiting(trio, origin, redis):
    w1, w2, first, c1, c2 = one_is_late(trio(n=2), origin, redis)
    w2.reload("workers: 2")                                         # without Redis
    for c in c2:
        c.answer().expect(200, "spring flood")
    first.release()
    c1.answer().expect(200, "late")
