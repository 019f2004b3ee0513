"""Limits count exactly, say when to come back, and follow the clock."""

import pytest

LIMITED = """
    rate_limits:
      login: {algorithm: fixed_window, limit: 3, window: 10m, key: client}
    routes:
      - match: POST /login
        rate_limit: login
      - match: /**
"""


@pytest.fixture
def w1(origin, forebay):
    origin.on("POST /login").reply(200)
    origin.on("GET /").reply(200)
    return forebay(LIMITED, app=origin)


def test_a_fixed_window_lets_through_what_it_says(w1, origin, clock):
    c1 = w1.client()
    assert [c1.post("/login").status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert origin.count("POST /login") == 3
    r = c1.post("/login").expect(429)
    assert 1 <= int(r.headers["retry-after"]) <= 600 and "RateLimit" in r.headers
    c1.get("/").expect(200)                     # other routes are not meant
    clock.advance(601)
    c1 = w1.client()  # the other has been idle for too long
    assert [c1.post("/login").status for _ in range(4)] == [200, 200, 200, 429]
    w1.wait_metric("forebay_ratelimit_decisions_total", lambda n: n >= 4, limit="login", decision="refused")


def test_each_client_has_its_own_permits(w1):
    first, second = w1.client(source="127.0.0.2"), w1.client(source="127.0.0.3")
    assert [first.post("/login").status for _ in range(4)] == [200, 200, 200, 429]
    second.post("/login").expect(200)


def test_a_queue_holds_what_comes_too_early(origin, forebay, clock):
    origin.on("GET /").reply(200)
    w1 = forebay("""
        rate_limits:
          api: {algorithm: fixed_window, limit: 1, window: 10m, queue: 2, queue_timeout: 1h, key: client}
        routes:
          - match: /**
            rate_limit: api
            cache: off
    """, app=origin)

    w1.get("/").expect(200)
    waiting = []
    for n in (1, 2):
        waiting.append(w1.client().ask("GET", "/"))
        w1.wait_metric("forebay_ratelimit_decisions_total", n, limit="api", decision="queued")
    w1.get("/").expect(429)                     # more than the queue can hold
    for c in waiting:                           # each window lets one through, the oldest first
        clock.advance(601)
        c.answer().expect(200)
