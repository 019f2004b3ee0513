"""A client that reads slowly, late, or only the end of it gets all that it asked for: nothing waits for what nobody will say."""

import gzip
import hashlib

import pytest

from stage.waiting import wait_until

BODY = bytes(range(256)) * 12000            # 3 MiB: more than what sockets and the window between them hold


def begin_and_stall(w1, origin, target, headers=()):
    """A request whose answer is not read until no more of it moves."""
    c1 = w1.client()
    r = c1.begin("GET", target, headers=headers)
    rest, seen = [], [-1]

    def rests():
        sent = sum(connection.sent for connection in origin.live)
        rest.append(sent == seen[0])
        seen[0] = sent
        return len(rest) > 30 and all(rest[-30:])
    wait_until(rests, "the origin's answer to stand still")
    return c1, r


@pytest.mark.parametrize("mib", range(3, 10))
def test_a_chunked_answer_read_late_arrives_whole(origin, forebay, mib):
    body = BODY[:1 << 20] * mib
    origin.on("GET /chunked").reply(200, [body[at:at + 50_000] for at in range(0, len(body), 50_000)], cache_control="no-store")
    c1, r = begin_and_stall(forebay("compression: off", app=origin), origin, "/chunked")

    assert c1.finish(r).expect(200).body == body


def test_an_answer_that_is_unfolded_for_the_client_arrives_whole(origin, forebay):
    body = b"".join(hashlib.sha256(b"%d" % n).digest() + b"spring flood " * 100 for n in range(12_000))
    origin.on("GET /folded").reply(200, gzip.compress(body, mtime=0), content_type="text/plain", content_encoding="gzip",
                                   cache_control="no-store")
    c1, r = begin_and_stall(forebay(app=origin), origin, "/folded")

    assert c1.finish(r).expect(200).body == body


@pytest.mark.parametrize("first", [2_500_000, 5_000_000])
def test_a_range_far_into_what_only_passes_arrives(origin, forebay, first):
    body = BODY * 2
    origin.on("GET /film").reply(200, body, etag='"1"')
    w1 = forebay("cache: {max_object: 1MiB}", app=origin)

    w1.get("/film", range=f"bytes={first}-{first + 99}").expect(206, body[first:first + 100])


def test_ranges_backwards_in_what_only_passes_arrive(origin, forebay):
    body = BODY * 2
    origin.on("GET /film").reply(200, body, etag='"1"')
    w1 = forebay("cache: {max_object: 1MiB}", app=origin)

    r = w1.get("/film", range="bytes=5000000-5000099,100-199")
    assert r.status in (200, 206)
    assert body[100:200] in r.body and body[5000000:5000100] in r.body
