"""cache.memory is a bound, whatever is stored."""

import gzip
import random

import pytest

from stage.client import together
from stage.waiting import deadline_in

MIB = 1 << 20


def pages(origin, **fields):
    """/n/size: that many bytes, different for each n."""
    def play(exchange):
        n, size = map(int, exchange.request.path.split("/")[1:3])
        exchange.head(200, [("Content-Length", size), ("Cache-Control", "max-age=600"), *fields.items()])
        exchange.send(page(n, size))
    origin.on("GET /*").do(play)


def page(n, size):
    return (b"%08d" % n * (size // 8 + 1))[:size]


@pytest.mark.patience(180)
def test_eight_times_what_fits(origin, forebay):
    pages(origin)
    w1 = forebay("cache: {memory: 8MiB}", app=origin)
    rng = random.Random(1)
    c = w1.client()
    before, sent, sizes = w1.rss_kib(), 0, {}
    peak = 0
    while sent < 64 * MIB:
        n, size = len(sizes), int(2 ** rng.uniform(5, 20))
        sizes[n] = size
        sent += size
        c.get(f"/{n}/{size}").expect(200, page(n, size))
        if n % 8 == 0:
            old = rng.randrange(len(sizes))
            c.get(f"/{old}/{sizes[old]}").expect(200, page(old, sizes[old]))        # whether kept or not: the right bytes
            held = w1.metric("forebay_cache_bytes")
            peak = max(peak, held)
            assert held <= 8 * MIB
    assert peak > 4 * MIB and w1.metric("forebay_cache_limit_bytes") == 8 * MIB     # and what it may have it uses
    assert w1.metric("forebay_cache_evictions_total") > 100
    if not w1.is_sanitized:
        assert w1.rss_kib() - before < 24 * 1024


@pytest.mark.patience(120)
def test_many_small_ones(origin, forebay):
    pages(origin)
    w1 = forebay("cache: {memory: 2MiB}", app=origin)
    c = w1.client()
    for n in range(4000):
        c.get(f"/{n}/{n % 60}").expect(200)
    m = w1.metrics()
    assert m.sum("forebay_cache_bytes") <= 2 * MIB
    assert m.sum("forebay_cache_objects") > 1500                    # heads and index are not the most of it
    c.get("/3999/39").expect(200, page(3999, 39), x_cache_status="HIT")


def test_what_is_often_asked_for_stays(origin, forebay):
    pages(origin)
    w1 = forebay("cache: {memory: 2MiB}", app=origin)
    c = w1.client()
    for n in range(20):
        for _ in range(3):
            c.get(f"/{n}/1000").expect(200)
    for n in range(100, 1100):                                      # a crawler comes by, once to each page
        c.get(f"/{n}/10000").expect(200)
    assert [c.get(f"/{n}/1000").cache_status for n in range(20)].count("HIT") >= 18


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_what_is_too_large_passes_and_is_not_kept(origin, forebay, framing):
    body = page(1, 3 * MIB)
    origin.on("GET /film").reply(200, [body[i:i + 65536] for i in range(0, len(body), 65536)], framing=framing, cache_control="max-age=600")
    w1 = forebay("cache: {max_object: 1MiB}", app=origin)
    for _ in range(2):
        r = w1.get("/film").expect(200, body, x_cache_status="MISS")
    assert w1.metric("forebay_cache_objects") == 0
    if framing == "length":                                         # else nobody could know
        assert r.headers["cache-status"] == "forebay; fwd=uri-miss; fwd-status=200; detail=too-large"


@pytest.mark.parametrize("asked", ["bytes=2500000-2500099", "bytes=0-99,2500000-2500099", "bytes=2500000-2500099,0-99"])
@pytest.mark.parametrize("max_object", ["1MiB", "100MiB"])
def test_a_part_far_into_what_is_not_kept(origin, forebay, asked, max_object):
    body = page(1, 3 * MIB)
    origin.on("GET /film").reply(200, body, cache_control="max-age=600")
    w1 = forebay(f"cache: {{memory: 2MiB, max_object: {max_object}}}", app=origin)
    r = w1.get("/film", range=asked)
    if "," in asked:
        assert (r.status == 206 and body[:100] in r.body and body[2500000:2500100] in r.body) or (r.status, r.body) == (200, body)
    else:
        r.expect(206, body[2500000:2500100], content_range=f"bytes 2500000-2500099/{len(body)}")


def test_those_who_wait_for_what_turns_out_too_large_all_get_it(origin, forebay):
    body = page(1, 3 * MIB)
    origin.on("GET /film").reply(200, [body[i:i + 65536] for i in range(0, len(body), 65536)], framing="chunked", cache_control="max-age=600")
    w1 = forebay("workers: 3\ncache: {memory: 2MiB, max_object: 100MiB}", app=origin)
    clients = [w1.client().ask("GET", "/film") for _ in range(3)]

    def read(c):
        return lambda: c.answer().expect(200, body)
    together(*[read(c) for c in clients])


def test_a_coded_body_for_which_there_is_no_room_arrives_all_the_same(origin, forebay):
    rng = random.Random(1)
    text = bytes(rng.randrange(32, 127) for _ in range(900000))
    origin.on("GET /text").reply(200, text, cache_control="max-age=600", content_type="text/plain")
    w1 = forebay("cache: {memory: 1MiB}", app=origin)
    for _ in range(3):
        r = w1.get("/text", accept_encoding="gzip").expect(200, content_encoding="gzip")
        assert gzip.decompress(r.body) == text
    assert w1.metric("forebay_cache_bytes") <= MIB


def test_what_is_larger_than_all_memory_passes(origin, forebay):
    body = page(1, 3 * MIB)
    origin.on("GET /film").reply(200, body, cache_control="max-age=600")
    w1 = forebay("cache: {memory: 2MiB, max_object: 100MiB}", app=origin)
    for _ in range(2):
        w1.get("/film").expect(200, body)
    assert w1.metric("forebay_cache_bytes") <= 2 * MIB


@pytest.mark.patience(120)
def test_a_large_body_streams_through_in_little_memory(origin, forebay):
    piece = page(1, MIB)
    origin.on("GET /film").reply(200, [piece] * 96, framing="length", length=96 * MIB, cache_control="max-age=600")
    w1 = forebay("cache: {max_object: 1MiB, memory: 8MiB}", app=origin)
    before = w1.rss_kib()
    c = w1.client()
    r = c.begin("GET", "/film")
    got = len(c.reader.take(len(c.reader.buffer)))
    while got < 96 * MIB and c.reader.fill(deadline_in(30)):        # the play itself keeps nothing either
        got += len(c.reader.take(len(c.reader.buffer)))
        if got % 100 == 0:
            assert w1.rss_kib() - before < (16 if not w1.is_sanitized else 200) * 1024
    assert got == 96 * MIB
    assert w1.rss_kib() - before < (16 if not w1.is_sanitized else 200) * 1024
    assert r.status == 200


@pytest.mark.tsan
@pytest.mark.patience(120)
def test_many_at_once_while_room_is_short(origin, forebay):
    pages(origin)
    w1 = forebay("workers: 3\ncache: {memory: 1MiB}", app=origin)

    def read_on(seed):
        rng = random.Random(seed)
        with w1.client() as c:
            for _ in range(300):
                n = rng.randrange(60)
                size = 1000 + n * 997
                c.get(f"/{n}/{size}").expect(200, page(n, size))
    together(*[lambda seed=seed: read_on(seed) for seed in range(6)], timeout=100)
    assert w1.metric("forebay_cache_bytes") <= MIB
