"""What was purged does not come back out of Redis: not after a restart, not through another instance, not after Redis was away."""

import pytest

from stage.gate import Gate
from stage.redis import LONG_S, caught_up
from stage.waiting import wait_until

SITE = {"host": "a.test"}               # the same for all instances
CONFIG = """
    workers: 2
    cache: {redis: {url: "@redis@", timeout: 10s}}
    routes:
      - match: GET /shop/{kind}/{id}
        cache: {ttl: 10m, tags: ["kind:{kind}"]}
      - match: PUT /shop/{kind}/{id}
        purge: {urls: ["/shop/{kind}/{id}"]}
      - match: PUT /kinds/{kind}
        purge: {tags: ["kind:{kind}"]}
      - match: PUT /prefixes/{kind}
        purge: {prefixes: ["/shop/{kind}"]}
      - match: /**
"""
TOOL, TOY = "/shop/tool/1", "/shop/toy/1"


class Versions:
    """An origin whose pages say which version they are."""

    def __init__(self, origin):
        self.n = 1
        self.gate = None
        origin.on("GET /*").do(self.play)
        origin.on("PUT /*").reply(204)

    def play(self, exchange):
        text = f"version {self.n}"
        exchange.head(200, [("Content-Length", len(text))])
        exchange.send(text[:4])
        if self.gate is not None:
            self.gate.pass_through()
        exchange.send(text[4:])


class Cast:
    def __init__(self, origin, forebay, redis):
        self.origin, self.forebay, self.redis = origin, forebay, redis
        self.pages = Versions(origin)

    def start(self):
        w = self.forebay(CONFIG, app=self.origin, redis=self.redis.url)
        w.wait_redis()
        return w

    def store(self, w, *targets):
        """Each is fetched, and is in Redis afterwards, as it is now."""
        for target in targets:
            w.wait_redis()
            text = read(w, target)
            wait_until(lambda: self.redis.holds(target, text), lambda: f"{target} to be in Redis")

    def applied(self, *instances, **where):
        """All of them have applied what any was asked for."""
        caught_up(self.redis, *instances, **where)

    def out_of_redis(self, w, target):
        """Which version Redis gives: the origin, who is asked meanwhile when Redis takes its time, is held."""
        w.wait_redis()
        with self.origin.hold():
            return read(w, target)


def crash(w):
    """Ends at once, and comes back without its memory."""
    w.kill()
    w.start()
    w.wait_redis()


def read(w, target):
    return w.get(target, **SITE).expect(200).text


def write(w, target):
    w.request("PUT", target, "x", **SITE).expect(204)


def purge(w, target):
    """The shared log has it when the writer is answered."""
    write(w, target)


@pytest.fixture
def cast(origin, forebay, redis):
    return Cast(origin, forebay, redis)


@pytest.fixture
def lasting(origin, forebay, redises):
    """With a Redis that has after a crash what it had before."""
    return Cast(origin, forebay, redises(persistent=True))


def test_a_purge_before_a_restart_holds_after_it(cast):
    w1 = cast.start()
    cast.store(w1, TOOL, TOY)
    cast.pages.n = 2
    purge(w1, TOOL)
    crash(w1)
    assert read(w1, TOOL) == "version 2"
    assert cast.out_of_redis(w1, TOY) == "version 1"


@pytest.mark.parametrize("how", [TOOL, "/kinds/tool", "/prefixes/tool"])
def test_a_purge_after_a_restart_holds_for_what_was_stored_before(cast, how):
    w1 = cast.start()
    for n in range(5):
        purge(w1, f"/shop/other/{n}")           # the first log is longer than the second will be
    cast.store(w1, TOOL, TOY)
    cast.pages.n = 2
    crash(w1)
    purge(w1, how)
    assert read(w1, TOOL) == "version 2"
    assert cast.out_of_redis(w1, TOY) == "version 1"


def test_it_holds_there_before_redis_knows(cast):
    w1 = cast.start()
    for n in range(5):
        purge(w1, f"/shop/other/{n}")
    cast.store(w1, TOOL, TOY)
    crash(w1)
    cast.redis.cli("ACL", "SETUSER", "default", "-xadd")
    cast.pages.n = 2
    write(w1, TOOL)
    assert w1.metric("forebay_purgelog_pending") == 1
    assert read(w1, TOOL) == "version 2"
    assert cast.out_of_redis(w1, TOY) == "version 1"
    cast.redis.cli("ACL", "SETUSER", "default", "+xadd")
    w1.wait_metric("forebay_purgelog_pending", 0)


@pytest.mark.parametrize("how", [TOOL, "/kinds/tool", "/prefixes/tool"])
def test_what_one_purges_another_does_not_get_from_redis(cast, how):
    w1, w2 = cast.start(), cast.start()
    cast.store(w1, TOOL, TOY)
    cast.pages.n = 2
    purge(w1, how)
    cast.applied(w1, w2)
    assert read(w2, TOOL) == "version 2"
    assert cast.out_of_redis(w2, TOY) == "version 1"


