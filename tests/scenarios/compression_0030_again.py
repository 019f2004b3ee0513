"""What is stored and often asked for is compressed again when there is nothing else to do, and nobody notices but by the size."""

import pytest

from stage.client import ABSENT, together
from stage.coding import decoded
from stage.waiting import wait_until

pytestmark = pytest.mark.patience(300)
WORDS = [f"{n * 7919 % 10007:x}" for n in range(400)]
TEXT = "".join(f"<li id={n}>the {WORDS[n * n % 397]} of the {WORDS[n * 31 % 400]} holds {WORDS[n % 7]}</li>\n" for n in range(500))
EAGER = "recompress: {hits: 2, share: 100}\n"
DONE, DROPPED = "forebay_recompressed_total", "forebay_recompress_dropped_total"
PATIENCE_S = 200                        # the strongest coders have what a busy machine leaves them
SITE = {"host": "a.test"}


@pytest.fixture
def page(origin, clock):
    """With a clock of ours, under which what has time until everybody else is idle does not wait for that."""
    origin.on("GET /page").reply(200, TEXT, content_type="text/html", cache_control="max-age=3600", etag='"7"', revalidates=True)
    return origin


def warm(w, coding, times=4):
    """So often that it is hot; what it was sent as."""
    return [w.get("/page", accept_encoding=coding, **SITE).expect(200, content_encoding=coding) for _ in range(times)][-1]


def wait_done(w, coding, n=1):
    w.wait_metric(DONE, n, PATIENCE_S, coding=coding)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
def test_what_is_hot_becomes_smaller_and_stays_the_same(page, forebay, coding):
    w1 = forebay(EAGER, app=page)
    before = warm(w1, coding)
    wait_done(w1, coding)
    after = w1.get("/page", accept_encoding=coding, **SITE).expect(200, x_cache_status="HIT", content_encoding=coding, etag='W/"7"')
    assert len(after.body) < len(before.body) == int(before.headers["content-length"])
    assert int(after.headers["content-length"]) == len(after.body)
    assert decoded(after).decode() == decoded(before).decode() == TEXT
    w1.wait_metric("forebay_recompress_saved_bytes_total", len(before.body) - len(after.body))
    w1.wait_metric("forebay_recompress_cpu_seconds_total", lambda seconds: seconds > 0)
    assert page.count() == 1 and w1.metric("forebay_compressed_total") == 1 and w1.metric("forebay_cache_objects") == 1


def test_validators_and_ranges_mean_the_same_before_and_after(page, forebay):
    w1 = forebay(EAGER, app=page)

    def look():
        w1.get("/page", accept_encoding="br", if_none_match='W/"7"', **SITE).expect(304, etag='W/"7"')
        w1.get("/page", accept_encoding="br", if_none_match='"7"', **SITE).expect(304)
        w1.get("/page", accept_encoding="br", range="bytes=10-19", **SITE).expect(206, TEXT[10:20], content_encoding=ABSENT, etag='"7"')
        w1.get("/page", accept_encoding="br", range="bytes=10-19", if_range='"7"', **SITE).expect(206, TEXT[10:20])
        w1.get("/page", accept_encoding="br", range="bytes=10-19", if_range='W/"7"', **SITE).expect(200, content_encoding="br")
        w1.get("/page", **SITE).expect(200, TEXT, etag='"7"', content_length=len(TEXT))
        return w1.head("/page", accept_encoding="br", **SITE).expect(200, content_encoding="br", etag='W/"7"')
    warm(w1, "br")
    look()
    wait_done(w1, "br")
    look()
    assert page.count() == 1


def test_who_is_being_sent_the_one_gets_all_of_it(origin, forebay):
    """The old form is held for whoever reads it slowly, the new one is there for the next."""
    long = "".join(f"{n * 104729 % 1000003} " for n in range(1500000))          # more than the kernels between them hold, coded
    origin.on("GET /page").reply(200, long, content_type="text/html", cache_control="max-age=3600")
    w1 = forebay("cache: {max_object: 32MiB}\nrecompress: {hits: 2, share: 100, max_size: 16MiB}\nlimits: {body_timeout: 1h}\n", app=origin)
    before = warm(w1, "gzip")
    slow = w1.client()
    r = slow.begin("GET", "/page", accept_encoding="gzip", **SITE).expect(200, content_length=len(before.body))
    wait_done(w1, "gzip")
    after = w1.get("/page", accept_encoding="gzip", **SITE).expect(200)
    assert len(after.body) < len(before.body)
    slow.finish(r)
    assert r.body == before.body and decoded(after).decode() == long


