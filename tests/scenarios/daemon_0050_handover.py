"""The cache outlives a stop in good order: by the service manager's descriptor or a file, used once, whole or not at all."""

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest

from stage.manager import Manager
from stage.waiting import wait_until

SITE = {"host": "a.test"}               # the same whatever the port
SHARED = """
    cache: {redis: {url: "@redis@", timeout: 2s}}
    routes:
      - match: GET /shop/{kind}/{id}
        cache: {ttl: 10m, tags: ["kind:{kind}"]}
      - match: PUT /kinds/{kind}
        purge: {tags: ["kind:{kind}"]}
      - match: /**
"""


@pytest.fixture
def pages(origin):
    origin.on("GET /*").do(answering(lambda r: f"page of {r.path}", Cache_Control="max-age=6000"))
    return origin


@pytest.fixture
def manager(tmp_path):
    m = Manager(tmp_path)
    yield m
    m.close()


def answering(body, **fields):
    """body: text, or a function of the request."""
    def play(exchange):
        text = body(exchange.request) if callable(body) else body
        text = text.encode() if isinstance(text, str) else text
        exchange.head(200, [("Content-Length", len(text)), *((name.replace("_", "-"), value) for name, value in fields.items())])
        exchange.send(text)
    return play


def again(w, by=None):
    """Stops it and starts it, as an upgrade does."""
    w.stop()
    if by is not None:
        w.binary = by.binary(w.binary, w.directory)
    w.start()


def told(w, text):
    wait_until(lambda: text in w.log, lambda: f"{text!r} in the log\n{w.log}")


def restored(w, count):
    wait_until(lambda: w.metric("forebay_cache_restored_total") == count, lambda: f"{count} objects to be restored\n{w.log}")


def fill(w, count=30):
    for n in range(count):
        w.get(f"/{n}").expect(200, x_cache_status="MISS")


def assert_hits(w, count=30, age=None):
    for n in range(count):
        r = w.get(f"/{n}").expect(200, f"page of /{n}", x_cache_status="HIT")
        assert age is None or int(r.headers["age"]) in age


def snapshot(w):
    return w.directory / "cache.snapshot"


def test_it_is_there_after_a_stop_and_a_start_and_its_age_is_right(pages, forebay, clock):
    w1 = forebay(app=pages)
    fill(w1)
    clock.advance(2000)
    again(w1)
    restored(w1, 30)
    assert_hits(w1, age=range(2000, 3000))
    assert pages.count("GET /*") == 30 and not snapshot(w1).exists()
    clock.advance(4001)
    w1.get("/1").expect(200, x_cache_status="EXPIRED")


def test_a_service_manager_keeps_it_in_memory(pages, forebay, manager, clock):
    w1 = forebay(app=pages, env=manager.env)
    fill(w1)
    clock.advance(2000)
    again(w1, by=manager)
    restored(w1, 30)
    assert_hits(w1, age=range(2000, 3000))
    wait_until(lambda: not manager.stored, "the descriptor to be taken back")
    assert not snapshot(w1).exists()


def test_the_file_is_used_where_it_is_asked_for(pages, forebay, manager):
    w1 = forebay("cache: {persist: file}", app=pages, env=manager.env)
    fill(w1, 3)
    w1.stop()
    assert snapshot(w1).exists()
    assert snapshot(w1).stat().st_mode & 0o777 == 0o600
    wait_until(lambda: {"EXTEND_TIMEOUT_USEC": "30000000"} in manager.told, "TimeoutStopSec not to cut it short")
    assert not manager.stored
    w1.start()
    restored(w1, 3)


def test_nothing_is_left_where_that_is_wanted(pages, forebay):
    w1 = forebay("cache: {persist: off}", app=pages)
    fill(w1, 3)
    again(w1)
    assert not snapshot(w1).exists()
    w1.get("/1").expect(200, x_cache_status="MISS")


