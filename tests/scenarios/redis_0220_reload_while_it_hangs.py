"""Redis hangs, and the configuration changes: nobody waits for it, and what was purged meanwhile is told to whoever is there then."""

import threading
import time

import pytest

from stage.client import Client
from stage.waiting import patiently, wait_until

pytestmark = pytest.mark.tsan

SITE = {"host": "a.test"}
CONFIG = """
    workers: 2
    cache:
      coherence: eventual
      redis: {url: "@redis@", timeout: 200ms, fetch_lock: 5s}
    rate_limits:
      each: {scope: shared, algorithm: fixed_window, limit: 1000000, window: 60s, key: "header:X-Key"}
    routes:
      - match: GET /page/{n}
        rate_limit: each
        cache: {ttl: 1h, tags: [page]}
      - match: PUT /page/{n}
        purge: {tags: [page]}
      - match: /**
"""
CHANGES = {
    "url": ('"@redis@"', '"@other@"'),
    "state_url": ('timeout: 200ms', 'timeout: 200ms, state_url: "@other@"'),
    "prefix": ('timeout: 200ms', 'timeout: 200ms, prefix: other'),
    "coherence": ("eventual", "strict"),
    "timeout": ("200ms", "300ms"),
    "removed": ('redis: {url: "@redis@", timeout: 200ms, fetch_lock: 5s}', "memory: 64MiB"),
}


SOON_S = 20                             # the machine may be busy; nothing here waits so long


class Asking:
    """Clients that ask and write all the time."""

    def __init__(self, w):
        self.w, self.is_over, self.slowest_s, self.faults = w, False, 0, []
        self.answered = [0] * 4
        self.threads = [threading.Thread(target=self.run, args=(k,)) for k in range(4)]
        for t in self.threads:
            t.start()

    def run(self, k):
        try:
            self.go_on(k)
        except Exception as fault:
            self.faults.append(fault)

    def go_on(self, k):
        with Client(self.w.address, timeout=SOON_S) as client:
            n = 0
            while not self.is_over:
                n += 1
                began_s = time.monotonic()
                if n % 5 == 0:
                    answer = client.request("PUT", f"/page/{k}", "x", **SITE)
                else:
                    answer = client.get(f"/page/{k}{n}", **SITE)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
                if answer.status not in (200, 204):
                    self.faults.append(answer.status)
                self.answered[k] += 1

    def must_go_on(self):
        """Each of them is answered some times more, writes among them."""
        seen = list(self.answered)
        wait_until(lambda: self.faults or all(now >= then + 6 for now, then in zip(self.answered, seen)), "everybody to be answered", 60)

    def end(self):
        self.is_over = True
        for t in self.threads:
            t.join()
        assert self.faults == []
        assert self.slowest_s < patiently(SOON_S)   # a fetch lock, or strict coherence, takes less


def cast(origin, forebay, redis):
    origin.on("GET /*").reply(200, "text")
    origin.on("PUT /*").reply(204)
    w = forebay(CONFIG, app=origin, redis=redis)
    w.wait_redis()
    return w


@pytest.mark.parametrize("what", CHANGES)
def test_a_reload_while_redis_hangs_keeps_nobody_waiting(origin, forebay, redises, what):
    redis, other = redises(), redises()
    w = cast(origin, forebay, redis)
    old, new = CHANGES[what]
    assert old in CONFIG
    changed = CONFIG.replace(old, new).replace("@other@", other.url)
    if what == "removed":
        changed = changed.replace("scope: shared, ", "")

    asking = Asking(w)
    redis.pause()
    w.reload(changed)
    w.request("PUT", "/page/1", "x", **SITE).expect(204)
    asking.must_go_on()
    redis.resume()
    asking.end()
    if what != "removed":
        w.wait_metric("forebay_purgelog_pending", 0)
        w.wait_metric("forebay_purgelog_connected", 1)


@pytest.mark.parametrize("coherence", ["eventual", "strict"])
def test_a_stop_while_redis_hangs_takes_no_longer_for_it(origin, forebay, redis, coherence):
    w = cast(origin, forebay, redis)
    w.reload(CONFIG.replace("eventual", coherence))
    w.wait_redis()
    asking = Asking(w)
    redis.pause()
    w.request("PUT", "/page/1", "x", **SITE).expect(204)
    asking.must_go_on()
    asking.end()
    w.terminate()
    w.wait_exit()                               # while it hangs
    assert (w.directory / "purges.journal").stat().st_size > 0
    redis.resume()
    w.start()
    w.wait_redis()
    wait_until(lambda: (w.directory / "purges.journal").stat().st_size == 0, "what the journal held to be told")
