"""A purge on one instance holds on all: at once where it was taken, within milliseconds on the others, and whatever dies meanwhile."""

import time

import pytest

from stage.client import Client
from stage.gate import Gate
from stage.redis import caught_up
from stage.waiting import wait_until

pytestmark = pytest.mark.tsan

SITE = {"host": "a.test"}               # the same for all instances
CONFIG = """
    workers: 2
    cache:
      coherence: @COHERENCE@
      redis: {url: "@redis@", timeout: 10s}
    routes:
      - match: GET /shop/{kind}/{id}
        cache: {ttl: 10m, tags: ["kind:{kind}"]}
      - match: GET /page
        cache: {ttl: 1h}
      - match: PUT /shop/{kind}/{id}
        purge: {urls: ["/shop/{kind}/{id}"]}
      - match: PUT /kinds/{kind}
        purge: {tags: ["kind:{kind}"]}
      - match: PUT /prefixes/{kind}
        purge: {prefixes: ["/shop/{kind}"]}
      - match: /**
"""
TOOL, TOY = "/shop/tool/1", "/shop/toy/1"


class Cast:
    def __init__(self, origin, forebay, redises, **how):
        self.origin, self.forebay, self.redis = origin, forebay, redises(**how)
        self.version, self.gate = 1, None
        origin.on("GET /*").do(self.show)
        origin.on("PUT /*").do(self.change)

    def show(self, exchange):
        text = f"version {self.version}"
        exchange.head(200, [("Content-Length", len(text))])
        exchange.send(text)

    def change(self, exchange):
        self.version += 1
        if self.gate is not None:
            self.gate.pass_through()
        exchange.head(204, [])

    def start(self, coherence="eventual"):
        w = self.forebay(CONFIG.replace("@COHERENCE@", coherence), app=self.origin, redis=self.redis.url)
        w.wait_redis()
        return w


def read(w, target=TOOL):
    return w.get(target, **SITE).expect(200)


def in_memory(w, *targets):
    for target in targets:
        wait_until(lambda: read(w, target).cache_status == "HIT", f"{target} to be answered from memory")


def write(w, target=TOOL):
    return w.request("PUT", target, "x", **SITE).expect(204)


def write_everywhere(w, target=TOOL):
    """Less is told only after the three seconds that a writer waits for all; then he writes again."""
    while True:
        began_s = time.monotonic()
        told = write(w, target).headers["Cache-Status"]
        if "detail=purged-everywhere" in told:
            return
        assert time.monotonic() - began_s > 2.9, told


@pytest.fixture
def cast(origin, forebay, redises):
    return Cast(origin, forebay, redises)


@pytest.fixture
def lasting(origin, forebay, redises):
    return Cast(origin, forebay, redises, persistent=True)


@pytest.mark.parametrize("how", [TOOL, "/kinds/tool", "/prefixes/tool"])
def test_a_purge_reaches_the_memory_of_the_others(cast, how):
    w1, w2, w3 = cast.start(), cast.start(), cast.start()
    for w in (w1, w2, w3):
        in_memory(w, TOOL, TOY)
    write(w1, how)
    assert read(w1).text == "version 2"
    caught_up(cast.redis, w2, w3)
    assert read(w2).text == "version 2"
    assert read(w3).text == "version 2"
    for w in (w1, w2, w3):
        read(w, TOY).expect(body="version 1", x_cache_status="HIT")
    appended = w1.metric("forebay_purgelog_appended_total")
    assert appended > 0
    w2.wait_metric("forebay_purgelog_received_total", appended)


def test_the_writer_is_answered_when_the_log_has_his_purge(cast):
    w1 = cast.start()
    before = cast.redis.cli("XLEN", "{forebay}:log")
    write(w1)
    assert cast.redis.cli("XLEN", "{forebay}:log") == before + 1


@pytest.mark.parametrize("coherence", ["eventual", "strict"])
def test_a_writer_is_told_what_he_may_count_on(cast, coherence):
    w = cast.start(coherence)
    if coherence == "strict":
        write_everywhere(w)
    else:
        assert "detail=purged-appended" in write(w).headers["Cache-Status"]
    cast.redis.kill()
    w.wait_metric("forebay_purgelog_connected", 0)
    assert "detail=purged-journalled" in write(w).headers["Cache-Status"]


