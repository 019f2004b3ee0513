"""The master changes, and nobody who asks for a page notices."""

import itertools
import threading

import pytest

from stage.client import together
from stage.redis import LONG_S
from stage.waiting import wait_until

pytestmark = pytest.mark.patience(240)
ASKED = "forebay_redis_requests_total"
CONFIG = 'workers: 1\ncache: {redis: {url: "@redis@", timeout: 10s}}'


@pytest.fixture
def pages(origin):
    def play(exchange):
        text = f"page {exchange.request.path}"
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=600")])
        exchange.send(text)
    origin.on("GET /*").do(play)
    return origin


def puts(w):
    return w.metric(ASKED, op="put", result="done")


def settled(w):
    """What it fetches is written to Redis now."""
    w.wait_redis(LONG_S)
    before = puts(w)

    def writes(attempt=itertools.count()):
        w.get(f"/warm/{next(attempt)}", host=str(w)).expect(200)
        return puts(w) > before
    wait_until(writes, "something to be written to Redis", LONG_S)


def readers(w, stop, count=3):
    """Pages never asked for before, one after the other, until told to stop: each is answered, and right."""
    def read(k):
        def play():
            n = k
            with w.client() as c:
                while not stop.is_set():
                    c.get(f"/{n}", host="a").expect(200, f"page /{n}")
                    n += count
        return play
    return [read(k) for k in range(count)]


@pytest.mark.tsan
def test_a_fail_over_is_followed_while_requests_flow(pages, forebay, watched):
    w1 = forebay(CONFIG, app=pages, redis=watched)
    settled(w1)
    stop = threading.Event()

    def fail_over():
        try:
            wait_until(lambda: puts(w1) > 20, "the load to be under way", LONG_S)
            watched.fail_over()
            w1.wait_log(f"the master is 127.0.0.1:{watched.replica.port}", timeout=LONG_S)
            settled(w1)
            before = puts(w1)
            wait_until(lambda: puts(w1) > before + 20, "the new master to be used", LONG_S)
        finally:
            stop.set()
    together(*readers(w1, stop), fail_over, timeout=200)
    assert len(watched.ask_replica("KEYS", "forebay:o:*")) > 20
    w2 = forebay(CONFIG, app=pages, redis=watched)          # its sentinels know the new master
    settled(w2)
    w1.get("/after", host="a").expect(200)
    wait_until(lambda: watched.replica.holds("page /after"), "it to be stored", LONG_S)
    w2.wait_redis()
    with pages.hold():
        w2.get("/after", host="a").expect(200, "page /after", x_cache_status="HIT")


def test_an_old_master_that_came_back_as_a_replica_is_left(pages, forebay, watched):
    """It refuses writes then: that is a reason to ask where the master is."""
    w1 = forebay(CONFIG, app=pages, redis=watched)
    settled(w1)
    watched.sentinels[0].cli("SENTINEL", "FAILOVER", "mymaster")
    w1.wait_log(f"the master is 127.0.0.1:{watched.replica.port}", timeout=LONG_S)
    watched.wait_promoted()
    settled(w1)
    w1.get("/1", host="a").expect(200)
    wait_until(lambda: watched.ask_replica("KEYS", "forebay:o:*"), "it to be stored at the new master")


def test_sentinels_that_are_gone_are_said_so(pages, forebay, watched):
    for sentinel in watched.sentinels:
        sentinel.kill()
    w1 = forebay(CONFIG, app=pages, redis=watched)
    w1.wait_log("redis 127.0.0.1:[0-9]+: cannot connect: Connection refused")
    w1.get("/1").expect(200, "page /1")

    def is_told():
        told = w1.admin("GET", "/health/ready").expect(200).json()
        return told["status"] == "degraded" and "Connection refused" in str(told)
    wait_until(is_told, "readiness to tell")
    watched.sentinels[1].start()
    settled(w1)
