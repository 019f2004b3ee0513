"""Purges by hand on one of two instances: what the other does with them, and which level is told."""

import json
import time

import pytest

pytestmark = pytest.mark.tsan

SITE = {"host": "a.test"}
CONFIG = """
    state_dir: "@DIR@"
    purge: 127.0.0.0/8
    cache: {redis: {url: "@redis@", timeout: 10s}}
    routes:
      - match: GET /vehicles/{id}/{part}
        cache: {ttl: 10m, tags: ["vehicle:{id}:{part}"]}
      - match: /**
"""


@pytest.fixture
def both(origin, forebay, redis):
    origin.on("GET /*").reply(200, "page")
    made = [forebay(CONFIG, app=origin, redis=redis.url) for _ in range(2)]
    for w in made:
        w.wait_metric("forebay_purgelog_connected", 1)
    return made


def purge_everywhere(w, *order):
    """Less is told only after the three seconds that it waits for all; then it is told to do it again."""
    while True:
        began_s = time.monotonic()
        told = w.cli("purge", *order, "--wait", check=None)
        if told.returncode == 0:
            assert "(confirmed by every instance)" in told.stdout
            return
        assert time.monotonic() - began_s > 2.9, told.stdout


def word(w):
    return w.get("/vehicles/7/door", **SITE).expect(200).cache_status


@pytest.mark.parametrize("order", [("--tag", "vehicle:7:*"), ("--tag", "vehicle:7:door"), ("--pattern", "*/7/*"), ("--prefix", "/vehicles/7"),
                                   ("a.test/vehicles/7/door",), ("--all",)])
def test_with_wait_every_instance_has_it_when_the_command_returns(both, order):
    one, other = both
    assert word(other) == "MISS" and word(other) == "HIT"
    purge_everywhere(one, *order)
    assert word(other) == "MISS"


def test_the_method_purge_reaches_the_other_too(both):
    one, other = both
    word(other)
    answer = one.request("PURGE", "/vehicles/7/door", **SITE).expect(200).json()
    assert (answer["count"], answer["level"], answer["shared"]) == (0, "appended", True)
    other.wait_metric("forebay_purgelog_received_total", 1)
    assert word(other) == "MISS"


def test_while_redis_is_away_the_journal_has_it_and_wait_says_that_this_is_not_all(both, redis):
    one, _ = both
    redis.kill()
    one.wait_metric("forebay_purgelog_connected", 0)
    one.admin("POST", "/purge", '{"all": true}').expect(202)
    told = one.cli("purge", "--all", "--wait", "--json", check=1)
    assert json.loads(told.stdout)["level"] == "journalled"
    assert "on disk until Redis is back" in one.cli("purge", "--all").stdout
