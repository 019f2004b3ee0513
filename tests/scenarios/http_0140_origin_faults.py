"""The origin is not trusted: what is not valid HTTP, or not whole, is never passed off as a good answer."""

import pytest

from stage.gate import Gate

OK = "HTTP/1.1 200 OK\r\n"
LEN = "Content-Length: 3\r\n"
STORED = "Cache-Control: max-age=60\r\n"

GARBAGE = {
    "garbage": "SSH-2.0-OpenSSH_9.2\r\n",
    "nothing but an end": "",
    "binary": "\0\1\2\3\r\n\r\n",
    "HTTP/2": "HTTP/2 200 OK\r\n\r\n",
    "HTTP/0.9 page": "<html></html>\r\n\r\n",
    "two digits": f"HTTP/1.1 20 OK\r\n{LEN}\r\nabc",
    "four digits": f"HTTP/1.1 2000 OK\r\n{LEN}\r\nabc",
    "status 099": f"HTTP/1.1 099 OK\r\n{LEN}\r\nabc",
    "signed status": f"HTTP/1.1 +20 OK\r\n{LEN}\r\nabc",
    "control in the reason": f"HTTP/1.1 200 O\x07K\r\n{LEN}\r\nabc",
    "bare LF": f"{OK}X: 1\n{LEN}\r\nabc",
    "all bare LF": "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc",
    "NUL in a value": f"{OK}X: a\0b\r\n{LEN}\r\nabc",
    "CR in a value": f"{OK}X: a\rSet-Cookie: b\r\n{LEN}\r\nabc",
    "blank before the colon": f"{OK}X : 1\r\n{LEN}\r\nabc",
    "folded": f"{OK}X: 1\r\n 2\r\n{LEN}\r\nabc",
    "no name": f"{OK}: 1\r\n{LEN}\r\nabc",
    "signed length": f"{OK}Content-Length: +3\r\n\r\nabc",
    "hexadecimal length": f"{OK}Content-Length: 0x3\r\n\r\nabc",
    "negative length": f"{OK}Content-Length: -3\r\n\r\nabc",
    "empty length": f"{OK}Content-Length:\r\n\r\nabc",
    "length past 64 bits": f"{OK}Content-Length: 18446744073709551619\r\n\r\nabc",
    "two lengths": f"{OK}{LEN}Content-Length: 2\r\n\r\nabc",
    "equal lengths twice": f"{OK}{LEN}{LEN}\r\nabc",
    "list of lengths": f"{OK}Content-Length: 3, 3\r\n\r\nabc",
    "both framings": f"{OK}{LEN}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked twice": f"{OK}Transfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked not last": f"{OK}Transfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "head too large": f"{OK}X: {'x' * 70000}\r\n{LEN}\r\nabc",
    "head cut short": f"{OK}Content-Le",
    "a flood of 1xx": "HTTP/1.1 103 Early Hints\r\n\r\n" * 1000 + f"{OK}{LEN}\r\nabc",
    "a 101 nobody asked for": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nabc",
}


@pytest.mark.smoke
@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
def test_an_answer_that_is_not_valid_is_502(origin, forebay, said):
    origin.on("GET /a").raw(said.encode("latin-1"))
    origin.on("GET /b").reply(200, "b", cache_control="no-store")
    c1 = forebay(app=origin).client()
    c1.get("/a").expect(502, content_type="application/problem+json", x=None)
    c1.get("/b").expect(200, "b")                # nothing of it is left over
    assert c1.connections == 1
    origin.wait_connections(1)


CUT = {
    "length": f"{OK}{STORED}Content-Length: 10\r\n\r\nabc",
    "chunked, between chunks": f"{OK}{STORED}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "chunked, in a chunk": f"{OK}{STORED}Transfer-Encoding: chunked\r\n\r\n8\r\nabc",
    "chunked, before the empty line": f"{OK}{STORED}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    "bad chunk size": f"{OK}{STORED}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n+0\r\n\r\n",
    "chunk longer than it says": f"{OK}{STORED}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "bare LF after a chunk": f"{OK}{STORED}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n",
    "bad trailer": f"{OK}{STORED}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : 1\r\n\r\n",
}


@pytest.mark.smoke
@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("said", CUT.values(), ids=CUT.keys())
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_body_that_is_not_whole_is_never_taken_for_whole(origin, forebay, said, then, version):
    origin.on("GET /a").raw(said.encode(), then=then).reply(200, "whole", cache_control="max-age=60")
    w1 = forebay(app=origin)
    c1 = w1.client()
    r = c1.ask("GET", "/a", version=version).answer()
    assert r.status in (502, 504) or not r.complete or (version == "HTTP/1.0" and r.ended == "reset"), r
    w1.get("/a").expect(200, "whole", x_cache_status="MISS")
    w1.get("/a").expect(200, "whole", x_cache_status="HIT")


def test_bytes_after_the_end_of_an_answer_go_nowhere(origin, forebay):
    evil = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    for i, said in enumerate([f"{OK}{LEN}\r\nabc{evil}", f"{OK}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n{evil}",
                              f"HTTP/1.1 204 No Content\r\n\r\n{evil}", f"HTTP/1.1 304 Not Modified\r\n\r\n{evil}"]):
        origin.on(f"GET /{i}").raw(said.encode(), then="keep")
    origin.on("GET /next").reply(200, "next", cache_control="no-store")
    w1 = forebay("workers: 1", app=origin)
    c1 = w1.client()
    for i in range(4):
        assert c1.get(f"/{i}").body in (b"abc", b"")
        for _ in range(2):
            c1.get("/next").expect(200, "next")


