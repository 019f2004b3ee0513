"""What is ambiguous or broken is refused, never passed on (design section 11)."""

import pytest

from stage.gate import Gate

pytestmark = pytest.mark.smoke
HOST = "Host: a.test\r\n"
POST = "POST / HTTP/1.1\r\n" + HOST

BROKEN = {
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
    "host with a path": "GET / HTTP/1.1\r\nHost: a.test/x\r\n\r\n",
    "space before the colon": f"GET / HTTP/1.1\r\n{HOST}X-A : 1\r\n\r\n",
    "folded field": f"GET / HTTP/1.1\r\n{HOST}X-A: 1\r\n 2\r\n\r\n",
    "bare LF in a field": f"GET / HTTP/1.1\r\n{HOST}X-A: 1\nX-B: 2\r\n\r\n",
    "bare CR in a field": f"GET / HTTP/1.1\r\n{HOST}X-A: 1\r2\r\n\r\n",
    "NUL in a field": f"GET / HTTP/1.1\r\n{HOST}X-A: 1\0\r\n\r\n",
    "no name": f"GET / HTTP/1.1\r\n{HOST}: 1\r\n\r\n",
    "space in the target": f"GET /a b HTTP/1.1\r\n{HOST}\r\n",
    "NUL in the target": f"GET /%00 HTTP/1.1\r\n{HOST}\r\n".replace("%00", "\0"),
    "odd method": f"G(T / HTTP/1.1\r\n{HOST}\r\n",
    "odd version": f"GET / HTTP/1.1x\r\n{HOST}\r\n",
    "both framings": f"{POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "list of lengths": f"{POST}Content-Length: 3, 4\r\n\r\nabcd",
    "signed length": f"{POST}Content-Length: +3\r\n\r\nabc",
    "hexadecimal length": f"{POST}Content-Length: 0x3\r\n\r\nabc",
    "length with a space": f"{POST}Content-Length: 0 3\r\n\r\nabc",
    "length past 64 bits": f"{POST}Content-Length: 18446744073709551617\r\n\r\na",
    "empty length": f"{POST}Content-Length:\r\n\r\n",
    "chunked not last": f"{POST}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": f"{POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked with a tab inside": f"{POST}Transfer-Encoding: chun\tked\r\n\r\n0\r\n\r\n",
    "chunk size in words": f"{POST}Transfer-Encoding: chunked\r\n\r\nthree\r\nabc\r\n0\r\n\r\n",
    "signed chunk size": f"{POST}Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    "chunk size past 64 bits": f"{POST}Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
    "chunk longer than it says": f"{POST}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "chunk ended by LF": f"{POST}Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
}


@pytest.fixture(params=BROKEN.values(), ids=BROKEN.keys())
def broken(request):
    return request.param


def test_a_broken_request_is_refused_and_its_connection_closed(origin, forebay, broken):
    rule = origin.on("/*").reply(200)
    c1 = forebay(app=origin).client()

    c1.send(broken.encode("latin-1"))
    r = c1.answer()
    assert r.status in (400, 501), r
    c1.wait_closed()
    assert not any(request.complete for request in origin.asked()), "a broken message went upstream as a whole one"
    assert rule.asked <= 1


def test_a_version_nobody_speaks_is_505(forebay, origin):
    c1 = forebay(app=origin).client()
    c1.send(b"GET / HTTP/3.0\r\nHost: a.test\r\n\r\n").answer().expect(505)


def test_a_head_that_is_too_large_is_431(forebay, origin):
    c1 = forebay("limits: {head_size: 8KiB}", app=origin).client()
    c1.get("/", x_long="x" * 9000).expect(431)


def test_a_body_that_is_too_large_is_413(forebay, origin):
    c1 = forebay("limits: {body_size: 1KiB}", app=origin).client()
    c1.send(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2000\r\n\r\n").answer().expect(413)
    assert origin.count() == 0


def test_an_upload_cut_short_never_ends_in_a_proper_last_chunk(forebay, origin):
    origin.on("POST /up").reply(200)
    c1 = forebay(app=origin).client()

    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
    origin.wait_asked(1, "POST /up")
    c1.close()
    origin.wait_connections(0)
    assert not origin.last().complete


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_answer_cut_short_is_passed_on_as_such_and_not_kept(forebay, origin, framing, then):
    step = Gate()
    origin.on("GET /cut").reply(200, ["x" * 1000, step, "y" * 1000], framing=framing, cut=1500, then=then,
                                cache_control="max-age=60").reply(200, "whole", cache_control="max-age=60")
    w1 = forebay(app=origin)

    c1 = w1.client()
    r = c1.begin("GET", "/cut")
    r.stream.at_least(1000)
    step.release()
    assert not c1.finish(r).complete
    w1.get("/cut").expect(200, "whole", x_cache_status="MISS")
