"""Each body is compressed once, streams are not held up, and what the origin has coded is undone only for whom it must be."""

import gzip
import zlib

import pytest

from stage.client import ABSENT, together
from stage.coding import decoded, decoder, zstd
from stage.gate import Gate

TEXT = "".join(f"line {n} of a text that is worth compressing\n" for n in range(3000))
CODED = "forebay_compressed_total"


def test_each_variant_is_made_once(origin, forebay):
    origin.on("GET /text", times=1).reply(200, TEXT, content_type="text/plain", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/text").expect(200, TEXT)
    assert w1.metric(CODED) == 0
    for round in range(3):
        for coding in ("gzip", "br", "zstd"):
            r = w1.get("/text", accept_encoding=coding).expect(200, content_encoding=coding)
            assert decoded(r).decode() == TEXT
            if round:
                assert int(r.headers["content-length"]) == len(r.body)      # it is there, and how long it is is known
    w1.wait_metric(CODED, 3)
    w1.get("/text").expect(200, TEXT)


def test_a_variant_goes_with_its_object(origin, forebay, clock):
    origin.on("GET /text").reply(200, TEXT, content_type="text/plain", cache_control="max-age=1000").reply(200, TEXT[::-1], content_type="text/plain")
    w1 = forebay(app=origin)
    for _ in range(2):
        assert decoded(w1.get("/text", accept_encoding="gzip")).decode() == TEXT
    clock.advance(1001)
    assert decoded(w1.get("/text", accept_encoding="gzip")).decode() == TEXT[::-1]


def test_a_variant_outlives_a_validation(origin, forebay, clock):
    origin.on("GET /text").reply(200, TEXT, content_type="text/plain", cache_control="max-age=1000", etag='"7"', revalidates=True)
    w1 = forebay(app=origin)
    for _ in range(2):
        w1.get("/text", accept_encoding="br").expect(200)
    clock.advance(1001)
    for word in ("REVALIDATED", "HIT"):
        r = w1.get("/text", accept_encoding="br").expect(200, x_cache_status=word, etag='W/"7"')
        assert decoded(r).decode() == TEXT
    w1.wait_metric(CODED, 1)


@pytest.mark.tsan
def test_many_at_once_of_many_codings(origin, forebay):
    origin.on("GET /text", times=1).reply(200, TEXT, content_type="text/plain", cache_control="max-age=60")
    w1 = forebay("workers: 3", app=origin)
    w1.get("/text").expect(200)

    def read(coding):
        def play():
            with w1.client() as c:
                for _ in range(20):
                    assert decoded(c.get("/text", accept_encoding=coding).expect(200)).decode() == TEXT
        return play
    together(*[read(coding) for coding in ("gzip", "br", "zstd", None) * 3])


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", None])
@pytest.mark.parametrize("kind", ["text/event-stream", "application/x-ndjson", "text/plain"])
def test_what_the_origin_has_said_arrives_at_once(origin, forebay, coding, kind):
    steps = [Gate() for _ in range(4)]
    body = ["data: 0\n\n"]
    for n, step in enumerate(steps, 1):
        body += [step, f"data: {n}\n\n"]
    origin.on("GET /events").reply(200, body, content_type=kind, cache_control="no-store")
    w1 = forebay("compression: {types: [text/*, application/x-ndjson]}", app=origin)
    c = w1.client()
    r = c.begin("GET", "/events", accept_encoding=coding).expect(200, content_encoding=coding or ABSENT)
    undo, seen, at = decoder(coding), "", 0
    for n, step in enumerate([*steps, None]):
        while f"data: {n}\n\n" not in seen:                 # all of it, though the origin pauses behind it
            data = r.stream.at_least(at + 1)
            seen += undo.decode(data[at:]).decode()
            at = len(data)
        if step:
            step.release()
    c.finish(r)
    undo.decode(r.body[at:])
    assert undo.is_whole and seen == "".join(f"data: {n}\n\n" for n in range(5))


def test_a_coded_stream_that_breaks_off_is_seen_to(origin, forebay):
    origin.on("GET /x").reply(200, TEXT, content_type="text/plain", cut=70000, then="reset", cache_control="max-age=60")
    w1 = forebay(app=origin)
    for coding in ("gzip", "br", "zstd"):
        r = w1.get("/x", accept_encoding=coding)
        assert not r.complete or r.status == 502
        if r.status == 200:
            undo = decoder(coding)
            undo.decode(r.body)
            assert not undo.is_whole


# what the origin has coded

@pytest.fixture
def coded(origin, forebay):
    body = gzip.compress(TEXT.encode())
    origin.on("GET /gz").reply(200, body, content_type="text/plain", content_encoding="gzip", cache_control="max-age=60", etag='"7"', vary="Accept-Encoding")
    return forebay(app=origin)


def test_it_is_never_coded_twice_and_decoded_for_whom_it_must_be(coded, origin):
    for _ in range(2):
        r = coded.get("/gz", accept_encoding="gzip").expect(200, content_encoding="gzip", etag='"7"')
        assert gzip.decompress(r.body).decode() == TEXT
        for accepted in ("gzip;q=0", None, "identity"):
            r = coded.get("/gz", accept_encoding=accepted).expect(200, TEXT, content_encoding=ABSENT, etag='W/"7"')
            assert r.headers.list("Vary") == ["Accept-Encoding"]
        r = coded.get("/gz", accept_encoding="br")
        assert decoded(r).decode() == TEXT and r.headers.get("Content-Encoding") in (None, "br")
    assert origin.count() == 1


def test_what_the_origin_sends_as_zstd_is_undone_for_whom_it_must_be(origin, forebay):
    origin.on("GET /z", times=1).reply(200, zstd(TEXT.encode()), content_type="text/plain", content_encoding="zstd", cache_control="max-age=60", etag='"7"')
    w1 = forebay(app=origin)
    for accepted, coding in (("zstd", "zstd"), ("gzip, br", ABSENT), (None, ABSENT), ("zstd;q=0.1, gzip", "zstd")):
        r = w1.get("/z", accept_encoding=accepted).expect(200, content_encoding=coding)
        assert decoded(r).decode() == TEXT and r.headers.list("Vary") == ["Accept-Encoding"]


def test_zstd_that_wants_more_remembered_than_browsers_do_is_not_undone(origin, forebay):
    greedy = b"\x28\xb5\x2f\xfd\x00\x69\x09\x00\x00x"           # a window of 9 MiB (RFC 9659: 8 at most), and the text "x"
    origin.on("GET /z").reply(200, greedy, content_type="text/plain", content_encoding="zstd", cache_control="no-store")
    w1 = forebay(app=origin)
    r = w1.get("/z")
    assert r.status == 502 or not r.complete and r.body == b""  # its head may have come on its own
    w1.get("/z", accept_encoding="zstd").expect(200, greedy)


def test_a_range_of_what_is_coded_is_of_the_coded(coded):
    whole = coded.get("/gz", accept_encoding="gzip").body
    coded.get("/gz", accept_encoding="gzip", range="bytes=5-9").expect(206, whole[5:10], content_encoding="gzip")
    r = coded.get("/gz", range="bytes=5-9")                 # who does not take gzip has no use for a piece of it
    r.expect(200, TEXT, content_encoding=ABSENT)


def test_a_head_of_what_is_coded(coded):
    coded.get("/gz", accept_encoding="gzip")
    coded.head("/gz", accept_encoding="gzip").expect(200, content_encoding="gzip")
    coded.head("/gz").expect(200, content_encoding=ABSENT, etag='W/"7"')


def test_codings_we_do_not_know_pass(origin, forebay):
    for name, coding in (("old", "compress"), ("two", "gzip, br"), ("own", "x-own")):
        origin.on(f"GET /{name}").reply(200, b"not what it says" * 100, content_type="text/plain", content_encoding=coding, cache_control="max-age=60")
    w1 = forebay(app=origin)
    for name, coding in (("old", "compress"), ("two", "gzip, br"), ("own", "x-own")):
        for accepted in ("gzip", None, f"{coding}"):
            w1.get(f"/{name}", accept_encoding=accepted).expect(200, b"not what it says" * 100, content_encoding=coding)


@pytest.mark.parametrize("how", ["flipped", "cut", "trailing", "no gzip at all", "bomb"])
@pytest.mark.parametrize("cached", ["max-age=60", "no-store"])
def test_a_damaged_body_is_not_passed_off_as_whole(origin, forebay, how, cached):
    good = gzip.compress(TEXT.encode())
    body = {"flipped": good[:1000] + bytes([good[1000] ^ 255]) + good[1001:], "cut": good[:-20], "trailing": good + b"x" * 10,
            "no gzip at all": b"plain text, whatever the head says" * 50}.get(how) or bomb()
    origin.on("GET /gz").reply(200, body, content_type="text/plain", content_encoding="gzip", cache_control=cached)
    w1 = forebay(app=origin)
    before = w1.rss_kib()
    for _ in range(2):
        r = w1.get("/gz")
        assert r.status == 502 or not r.complete, r
        assert w1.get("/gz", accept_encoding="gzip").expect(200).body == body       # as it came, for who can judge for himself
    assert w1.rss_kib() - before < (60 if not w1.is_sanitized else 500) * 1024


def bomb():
    coder = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(coder.compress(bytes(1 << 20)) for _ in range(400)) + coder.flush()


def test_a_large_body_is_coded_in_little_memory(origin, forebay):
    piece = ("".join(f"{n * 7919 % 10007} " for n in range(12000))).encode()
    origin.on("GET /log").reply(200, [piece] * 400, content_type="text/plain", cache_control="no-store")
    w1 = forebay(app=origin)
    before = w1.rss_kib()
    for coding in ("gzip", "br", "zstd"):
        r = w1.get("/log", accept_encoding=coding).expect(200, content_encoding=coding)
        assert decoded(r) == piece * 400
    assert w1.rss_kib() - before < (24 if not w1.is_sanitized else 500) * 1024