def test_variants_tags_and_what_was_coded_come_along(origin, forebay):
    text = "a spring flood " * 400
    origin.on("GET /*").do(answering(lambda r: text + r.headers.get("x-kind", "none"), Cache_Control="max-age=6000", Vary="X-Kind",
                                     Content_Type="text/plain", ETag='"1"', Cache_Tag="books"))
    origin.on("PUT /*").reply(204)
    w1 = forebay("""
        routes:
          - match: PUT /**
            purge: {tags: [books]}
          - match: /**
    """, app=origin)
    for kind in "ab":
        for _ in range(2):
            w1.get("/1", x_kind=kind, accept_encoding="gzip").expect(200)
    again(w1)
    restored(w1, 2)
    for kind in "ab":
        r = w1.get("/1", x_kind=kind, accept_encoding="gzip").expect(200, x_cache_status="HIT", content_encoding="gzip")
        assert "content-length" in r.headers                                    # it is not coded anew
        w1.get("/1", x_kind=kind).expect(200, text + kind, x_cache_status="HIT")
    w1.get("/1", x_kind="a", if_none_match='"1"').expect(304)
    w1.request("PUT", "/2").expect(204)
    w1.get("/1", x_kind="a").expect(200, x_cache_status="MISS")


def test_slices_queries_errors_and_rules_for_queries_come_along(origin, forebay):
    data = bytes(range(256)) * 2048

    def film(exchange):
        first, last = map(int, re.match(r"bytes=(\d+)-(\d+)", exchange.request.headers["range"]).groups())
        exchange.head(206, [("Content-Length", last - first + 1), ("Content-Range", f"bytes {first}-{last}/{len(data)}"), ("ETag", '"1"'),
                            ("Cache-Control", "max-age=6000")])
        exchange.send(data[first:last + 1])

    origin.on("GET /film").do(film)
    origin.on("GET /list").reply(200, "list", cache_control="max-age=6000", no_vary_search='params=("a")')
    origin.on("GET /gone").reply(404, "gone", cache_control="max-age=6000")
    origin.on("QUERY /search").reply(200, "found", cache_control="max-age=6000")
    w1 = forebay("routes: [{match: GET /film, cache: {slice: 64KiB}}, {match: /**}]", app=origin)
    asked = [("GET", "/film", None, dict(range="bytes=0-9")), ("GET", "/film", None, dict(range="bytes=200000-200009")),
             ("GET", "/list?a=1&b=1", None, {}), ("GET", "/gone", None, {}), ("QUERY", "/search", "ab", dict(content_type="a/b"))]
    first = [w1.request(method, target, body, **fields) for method, target, body, fields in asked]
    again(w1)
    restored(w1, 6)
    asked[2] = ("GET", "/list?a=2&b=1", None, {})
    for (method, target, body, fields), was in zip(asked, first):
        w1.request(method, target, body, **fields).expect(was.status, was.body, x_cache_status="HIT")


def test_what_expired_or_was_purged_before_the_stop_does_not_come_back(pages, forebay, clock):
    w1 = forebay("""
        routes:
          - match: PUT /**
            purge: {urls: ["/1"]}
          - match: /**
    """, app=pages)
    pages.on("PUT /*").reply(204)
    fill(w1, 3)
    w1.request("PUT", "/x").expect(204)
    again(w1)
    restored(w1, 2)
    w1.get("/1").expect(200, x_cache_status="MISS")
    w1.stop()
    clock.advance(6001 + 600)
    w1.start()
    told(w1, "0 of 3 objects are in the cache again")


@pytest.mark.parametrize("harm, says", [
    (lambda f: f.write_bytes(f.read_bytes()[:-100]), "it is damaged"),
    (lambda f: f.write_bytes(f.read_bytes()[:5000] + b"?" + f.read_bytes()[5001:]), "it is damaged"),
    (lambda f: f.write_bytes(f.read_bytes()[:8] + b"\x63" + f.read_bytes()[9:]), "another version of Forebay wrote it"),
    (lambda f: f.write_bytes(b""), "it is not a snapshot"),
    (lambda f: f.write_bytes(b"\0" * 100000), "it is not a snapshot"),
], ids=["cut", "flipped", "version", "empty", "unfinished"])
def test_what_is_not_whole_is_refused_whole(pages, forebay, harm, says):
    w1 = forebay(app=pages)
    fill(w1, 5)
    w1.stop()
    harm(snapshot(w1))
    w1.start()
    told(w1, f"the cache of the process before is refused: {says}")
    assert w1.metric("forebay_cache_objects") == 0 and not snapshot(w1).exists()
    w1.get("/1").expect(200, x_cache_status="MISS")