def test_what_is_as_small_as_it_gets_is_told_and_left_alone(page, forebay):
    w1 = forebay(EAGER + "compression: {levels: {gzip: 9}}\n", app=page)
    warm(w1, "gzip")
    w1.wait_metric(DROPPED, 1, PATIENCE_S, reason="larger")
    told = w1.cli("explain", "http://a.test/page").stdout
    assert "as small as it gets" in told, told
    warm(w1, "gzip")
    assert (w1.metric(DONE), w1.metric(DROPPED)) == (0, 1)


def test_a_validation_keeps_it_and_a_purge_does_not(page, forebay, clock):
    w1 = forebay(EAGER + "purge: {allow: [127.0.0.1]}\n", app=page)
    warm(w1, "br")
    wait_done(w1, "br")
    small = warm(w1, "br", 1)
    clock.advance(3601)
    w1.get("/page", accept_encoding="br", **SITE).expect(200, small.body, x_cache_status="REVALIDATED")
    assert w1.metric("forebay_compressed_total") == 1
    w1.cli("purge", "http://a.test/page")
    big = w1.get("/page", accept_encoding="br", **SITE).expect(200, x_cache_status="MISS")
    assert len(big.body) > len(small.body) and decoded(big) == decoded(small)
    warm(w1, "br")
    wait_done(w1, "br", 2)
    w1.get("/page", accept_encoding="br", **SITE).expect(200, small.body)


def test_it_outlives_a_restart(page, forebay, tmp_path):
    (tmp_path / "state").mkdir()
    w1 = forebay(f"state_dir: {tmp_path}/state\n" + EAGER, app=page)
    warm(w1, "br")
    wait_done(w1, "br")
    small = warm(w1, "br", 1)
    big = warm(w1, "zstd")
    w1.restart()
    wait_until(lambda: w1.metric("forebay_cache_restored_total") == 1, "the page to be there again")
    w1.get("/page", accept_encoding="br", **SITE).expect(200, small.body, x_cache_status="HIT")

    def is_smaller():                                       # what was still to be done, if it was, is done by the next process
        return len(warm(w1, "zstd", 1).body) < len(big.body)
    wait_until(is_smaller, "the other one to become smaller too", PATIENCE_S)
    assert w1.metric(DONE, coding="br") == 0 and page.count() == 1


def test_off_means_off_and_a_reload_means_at_once(origin, forebay):
    for name in ("page", "next", "last"):
        origin.on(f"GET /{name}").reply(200, TEXT, content_type="text/html", cache_control="max-age=3600")
    w1 = forebay("recompress: off\n", app=origin)

    def hot(name):
        for _ in range(4):
            w1.get(f"/{name}", accept_encoding="gzip", **SITE).expect(200)
    hot("page")
    w1.configure(EAGER)
    w1.cli("reload")                                        # which says so when all of it is in use
    hot("next")
    wait_done(w1, "gzip")                                   # of the two that came later only: what was made while it was off is not noted
    w1.reload("recompress: {hits: 1000}\n")
    hot("last")
    w1.reload(EAGER)
    wait_done(w1, "gzip", 2)
    assert w1.metric(DROPPED) == 0


@pytest.mark.tsan
def test_under_load_purges_and_reloads_everybody_gets_the_whole_text(page, forebay):
    w1 = forebay("workers: 3\n" + EAGER, app=page)

    def read(coding):
        def play():
            with w1.client() as c:
                def ask_often():    # what was purged is there, and hot, only if somebody goes on asking
                    for _ in range(10):
                        r = c.get("/page", accept_encoding=coding, **SITE).expect(200, content_encoding=coding or ABSENT)
                        assert decoded(r).decode() == TEXT
                    return w1.metric(DONE) + w1.metric(DROPPED) > 0

                for n in range(15):
                    ask_often()
                    if n % 5 == 4:
                        wait_until(ask_often, "something to be done", PATIENCE_S)
        return play

    def purge():
        for _ in range(10):
            w1.cli("purge", "http://a.test/page")
            w1.reload("workers: 3\n" + EAGER)
    together(*[read(coding) for coding in ("gzip", "br", "zstd", None)], purge, timeout=PATIENCE_S)
