"""A user of Redis with the rights that docs/operations.md names, and no more."""

from pathlib import Path

import pytest

from stage.waiting import wait_until

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"
ASKED = "forebay_redis_requests_total"
CONFIG = """
    workers: 1
    cache: {redis: {url: "redis://forebay:s%40crt@@place@", timeout: 10s, fetch_lock: 2s}}
    rate_limits: {one: {scope: shared, key: "header:X-Key", algorithm: sliding_window, limit: 100, window: 60s}}
    routes:
      - {match: /limited, rate_limit: one, respond: 204}
      - {match: POST /write, purge: {tags: [pages]}}
      - {match: /**, cache: {tags: [pages]}}
"""


@pytest.fixture
def line():
    found = [line for line in OPERATIONS.read_text().splitlines() if line.startswith("ACL SETUSER forebay ")]
    assert len(found) == 1
    return found[0].replace(">PASSWORD", ">s@crt").split()


def play(origin, forebay, place):
    """The second level with and without Vary, a purge, a limit: what two instances have to say to Redis."""
    origin.on("GET /plain").reply(200, "plain", cache_control="max-age=60")
    origin.on("GET /varied").reply(200, "varied", cache_control="max-age=60", vary="X-Kind")
    origin.on("POST /write").reply(200, "written")
    two = [forebay(CONFIG.replace("@place@", place), app=origin) for _ in range(2)]
    for w in two:
        w.wait_redis()
        w.wait_metric("forebay_ratelimit_redis_up", 1)
    for path in ("/plain", "/varied"):
        two[0].get(path, host="a", x_kind="one").expect(200, x_cache_status="MISS")
    two[0].wait_metric(ASKED, 3, op="put", result="done")
    two[1].wait_redis()
    with origin.hold():
        for path in ("/plain", "/varied"):
            two[1].get(path, host="a", x_kind="one").expect(200, x_cache_status="HIT")
    two[0].post("/write", body="x", host="a").expect(200)
    wait_until(lambda: two[1].get("/plain", host="a").headers["x-cache-status"] != "HIT", "the purge to reach the other instance")
    two[0].get("/limited", x_key="ann").expect(204)
    two[0].wait_metric("forebay_ratelimit_redis_requests_total", lambda n: n > 0, result="answered")
    return two


def test_the_rights_that_are_documented_are_enough(origin, forebay, redis, line):
    redis.cli(*line)
    redis.cli("ACL", "SETUSER", "default", "-@all", "+acl", "+ping", "+info", "+keys")
    play(origin, forebay, redis.address)
    assert redis.cli("ACL", "LOG") == []


def test_what_is_missing_is_named(origin, forebay, redis, line):
    redis.cli(*line, "-getrange")
    w1 = forebay(CONFIG.replace("@place@", redis.address), app=origin)
    w1.wait_log("look-ups: its ACL does not allow this user to read and write the keys of this prefix .*getrange")
    assert w1.metric("forebay_redis_up") == 0


def test_a_wrong_password_is_said_so(origin, forebay, redis, line):
    redis.cli(*line)
    w1 = forebay(CONFIG.replace("@place@", redis.address).replace("s%40crt", "wrong"), app=origin)
    w1.wait_log("refuses us: WRONGPASS")
    assert w1.metric("forebay_redis_up") == 0