def test_what_was_fetched_after_a_purge_is_shared_again(cast):
    w1, w2 = cast.start(), cast.start()
    cast.store(w1, TOOL)
    cast.pages.n = 2
    purge(w1, TOOL)
    cast.store(w1, TOOL)
    assert cast.out_of_redis(w2, TOOL) == "version 2"
    crash(w2)
    purge(w2, TOY)
    assert cast.out_of_redis(w2, TOOL) == "version 2"


def test_who_purged_takes_what_another_fetched_later(cast):
    w1, w2 = cast.start(), cast.start()
    cast.store(w1, TOOL)
    cast.pages.n = 2
    purge(w1, TOOL)
    cast.applied(w1, w2)
    cast.store(w2, TOOL)
    assert cast.out_of_redis(w1, TOOL) == "version 2"


def test_a_response_on_its_way_during_the_purge_is_not_shared(cast):
    w1, w2 = cast.start(), cast.start()
    cast.pages.gate = Gate()
    reader = w1.client().ask("GET", TOOL, headers=SITE)
    cast.pages.gate.wait_arrived()
    cast.pages.n = 2
    purge(w2, TOOL)
    cast.pages.gate.release()
    assert reader.answer().text == "version 1"
    assert read(w2, TOOL) == "version 2"


def test_a_purge_while_redis_is_down_is_told_when_it_is_back(lasting):
    w1, w2 = lasting.start(), lasting.start()
    lasting.store(w1, TOOL, TOY)
    lasting.redis.kill()
    lasting.pages.n = 2
    write(w1, TOOL)
    lasting.redis.start()
    w1.wait_metric("forebay_purgelog_pending", 0)
    w1.wait_redis()
    w2.wait_redis()
    lasting.applied(w1, w2)
    assert read(w2, TOOL) == "version 2"
    assert lasting.out_of_redis(w2, TOY) == "version 1"
    crash(w1)
    assert read(w1, TOOL) == "version 2"


@pytest.mark.patience(180)
def test_more_purges_than_are_kept_while_redis_is_down(lasting):
    w1, w2 = lasting.start(), lasting.start()
    lasting.store(w1, TOOL, TOY)
    lasting.redis.kill()
    lasting.pages.n = 2
    write(w1, TOOL)
    with w1.client() as c1:
        for n in range(1200):
            c1.request("PUT", f"/shop/other/{n}", "x", SITE).expect(204)
    assert w1.metric("forebay_purgelog_collapsed_total") > 0
    lasting.redis.start()
    w1.wait_metric("forebay_purgelog_pending", 0, LONG_S)
    w2.wait_redis()
    lasting.applied(w1, w2)
    assert read(w2, TOOL) == read(w2, TOY) == "version 2"


@pytest.mark.parametrize("loss", ["flush", "log", "step back"])
def test_a_redis_that_forgets_what_was_purged_gives_nothing_old(cast, loss):
    w1, w2 = cast.start(), cast.start()
    cast.store(w1, TOOL, TOY)
    kept = {key: cast.redis.cli("DUMP", key) for key in cast.redis.keys("forebay:o:*")}
    state = cast.redis.cli("DUMP", "{forebay}:log:state")
    assert len(kept) == 2
    cast.pages.n = 2
    purge(w1, TOOL)
    cast.applied(w1, w2)
    if loss == "flush":
        cast.redis.flush()
        for key, value in kept.items():
            cast.redis.cli("RESTORE", key, 600000, value)
    else:
        cast.redis.cli("DEL", "{forebay}:log", "{forebay}:log:state")
    if loss == "step back":
        cast.redis.cli("RESTORE", "{forebay}:log:state", 0, state)
    assert read(w2, TOOL) == "version 2"
    for w in (w1, w2):
        w.wait_metric("forebay_purgelog_epochs_total", 2)
        w.wait_redis()
    assert read(w2, TOY) == "version 2"         # what is of an older epoch is of no use
    crash(w1)
    assert read(w1, TOOL) == "version 2"
    cast.store(w1, "/shop/tool/2")
    crash(w2)
    assert cast.out_of_redis(w2, "/shop/tool/2") == "version 2"


def test_other_settings_of_redis_begin_anew_where_something_was_purged(cast):
    w1, w2 = cast.start(), cast.start()
    cast.store(w1, TOOL, TOY)
    cast.pages.n = 2
    write(w1, TOOL)
    w1.reload(CONFIG.replace('timeout: 10s', 'timeout: 10s, prefix: other'))
    w1.wait_redis()
    wait_until(lambda: cast.redis.cli("XLEN", "{other}:log") == 1, "the purge to be told there, too")
    assert read(w1, TOOL) == "version 2"
    cast.store(w1, "/shop/tool/2")
    cast.applied(w2)
    assert read(w2, TOOL) == "version 2"
    assert cast.out_of_redis(w2, TOY) == "version 1"
