"""Parts of what is stored, and of what is still on its way."""

import re

import pytest

from stage.gate import Gate

BODY = bytes(range(256)) * 40                       # 10,240 bytes, no two neighbouring pieces alike
FIELDS = {"cache_control": "max-age=60", "etag": '"7"', "content_type": "application/octet-stream"}


@pytest.fixture
def w1(origin, forebay):
    origin.on("GET /film", times=1).reply(200, BODY, **FIELDS)
    w1 = forebay(app=origin)
    w1.get("/film").expect(200, BODY)
    return w1


@pytest.mark.parametrize("asked, first, last", [
    ("bytes=0-0", 0, 0), ("bytes=0-99", 0, 99), ("bytes=10000-", 10000, 10239), ("bytes=-5", 10235, 10239),
    ("bytes=5000-99999", 5000, 10239), ("bytes=-99999", 0, 10239), ("bytes=10239-10239", 10239, 10239),
])
def test_one_part(w1, asked, first, last):
    r = w1.get("/film", range=asked).expect(206, BODY[first:last + 1], x_cache_status="HIT", etag='"7"')
    assert r.headers["content-range"] == f"bytes {first}-{last}/10240" and "Content-Encoding" not in r.headers


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
def test_a_part_behind_the_end(w1, asked):
    w1.get("/film", range=asked).expect(416, content_range="bytes */10240")


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=a-b", "bytes=+0-5", "bytes=0x0-5", "bytes=", "lines=0-5", "bytes 0-5", "bytes=0-5,a",
                                   "bytes=99999999999999999999-", "bytes=-", "bytes=0-5;6-7"])
def test_what_is_no_range_is_not_heard(w1, asked):
    r = w1.get("/film", range=asked)
    assert r.status in (200, 416) and (r.status == 416 or r.body == BODY)


def parts_of(r):
    kind, boundary = re.fullmatch(r"(multipart/byteranges); ?boundary=\"?([\w'()+,./:=?-]+)\"?", r.headers["content-type"]).groups()
    pieces = r.body.split(b"--" + boundary.encode())
    assert pieces[0] in (b"", b"\r\n") and pieces[-1] in (b"--", b"--\r\n")
    for piece in pieces[1:-1]:
        head, _, body = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n"))
        yield fields, body.removesuffix(b"\r\n")


def test_several_parts(w1):
    r = w1.get("/film", range="bytes=0-9, 5000-5009, -10").expect(206, x_cache_status="HIT")
    parts = list(parts_of(r))
    assert [fields["content-range"] for fields, _ in parts] == [f"bytes {n}/10240" for n in ("0-9", "5000-5009", "10230-10239")]
    assert [body for _, body in parts] == [BODY[:10], BODY[5000:5010], BODY[-10:]]
    assert all(fields["content-type"] == "application/octet-stream" for fields, _ in parts)
    assert int(r.headers["content-length"]) == len(r.body)


def test_of_several_parts_those_that_exist(w1):
    w1.get("/film", range="bytes=0-4, 99999-").expect(206, BODY[:5], content_range="bytes 0-4/10240")


def test_parts_that_overlap_are_sent_once(w1):
    w1.get("/film", range="bytes=0-99, 50-199, 200-299").expect(206, BODY[:300], content_range="bytes 0-299/10240")
    r = w1.get("/film", range="bytes=9000-9009, 0-, 5-10").expect(206, BODY, content_range="bytes 0-10239/10240")
    assert int(r.headers["content-length"]) == len(BODY)


def test_a_thousand_parts_are_not_worth_it(w1):
    r = w1.get("/film", range="bytes=" + ",".join(f"{n}-" for n in range(1000)))
    assert r.status in (200, 416) or len(r.body) <= 2 * len(BODY)


@pytest.mark.parametrize("validator, status", [('"7"', 206), ('W/"7"', 200), ('"8"', 200), ("Tue, 15 Nov 1994 12:45:26 GMT", 200)])
def test_a_part_of_what_the_client_means(w1, validator, status):
    w1.get("/film", range="bytes=0-9", if_range=validator).expect(status, BODY[:10] if status == 206 else BODY)


def test_a_head_has_no_parts(w1):
    w1.head("/film", range="bytes=0-9").expect(200, b"", content_length=len(BODY))


def test_parts_of_what_is_on_its_way(origin, forebay):
    step = Gate()
    origin.on("GET /film", times=1).reply(200, [BODY[:5000], step, BODY[5000:]], framing="length", length=len(BODY), **FIELDS)
    w1 = forebay(app=origin)
    leader = w1.client()
    r = leader.begin("GET", "/film")
    assert r.stream.at_least(5000) == BODY[:5000]
    w1.get("/film", range="bytes=100-199").expect(206, BODY[100:200])          # has arrived
    late = w1.client().ask("GET", "/film", range="bytes=9000-9099")            # has not
    both = w1.client().ask("GET", "/film", range="bytes=0-9,9000-9099")
    step.release()
    late.answer().expect(206, BODY[9000:9100])
    assert [body for _, body in parts_of(both.answer().expect(206))] == [BODY[:10], BODY[9000:9100]]
    leader.finish(r).expect(200, BODY)


def test_a_first_request_for_a_part_fills_the_cache(origin, forebay):
    origin.on("GET /film", times=1).reply(200, BODY, **FIELDS)
    w1 = forebay(app=origin)
    w1.get("/film", range="bytes=100-199").expect(206, BODY[100:200], x_cache_status="MISS")
    assert "Range" not in origin.last().headers
    w1.wait_metric("forebay_cache_objects", 1)                                 # he did not wait for what he had not asked for
    w1.get("/film").expect(200, BODY, x_cache_status="HIT")


def test_a_part_from_the_origin_is_never_taken_for_the_whole(origin, forebay):
    origin.on("GET /film").reply(206, BODY[:10], content_range="bytes 0-9/10240", **FIELDS).reply(200, BODY, **FIELDS)
    w1 = forebay(app=origin)
    w1.get("/film", range="bytes=0-9").expect(206, BODY[:10])
    w1.get("/film").expect(200, BODY, x_cache_status="MISS")


def test_a_part_of_what_is_not_cached_is_the_origins_answer(origin, forebay):
    origin.on("GET /film").reply(206, BODY[10:20], content_range="bytes 10-19/10240", etag='"7"')
    w1 = forebay("routes: [{match: /**, cache: off}]", app=origin)
    w1.get("/film", range="bytes=10-19", if_range='"7"').expect(206, BODY[10:20], content_range="bytes 10-19/10240")
    asked = origin.last().headers
    assert (asked["range"], asked["if-range"]) == ("bytes=10-19", '"7"')