def test_a_crash_leaves_nothing_neither_of_its_own_nor_of_the_stop_before(pages, forebay):
    w1 = forebay(app=pages)
    fill(w1, 5)
    again(w1)
    restored(w1, 5)
    w1.kill()
    assert not snapshot(w1).exists()
    w1.start()
    w1.get("/1").expect(200, x_cache_status="MISS")
    assert w1.metric("forebay_cache_restored_total") == 0


def test_it_is_a_miss_until_it_is_restored_and_what_came_meanwhile_stays(origin, forebay):
    """More than can be restored before the first request: whichever comes first, the newer one is answered with."""
    version = ["old"]
    origin.on("GET /*").do(answering(lambda r: version[0] * 20000, Cache_Control="max-age=6000"))
    w1 = forebay("cache: {memory: 64MiB}", app=origin)
    fill(w1, 400)
    w1.stop()
    version[0] = "new"
    w1.start()
    w1.get("/399").expect(200)
    seen = {n: w1.get(f"/{n}").body[:3] for n in range(0, 400, 7)}
    wait_until(lambda: "in the cache again" in w1.log, "it to be restored")
    for n, body in seen.items():
        assert w1.get(f"/{n}").expect(200, x_cache_status="HIT").body[:3] == body


def test_a_smaller_cache_takes_what_it_has_room_for(origin, forebay):
    origin.on("GET /*").do(answering("x" * 20000, Cache_Control="max-age=6000"))
    w1 = forebay("cache: {memory: 16MiB}", app=origin)
    fill(w1, 500)
    w1.stop()
    w1.configure("cache: {memory: 4MiB}")
    w1.start()
    told(w1, "there is no room for more")
    assert 50 < w1.metric("forebay_cache_objects") <= 210
    assert w1.metric("forebay_cache_bytes") <= 4 << 20


def stop_and(w, what):
    w.stop()
    what()
    w.start()


def purge(w, kind):
    """So that the log has it."""
    w.request("PUT", f"/kinds/{kind}", **SITE).expect(204)
    w.wait_metric("forebay_purgelog_pending", 0)


class TestSharedLog:
    @pytest.fixture
    def cast(self, origin, forebay, redis):
        origin.on("GET /*").do(answering("page"))
        origin.on("PUT /*").reply(204)
        w1, w2 = (forebay(SHARED, app=origin, redis=redis.url) for _ in range(2))
        for w in (w1, w2):
            w.wait_metric("forebay_purgelog_connected", 1)
        for kind in ("tool", "toy"):
            w1.get(f"/shop/{kind}/1", **SITE).expect(200, x_cache_status="MISS")
        return w1, w2

    def test_what_others_purged_meanwhile_does_not_come_back(self, cast):
        w1, w2 = cast
        purge(w2, "tool")                       # older than what is fetched after it
        w1.wait_metric("forebay_purgelog_applied", 2)      # the tag, and the URL itself
        w1.get("/shop/tool/1", **SITE).expect(200, x_cache_status="MISS")
        stop_and(w1, lambda: purge(w2, "toy"))
        told(w1, "1 of 2 objects are in the cache again")
        w1.get("/shop/tool/1", **SITE).expect(200, x_cache_status="HIT")
        w1.get("/shop/toy/1", **SITE).expect(200, x_cache_status="MISS")

    def test_where_the_log_was_cut_meanwhile_nothing_is_believed(self, cast, redis):
        w1, w2 = cast

        def purge_and_cut():
            for _ in range(5):
                purge(w2, "other")
            redis.cli("XTRIM", "{forebay}:log", "MAXLEN", 2)
        stop_and(w1, purge_and_cut)
        told(w1, "0 of 2 objects are in the cache again")
        w1.get("/shop/tool/1", **SITE).expect(200)

    def test_a_log_that_began_anew_cannot_tell(self, cast, redis):
        w1, w2 = cast
        w2.stop()

        stop_and(w1, redis.flush)
        told(w1, "the purge log has begun anew")
        w1.get("/shop/tool/1", **SITE).expect(200, x_cache_status="MISS")

    def test_while_redis_is_away_nothing_is_restored(self, cast, redis, clock):
        w1, w2 = cast
        w2.stop()
        stop_and(w1, redis.pause)
        w1.get("/shop/tool/1", **SITE).expect(200, x_cache_status="MISS")
        assert w1.metric("forebay_cache_restored_total") == 0
        redis.resume()
        told(w1, "objects are in the cache again")

    def test_without_the_log_that_was_the_snapshot_is_dropped(self, cast):
        w1, _ = cast
        w1.stop()
        w1.configure("routes: [{match: /**}]")
        w1.start()
        told(w1, "it heard of purges elsewhere")
        assert os.path.exists(w1.config_path) and w1.metric("forebay_cache_objects") == 0