def test_bytes_after_the_end_that_come_later_go_nowhere(origin, forebay):
    step = Gate()
    said = Gate(is_open=True)
    def late(exchange):
        exchange.send(f"{OK}{LEN}\r\nabc")
        step.pass_through()
        exchange.send(f"{OK}Content-Length: 6\r\n\r\npoison")
        said.pass_through()
    origin.on("GET /a").do(late)
    origin.on("GET /next").reply(200, "next", cache_control="no-store")
    c1 = forebay("workers: 1", app=origin).client()
    c1.get("/a").expect(200, "abc")
    step.release()
    said.wait_arrived()
    for _ in range(3):
        c1.get("/next").expect(200, "next")


def test_the_answer_to_head_has_no_body_even_if_the_origin_sends_one(origin, forebay):
    origin.on("HEAD /a").raw(f"{OK}{LEN}Cache-Control: no-store\r\n\r\nabc".encode(), then="keep")
    origin.on("GET /next").reply(200, "next", cache_control="no-store")
    c1 = forebay("workers: 1", app=origin).client()
    c1.head("/a").expect(200, b"", content_length="3")
    c1.get("/next").expect(200, "next")
    assert c1.connections == 1


def test_an_unknown_coding_of_an_answer_is_not_passed_on_as_plain(origin, forebay):
    origin.on("GET /a").raw(f"{OK}{STORED}Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".encode()).reply(200, "plain")
    w1 = forebay(app=origin)
    r = w1.get("/a")
    assert r.status == 502, r
    w1.get("/a").expect(200, "plain")


def test_a_few_interim_responses_are_fine(origin, forebay):
    origin.on("GET /a").reply(200, "page", interim=[(103, {"Link": f"</{i}.css>"}) for i in range(5)], cache_control="no-store")
    c1 = forebay(app=origin).client()
    assert len(c1.get("/a").expect(200, "page").interim) == 5


@pytest.mark.parametrize("status", [299, 418, 499, 599, 600, 799, 999])
def test_odd_statuses_pass_or_fail_but_never_confuse(origin, forebay, status):
    origin.on("GET /a").raw(f"HTTP/1.1 {status} Odd\r\n{LEN}Cache-Control: no-store\r\n\r\nabc".encode(), then="keep")
    origin.on("GET /b").reply(200, "b", cache_control="no-store")
    c1 = forebay(app=origin).client()
    r = c1.get("/a")
    assert (r.status, r.body) == (status, b"abc") or r.status == 502
    c1.get("/b").expect(200, "b")


def test_an_origin_that_resets_before_it_answers_a_write_is_502(origin, forebay):
    origin.on("POST /a").hangup("reset")
    origin.on("GET /b").reply(200, "b")
    c1 = forebay(app=origin).client()
    c1.post("/a", "x").expect(502)
    assert origin.count("POST /a") == 1
    c1.get("/b").expect(200)


def test_an_empty_reason_and_obs_text_pass(origin, forebay):
    origin.on("GET /a").raw(b"HTTP/1.1 200\r\nContent-Length: 1\r\nX-Name: caf\xe9\r\n\r\na", then="keep")
    origin.on("GET /b").raw(b"HTTP/1.1 404 Nichts hier\r\nContent-Length: 1\r\n\r\nb", then="keep")
    c1 = forebay(app=origin).client()
    assert c1.get("/a").expect(200, "a").headers["X-Name"] == "caf\xe9"
    assert c1.get("/b").expect(404, "b").reason == "Nichts hier"


def test_a_head_without_room_for_a_date_is_passed_on_and_not_stored(origin, forebay):
    fields = "".join(f"X-{i}: {i}\r\n" for i in range(127))
    said = f"HTTP/1.1 200 OK\r\n{STORED}{fields}\r\nabc".encode()
    origin.on("GET /a").raw(said).raw(said)
    w1 = forebay(app=origin)

    w1.get("/a").expect(200, "abc", x_cache_status="MISS")
    w1.get("/a").expect(200, "abc", x_cache_status="MISS")


def test_a_304_that_brings_a_field_too_many_has_the_whole_fetched_again(origin, forebay, clock):
    fields = "".join(f"X-{i}: {i}\r\n" for i in range(124))
    start = "Date: Wed, 18 Nov 2026 12:00:00 GMT\r\nCache-Control: max-age=1\r\nETag: \"1\"\r\n"
    origin.on("GET /a").raw(f"{OK}{LEN}{start}{fields}\r\nabc".encode(), then="keep") \
        .raw(f"HTTP/1.1 304 Not Modified\r\n{start}New: 1\r\nNewer: 1\r\n\r\n".encode(), then="keep") \
        .reply(200, "new", cache_control="max-age=60")
    w1 = forebay(app=origin)

    w1.get("/a").expect(200, "abc")
    clock.advance(100000)
    w1.get("/a").expect(200, "new")
