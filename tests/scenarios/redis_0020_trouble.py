"""Redis down, slow, full or mad: no reader notices more than a bounded wait."""

import itertools
import re
import socket
import threading

import pytest

from stage.client import together
from stage.redis import LONG_S, let_time_pass
from stage.waiting import ports, wait_until

ASKED = "forebay_redis_requests_total"
UP = "forebay_redis_up"
CONFIG = 'cache: {redis: {url: "@redis@", timeout: 200ms, memory_life: 1s}}'


@pytest.fixture
def pages(origin):
    def play(exchange):
        text = f"page {exchange.request.path}"
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=600")])
        exchange.send(text)
    origin.on("GET /*").do(play)
    return origin


def read(w1, first, count, at_once=4):
    """All of them answered, and right."""
    def some(k):
        def play():
            with w1.client() as c:
                for n in range(first + k, first + count, at_once):
                    c.get(f"/{n}").expect(200, f"page /{n}")
        return play
    together(*[some(k) for k in range(at_once)], timeout=LONG_S)


def come_back(w1, clock):
    """Nothing is done for it but to let time pass."""
    let_time_pass(clock, w1.uses_redis, "Redis to be used again")


def used_again(w1, n):
    before, pages = w1.metric(ASKED, op="put", result="done"), itertools.count(n)

    def writes():
        read(w1, next(pages), 1)
        return w1.metric(ASKED, op="put", result="done") > before
    wait_until(writes, "something to be written to Redis", LONG_S)


def test_down_at_the_start(pages, forebay, redis, clock):
    redis.kill()
    w1 = forebay(CONFIG, app=pages, redis=redis)
    assert w1.metric(UP) == 0
    read(w1, 0, 40)
    redis.start()
    come_back(w1, clock)
    used_again(w1, 100)


@pytest.mark.tsan
def test_killed_under_load(pages, forebay, redis, clock):
    w1 = forebay(CONFIG, app=pages, redis=redis)
    w1.wait_redis()

    def end():
        wait_until(lambda: pages.count() > 50, "the load to be under way")
        redis.kill()
    together(lambda: read(w1, 0, 400), end, timeout=LONG_S)
    w1.wait_metric(UP, 0)
    read(w1, 400, 20)
    redis.start()
    come_back(w1, clock)
    used_again(w1, 1000)


def test_hanging(pages, forebay, redis, clock):
    w1 = forebay("workers: 1\n" + CONFIG, app=pages, redis=redis)             # each worker has a breaker, and finds out for itself
    w1.wait_redis()
    read(w1, 0, 8)
    redis.pause()
    read(w1, 100, 60)
    pages_read = itertools.count(1000)

    def is_left_alone():
        """Time goes on, somebody asks, and it is not passed on."""
        clock.advance(1)
        before = w1.metric(ASKED, op="get", result="breaker")
        read(w1, next(pages_read), 1)
        return w1.metric(UP) == 0 and w1.metric(ASKED, op="get", result="breaker") > before
    wait_until(is_left_alone, "the breaker to open", LONG_S)
    asked = [w1.metric(ASKED, op="get", result=result) for result in ("timeout", "breaker")]
    read(w1, 200, 40)
    w1.wait_metric(ASKED, asked[1] + 40, op="get", result="breaker")         # no longer asked, but for probes
    assert w1.metric(ASKED, op="get", result="timeout") - asked[0] <= 6
    redis.resume()
    come_back(w1, clock)
    used_again(w1, 300)


def test_a_hanging_redis_holds_up_nobody_who_has_it_in_memory_or_at_the_origin(pages, forebay, redis):
    w1 = forebay(CONFIG.replace("200ms", "10s"), app=pages, redis=redis)     # a time-out no test would wait for
    w1.wait_redis()
    w1.get("/1").expect(200)
    redis.pause()
    w1.get("/1").expect(200, x_cache_status="HIT")
    for n in range(2, 8):
        w1.get(f"/{n}", ).expect(200, f"page /{n}", x_cache_status="MISS")   # the origin is asked meanwhile
    redis.resume()


def test_out_of_memory(pages, forebay, redis, clock):
    w1 = forebay("workers: 1\n" + CONFIG, app=pages, redis=redis)
    w1.wait_redis()
    w1.get("/1").expect(200)
    w1.wait_metric(ASKED, 1, op="put", result="done")
    redis.limit_memory(1)
    read(w1, 100, 1)
    w1.wait_metric(ASKED, 1, op="put", result="error")
    w1.wait_metric(UP, 0)
    read(w1, 101, 40)
    assert w1.metric(ASKED, op="put", result="error") == 1                   # told once that there is no room, it does not insist
    w1.wait_log(r"(?i)redis.*OOM")
    redis.limit_memory(0)
    come_back(w1, clock)
    used_again(w1, 200)


def test_dropped_connections_are_made_again(pages, forebay, redis, clock):
    w1 = forebay(CONFIG, app=pages, redis=redis)
    w1.wait_redis()
    for n in range(3):
        redis.drop_clients()
        read(w1, 100 * n, 10)
        come_back(w1, clock)
    used_again(w1, 1000)