def test_a_purge_while_redis_is_away_is_journalled_and_told_when_it_is_back(lasting):
    w1, w2 = lasting.start(), lasting.start()
    in_memory(w1, TOOL)
    in_memory(w2, TOOL, TOY)
    lasting.redis.kill()
    w1.wait_metric("forebay_purgelog_connected", 0)
    write(w1)
    assert w1.metric("forebay_purgelog_journalled_total") == 1
    assert (w1.directory / "purges.journal").stat().st_size > 0
    assert read(w1).text == "version 2"
    lasting.redis.start()
    w2.wait_metric("forebay_purgelog_received_total", 1)
    w2.wait_redis()
    assert read(w2).text == "version 2"
    read(w2, TOY).expect(body="version 1", x_cache_status="HIT")
    wait_until(lambda: (w1.directory / "purges.journal").stat().st_size == 0, "an empty journal")


def test_the_next_process_tells_what_the_journal_holds(lasting):
    w1, w2 = lasting.start(), lasting.start()
    in_memory(w2, TOOL)
    lasting.redis.kill()
    w1.wait_metric("forebay_purgelog_connected", 0)
    write(w1)
    w1.kill()
    lasting.redis.start()
    w2.wait_redis()
    assert read(w2).text == "version 1"         # nobody can know
    w1.start()
    w2.wait_metric("forebay_purgelog_received_total", 1)
    assert read(w2).text == "version 2"


def test_a_stopped_instance_that_wakes_serves_nothing_old(cast):
    w1, w2 = cast.start("strict"), cast.start("strict")
    in_memory(w1, TOOL)
    in_memory(w2, TOOL)
    w2.process.pause()
    write_everywhere(w1)
    with Client(w2.address) as c:
        asked = c.ask("GET", TOOL, headers=SITE)
        w2.process.resume()
        assert asked.answer().text == f"version {cast.version}"


def test_without_a_lease_strict_asks_the_origin(lasting):
    w1 = lasting.start("strict")
    in_memory(w1, TOOL)
    lasting.redis.kill()
    w1.wait_metric("forebay_purgelog_connected", 0)
    wait_until(lambda: read(w1).headers.get("x-cache-status") == "BYPASS", "the lease to run out")
    lasting.redis.start()
    w1.wait_redis()
    in_memory(w1, TOOL)


def test_a_writer_waits_for_everybody_under_strict_coherence(cast):
    w1, w2 = cast.start("strict"), cast.start("strict")
    for _ in range(20):
        in_memory(w2, TOOL)
        write_everywhere(w1)
        assert read(w2).text == f"version {cast.version}"       # no waiting


def test_a_writer_waits_for_what_nobody_declared_under_strict_coherence(cast):
    w1, w2 = cast.start("strict"), cast.start("strict")
    for _ in range(20):
        in_memory(w2, "/page")
        write_everywhere(w1, "/page")
        assert read(w2, "/page").text == f"version {cast.version}"


@pytest.mark.parametrize("coherence", ["eventual", "strict"])
def test_a_lost_tail_is_told_again(cast, coherence):
    w1, w2 = cast.start(coherence), cast.start(coherence)
    in_memory(w1, TOOL)
    write(w1)
    write(w1, "/kinds/toy")
    caught_up(cast.redis, w1, w2)
    cast.redis.flush()
    for w in (w1, w2):
        w.wait_metric("forebay_purgelog_epochs_total", 2)
        w.wait_redis()
    wait_until(lambda: cast.redis.cli("XLEN", "{forebay}:log") == 3, "all purges, once each")
    assert read(w1).text == read(w2).text == "version 3"
    write(w2)
    caught_up(cast.redis, w1)
    assert read(w1).text == "version 4"


def test_intents_of_a_killed_instance_are_carried_out(cast):
    cast.gate = Gate()
    w1, w2 = cast.start(), cast.start()
    in_memory(w2, TOOL)
    with Client(w1.address) as c:
        c.ask("PUT", TOOL, "x", headers=SITE)
        cast.gate.wait_arrived()
        wait_until(lambda: cast.redis.keys("{forebay}:log:intents:*"), "the intent to be noted")
        w1.kill()
    cast.gate.release()
    assert read(w2).text == "version 1"
    cast.redis.cli("EVAL", "for _,m in ipairs(redis.call('ZRANGE',KEYS[1],0,-1)) do "
                   "redis.call('ZINCRBY',KEYS[1],-6000,m) end", 1, "{forebay}:log:leases")
    w2.wait_metric("forebay_purgelog_received_total", 1)
    assert read(w2).text == "version 2"
    assert w2.metric("forebay_purgelog_epochs_total") == 1
