"""A cluster: each key is asked of its node, slots move under way, and a node that fails takes no other with it."""

import threading

from stage.client import together

LIMIT_UP = "forebay_ratelimit_redis_up"
LIMIT_ASKED = "forebay_ratelimit_redis_requests_total"
LIMITED = """
    workers: 1
    cache: {redis: {url: "@redis@", timeout: 1s}}
    rate_limits: {one: {scope: shared, key: "header:X-Key", algorithm: sliding_window, limit: 10, window: 60s}}
    limits: {rate_timeout: 1s}
    routes: [{match: /**, rate_limit: one, respond: 204}]
"""


def test_shared_limits_hold_while_slots_move(forebay, cluster):
    two = [forebay(LIMITED, redis=cluster) for _ in range(2)]
    for w in two:
        w.wait_metric(LIMIT_UP, 1)
    over, passed = threading.Event(), {}

    def ask(w):
        def play():
            n = 0
            with w.client() as c:
                while not over.is_set():
                    for _ in range(8):
                        status = c.get("/", x_key=f"key{n}").status
                        assert status in (204, 429)
                        passed.setdefault(n, []).append(status)
                    n += 1
        return play

    def reshard():
        try:
            cluster.reshard(0, 2, 600)
        finally:
            over.set()
    together(ask(two[0]), ask(two[1]), reshard)
    for w in two:
        for result in ("timeout", "lost", "error"):
            assert w.metric(LIMIT_ASKED, result=result) == 0
    assert max(statuses.count(204) for statuses in passed.values()) == 10
    assert len(passed) > 10