class Stranger:
    """Listens where Redis should be and says what it likes."""

    def __init__(self, says):
        self.says, self.port, self.live = says, ports.free(), []
        self.sock = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            self.live.append(peer)
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer):
        try:
            while peer.recv(65536):
                peer.sendall(self.says)
        except OSError:
            pass

    def __str__(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self):
        for sock in [self.sock, *self.live]:
            sock.close()


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"\x00" * 1000, b"$-99\r\n", b"*1000000000\r\n",
                                  b"$536870912\r\nabc", b"+OK\r\n" * 50, b":1\r\n", b"$5\r\nhello\r\n", b"-NOAUTH Authentication required.\r\n",
                                  b"*-1\r\n", b"*1\r\n" * 2000, b"$99999999999999999999\r\n", b""])
def test_garbage_instead_of_redis(pages, forebay, says):
    stranger = Stranger(says)
    try:
        w1 = forebay(CONFIG, app=pages, redis=stranger)
        read(w1, 0, 40)
        assert w1.metric(ASKED, op="get", result="hit") == 0
        assert w1.rss_kib() < (200 if not w1.is_sanitized else 900) * 1024
    finally:
        stranger.close()


def value_of(redis):
    key, = redis.keys("forebay:o:*")
    value = redis.cli("GET", key)
    return key, value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "long", "text", "list", "other key"])
@pytest.mark.parametrize("secret", ["", ", secret: sixteen-bytes-at-least"])
def test_a_tampered_value_is_a_miss(pages, forebay, redis, how, secret):
    config = CONFIG.replace("200ms", "10s" + secret)
    w1, w2 = (forebay(config, app=pages, redis=redis) for _ in range(2))
    for w in (w1, w2):
        w.wait_redis()
    w1.get("/1", host="a").expect(200)
    w1.wait_metric(ASKED, 1, op="put", result="done")
    key, value = value_of(redis)
    if how == "list":
        redis.cli("DEL", key)
        redis.cli("RPUSH", key, "x")
    elif how == "other key":
        w1.get("/2", host="a").expect(200)
        w1.wait_metric(ASKED, 2, op="put", result="done")
        other, = [k for k in redis.keys("forebay:o:*") if k != key]
        redis.cli("SET", key, redis_bytes(redis, other))
    else:
        middle = len(value) // 2
        redis.cli("SET", key, {"flip": value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1:], "cut": value[:-1], "empty": b"",
                               "long": value + b"x", "text": b"page /1"}[how])
    w2.get("/1", host="a").expect(200, "page /1", x_cache_status="MISS")
    assert w2.metric(ASKED, op="get", result="hit") == 0


def redis_bytes(redis, key):
    value = redis.cli("GET", key)
    return value.encode() if isinstance(value, str) else value


@pytest.mark.parametrize("size", [9 << 20, 64 << 20])
def test_a_huge_value_is_not_taken_in(pages, forebay, redis, size):
    w1 = forebay(CONFIG.replace("200ms", "10s"), app=pages, redis=redis)
    w1.wait_redis()
    w1.get("/1").expect(200)
    w1.wait_metric(ASKED, 1, op="put", result="done")
    key, value = value_of(redis)
    redis.cli("SET", key, value + b"x" * size)
    w2 = forebay(CONFIG.replace("200ms", "10s"), app=pages, redis=redis)
    w2.wait_redis()
    w2.get("/1", host=w1.address).expect(200, "page /1", x_cache_status="MISS")
    assert w2.rss_kib() < (100 if not w2.is_sanitized else 900) * 1024
    read(w2, 100, 10)


def test_what_is_too_large_for_redis_stays_out(origin, forebay, redis):
    body = b"0123456789abcdef" * (10 << 16)                                  # 10 MiB
    origin.on("GET /film", times=1).reply(200, body, cache_control="max-age=600")
    w1 = forebay('cache: {max_object: 100MiB, redis: {url: "@redis@", timeout: 10s}}', app=origin, redis=redis)
    w1.wait_redis()
    w1.get("/film").expect(200, body)
    w1.get("/film").expect(200, body, x_cache_status="HIT")
    w1.wait_metric(ASKED, 1, op="put", result="too_large")
    assert redis.keys("forebay:o:*") == []


def told(w1):
    return w1.admin("GET", "/health/ready").expect(200).json()["checks"]["redis"]


def test_readiness_and_the_log_tell_of_it(pages, forebay, redis, clock):
    w1 = forebay(CONFIG, app=pages, redis=redis)
    w1.wait_redis()
    wait_until(lambda: told(w1)["healthy"], "readiness to tell")
    redis.kill()
    w1.wait_metric(UP, 0)
    wait_until(lambda: not told(w1)["healthy"], "readiness to tell")          # it serves without
    assert told(w1)["message"]
    read(w1, 0, 100)
    assert len(re.findall(r"(?i)redis", w1.log)) < 12                         # said once, not with each request
    redis.start()
    come_back(w1, clock)
    wait_until(lambda: told(w1)["healthy"], "readiness to tell")