def test_a_stop_during_the_restoring_is_not_held_up(origin, forebay):
    origin.on("GET /*").do(answering("x" * 100000, Cache_Control="max-age=6000"))
    w1 = forebay("cache: {memory: 128MiB, max_object: 1MiB}", app=origin)
    fill(w1, 600)
    again(w1)
    w1.process.ended_by_test = True
    w1.signal(signal.SIGTERM)
    assert w1.wait_exit() == 0


def open_files(w):
    names = []
    for link in Path(f"/proc/{w.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):    # closed since the list was read
            names.append(os.readlink(link))
    return names


@pytest.mark.parametrize("harm", [lambda f: None, lambda f: f.write_bytes(f.read_bytes()[:-100])], ids=["restored", "refused"])
def test_what_was_left_takes_no_room_once_it_is_read_or_refused(pages, forebay, harm):
    w1 = forebay(app=pages)
    fill(w1, 3)
    w1.stop()
    harm(snapshot(w1))
    w1.start()
    wait_until(lambda: "in the cache again" in w1.log or "is refused" in w1.log, "the snapshot to be looked at")
    wait_until(lambda: not any("cache.snapshot" in name for name in open_files(w1)), lambda: f"it to be closed: {open_files(w1)}")


@pytest.mark.parametrize("persist", ["restart", "off"])
def test_what_the_service_manager_still_has_is_empty_and_of_no_use(pages, forebay, manager, persist):
    w1 = forebay(app=pages, env=manager.env)
    fill(w1, 3)
    w1.stop()
    kept = os.dup(manager.stored["forebay-cache"])
    w1.configure(f"cache: {{persist: {persist}}}")
    w1.binary = manager.binary(w1.binary, w1.directory)
    w1.start()
    wait_until(lambda: os.fstat(kept).st_size == 0, "the memory to be given up")
    os.close(kept)


def other_user(file):
    os.chown(file, 12345, -1)


def linked(file):
    os.link(file, file.with_name("other"))


def replaced_by_a_link(file):
    os.symlink(file.rename(file.with_name("other")), file)


def replaced_by_a_pipe(file):
    file.unlink()
    os.mkfifo(file, 0o600)


@pytest.mark.parametrize("harm, says", [
    (other_user, "another user's"), (lambda file: file.chmod(0o640), "others may read or write it"), (linked, "another name"),
    (replaced_by_a_link, "symbolic links"), (replaced_by_a_pipe, "it is no file")], ids=["owner", "mode", "link", "symlink", "pipe"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_others_could_have_written_is_not_used(pages, forebay, harm, says):
    w1 = forebay(app=pages)
    fill(w1, 3)
    w1.stop()
    harm(snapshot(w1))
    w1.start()
    told(w1, f"{snapshot(w1)} is not used: ")
    assert says in w1.log
    w1.get("/1").expect(200, x_cache_status="MISS")
    assert not os.path.lexists(snapshot(w1))


@pytest.mark.parametrize("plant", [os.link, lambda victim, trap: os.symlink(victim, trap)], ids=["link", "symlink"])
def test_nothing_but_a_file_of_its_own_is_written_to(pages, forebay, tmp_path, plant):
    w1 = forebay(app=pages)
    fill(w1, 3)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    plant(victim, w1.directory / "cache.snapshot.new")
    w1.stop()
    assert victim.read_text() == "precious" and snapshot(w1).stat().st_mode & 0o777 == 0o600
    w1.start()
    restored(w1, 3)


def test_more_than_there_is_room_for_is_read_in_little_memory(origin, forebay):
    origin.on("GET /*").do(answering("x" * 200000, Cache_Control="max-age=6000"))
    w1 = forebay("cache: {memory: 128MiB, max_object: 1MiB}", app=origin)
    fill(w1, 500)
    w1.stop()
    w1.configure("cache: {memory: 4MiB}")
    w1.start()
    told(w1, "there is no room for more")
    peak = int(re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{w1.pid}/status").read_text(), re.M)[1])
    assert w1.is_sanitized or peak < 1.15 * 4096 + 40 * 1024
