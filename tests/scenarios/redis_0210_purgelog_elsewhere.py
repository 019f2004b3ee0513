"""The purge log where Redis is more than one: a fail-over, a slot that moves, a Redis of its own."""

import threading

import pytest

from stage.client import together
from stage.redis import LONG_S
from stage.waiting import wait_until

SITE = {"host": "a.test"}
CONFIG = """
    workers: 1
    cache:
      redis: {url: "@redis@", timeout: 10s@STATE@}
    routes:
      - match: GET /page/{id}
        cache: {ttl: 10m, tags: ["page:{id}"]}
      - match: PUT /page/{id}
        purge: {tags: ["page:{id}"]}
      - match: /**
"""


class Site:
    def __init__(self, origin, forebay, redis, state=""):
        self.versions = {}
        origin.on("GET /*").do(self.show)
        origin.on("PUT /*").do(self.change)
        config = CONFIG.replace("@STATE@", f', state_url: "{state}"' if state else "")
        self.daemons = [forebay(config, app=origin, redis=redis) for _ in range(2)]
        for w in self.daemons:
            w.wait_redis(LONG_S)

    def show(self, exchange):
        text = f"version {self.versions.get(exchange.request.path, 1)}"
        exchange.head(200, [("Content-Length", len(text))])
        exchange.send(text)

    def change(self, exchange):
        path = exchange.request.path
        self.versions[path] = self.versions.get(path, 1) + 1
        exchange.head(204, [])

    def read(self, k, n):
        return self.daemons[k].get(f"/page/{n}", **SITE).expect(200)

    def stands(self, n):
        """Both have it in memory."""
        for k in 0, 1:
            wait_until(lambda: self.read(k, n).headers["X-Cache-Status"] == "HIT", "a page in memory")

    def write(self, n):
        told = self.daemons[0].request("PUT", f"/page/{n}", "x", **SITE).expect(204).headers["Cache-Status"]
        return told.partition("detail=purged-")[2]

    def must_reach_the_other(self, n):
        self.stands(n)
        assert self.write(n) == "appended"
        wanted = f"version {self.versions[f'/page/{n}']}"
        wait_until(lambda: self.read(1, n).text == wanted, "the purge to reach the other instance")


@pytest.mark.patience(240)
def test_purges_reach_the_other_before_during_and_after_a_fail_over(origin, forebay, watched):
    site = Site(origin, forebay, watched)
    site.must_reach_the_other(1)
    site.stands(2)
    watched.kill_master()
    site.daemons[0].wait_metric("forebay_purgelog_connected", 0)
    assert site.write(2) == "journalled"
    watched.wait_promoted()
    for w in site.daemons:
        w.wait_redis(LONG_S)
    wait_until(lambda: site.read(1, 2).text == "version 2", "what was journalled meanwhile")
    site.must_reach_the_other(3)


@pytest.mark.patience(240)
def test_no_purge_is_lost_while_the_logs_slot_moves(origin, forebay, cluster):
    site = Site(origin, forebay, cluster)
    site.must_reach_the_other(0)
    old = cluster.node_of("{forebay}:log")
    new = next(n for n in cluster.nodes if n is not old)
    slot = old.cli("CLUSTER", "KEYSLOT", "{forebay}:log")
    over, written = threading.Event(), []

    def write():
        n = 1
        while not over.is_set():
            site.stands(n)
            site.write(n)
            written.append(n)
            n += 1

    def move():
        try:
            wait_until(lambda: len(written) > 5, "writers under way", LONG_S)
            new.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", old.cli("CLUSTER", "MYID"))
            old.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", new.cli("CLUSTER", "MYID"))
            while keys := old.cli("CLUSTER", "GETKEYSINSLOT", slot, 100):
                old.cli("MIGRATE", "127.0.0.1", new.port, "", 0, 30000, "KEYS", *keys)
            for node in cluster.nodes:
                node.cli("CLUSTER", "SETSLOT", slot, "NODE", new.cli("CLUSTER", "MYID"))
            seen = len(written)
            wait_until(lambda: len(written) > seen + 5, "writers going on", LONG_S)
        finally:
            over.set()
    together(write, move, timeout=150)
    assert "{forebay}:log" in new.keys()
    for w in site.daemons:
        w.wait_redis(LONG_S)
    for n in written:
        wait_until(lambda: site.read(1, n).text == "version 2", f"purge {n} of {len(written)} to reach the other instance")
    site.must_reach_the_other(0)


def test_the_log_and_limits_may_live_in_a_redis_of_their_own(origin, forebay, redises):
    values, state = redises(), redises()
    site = Site(origin, forebay, values.url, state.url)

    site.must_reach_the_other(1)

    assert values.keys("{forebay}:log*") == [] and state.keys("{forebay}:log*")
    wait_until(lambda: values.keys("forebay:o:*"), "a value where values are kept")
    assert state.keys("forebay:o:*") == []


def test_shared_limits_are_counted_where_state_lives(forebay, redises):
    values, state = redises(), redises()
    w = forebay("""
        cache: {redis: {url: "@values@", state_url: "@state@"}}
        rate_limits: {one: {scope: shared, algorithm: sliding_window, limit: 3, window: 60s, key: route}}
        limits: {rate_timeout: 1s}
        routes: [{match: /**, rate_limit: one, respond: 204}]
        """, values=values.url, state=state.url)
    w.wait_metric("forebay_ratelimit_redis_up", 1)

    assert [w.get("/").status for _ in range(4)] == [204, 204, 204, 429]

    assert state.keys("{forebay:rl:*") and not values.keys("{forebay:rl:*")
