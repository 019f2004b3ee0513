"""Strict in, canonical out: what two readers could read differently never reaches the origin (design section 11)."""

import pytest

from stage.wire import chunk

pytestmark = pytest.mark.smoke
HOST = "Host: a.test\r\n"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.fixture
def echoing(origin):
    def echo(exchange):
        exchange.head(200, [("Content-Length", len(exchange.request.body)), ("Cache-Control", "no-store")])
        exchange.send(exchange.request.body)
    origin.on("*").do(echo)
    return origin


BAD_NUMBERS = ["+5", "-5", "0x5", "5 0", "5,5", "5, 5", "5;", "5.0", "5e0", "٥", "", "\t", "99999999999999999999", "9223372036854775808",
               "5\x0b", "five"]


@pytest.mark.parametrize("number", BAD_NUMBERS, ids=repr)
def test_a_content_length_that_is_not_one_number_is_refused(echoing, forebay, number):
    c1 = forebay(app=echoing).client()
    c1.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: {number}\r\n\r\nabcde{SMUGGLED}".encode())
    c1.answer().expect(400, connection="close")
    c1.wait_closed()
    assert echoing.count() == 0


def test_equal_lengths_twice_are_refused_too(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde".encode()).answer().expect(400)
    assert echoing.count() == 0


def test_a_length_with_zeros_before_it_goes_on_as_ours(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0005\r\n\r\nabcde".encode())
    assert c1.answer().status == 400 or echoing.last().headers.all("Content-Length") == ["5"]


BAD_SIZES = ["+3", "-3", "0x3", " 3", "3 0", "3,", "3 3", "", "g", "3\x00", "3\x0b", "8000000000000000", "fffffffffffffffff", "3;\x01", "3\t3"]


@pytest.mark.parametrize("size", BAD_SIZES, ids=repr)
def test_a_chunk_size_that_is_not_one_number_is_refused(echoing, forebay, size):
    c1 = forebay(app=echoing).client()
    c1.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{size}\r\nabc\r\n0\r\n\r\n{SMUGGLED}".encode("latin-1"))
    c1.answer().expect(400, connection="close")
    c1.wait_closed()
    assert echoing.count("/smuggled") == 0 and not any(request.complete for request in echoing.asked())


CODINGS = {"gzip, chunked": 501, "chunked, gzip": 400, "identity": 501, "chunked, chunked": 400, "xchunked": 501, "": 400,
           "chunked\r\nTransfer-Encoding: chunked": 400, "chunked\r\nTransfer-Encoding: identity": 400, "\x0bchunked": 400,
           "chunked;q=1": 501, '"chunked"': 501, ",chunked,": None, "CHUNKED": None}


@pytest.mark.parametrize("coding", CODINGS, ids=repr)
def test_a_transfer_coding_is_chunked_or_refused(echoing, forebay, coding):
    c1 = forebay(app=echoing).client()
    c1.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n".encode("latin-1"))
    r = c1.answer()
    if CODINGS[coding] is None and r.status == 200:
        assert r.body == b"abc" and echoing.last().headers.all("Transfer-Encoding") == ["chunked"]
        return
    assert r.status == (CODINGS[coding] or 400), r
    c1.wait_closed()
    assert echoing.count() == 0


HEADS = {
    "a coding in 1.0": f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both framings, length last": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "both framings, Connection names the length": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"
                                                  "Connection: content-length\r\n\r\n0\r\n\r\n",
    "bare LF at the end": f"GET / HTTP/1.1\r\n{HOST}\n",
    "all bare LF": "GET / HTTP/1.1\nHost: a.test\n\n",
    "bare CR before the colon": f"GET / HTTP/1.1\r\n{HOST}X\r: 1\r\n\r\n",
    "bare CR in the request line": f"GET /\r HTTP/1.1\r\n{HOST}\r\n",
    "fold with a tab": f"GET / HTTP/1.1\r\n{HOST}X: 1\r\n\t2\r\n\r\n",
    "fold of the first field": f"GET / HTTP/1.1\r\n Host: a.test\r\n{HOST}\r\n",
    "a tab before the colon": f"GET / HTTP/1.1\r\n{HOST}X\t: 1\r\n\r\n",
    "no colon": f"GET / HTTP/1.1\r\n{HOST}X 1\r\n\r\n",
    "a name with a slash": f"GET / HTTP/1.1\r\n{HOST}X/Y: 1\r\n\r\n",
    "a name with obs-text": f"GET / HTTP/1.1\r\n{HOST}X\xe9: 1\r\n\r\n",
    "DEL in a value": f"GET / HTTP/1.1\r\n{HOST}X: a\x7f\r\n\r\n",
    "escape in a value": f"GET / HTTP/1.1\r\n{HOST}X: a\x1b[1m\r\n\r\n",
    "two blanks in the request line": f"GET  / HTTP/1.1\r\n{HOST}\r\n",
    "a blank at its end": f"GET / HTTP/1.1 \r\n{HOST}\r\n",
    "tabs in the request line": f"GET\t/\tHTTP/1.1\r\n{HOST}\r\n",
    "HTTP/0.9": "GET /\r\n\r\n",
    "lower case version": f"GET / http/1.1\r\n{HOST}\r\n",
    "version 1.10": f"GET / HTTP/1.10\r\n{HOST}\r\n",
    "version 01.1": f"GET / HTTP/01.1\r\n{HOST}\r\n",
    "two empty lines before": f"\r\n\r\nGET / HTTP/1.1\r\n{HOST}\r\n",
    "nearly the preface of HTTP/2": f"PRI / HTTP/2.0\r\n{HOST}\r\nSM\r\n\r\n",
    "TLS on a plain port": "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00",
    "empty Host": "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "Host with user": "GET / HTTP/1.1\r\nHost: user@a.test\r\n\r\n",
    "Host list": "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
    "Host with a blank": "GET / HTTP/1.1\r\nHost: a.test b.test\r\n\r\n",
    "Host with an odd port": "GET / HTTP/1.1\r\nHost: a.test:http\r\n\r\n",
    "Host with a port past 65535": "GET / HTTP/1.1\r\nHost: a.test:65536\r\n\r\n",
    "Host with an open bracket": "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "Host with a query": "GET / HTTP/1.1\r\nHost: a.test?x\r\n\r\n",
    "Host with obs-text": "GET / HTTP/1.1\r\nHost: \xe9.test\r\n\r\n",
    "repeated Host with an absolute target": "GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
    "no Host with an absolute target": "GET http://a.test/ HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_a_head_that_can_be_read_in_two_ways_is_refused(echoing, forebay, head):
    c1 = forebay(app=echoing).client()
    c1.send(head.encode("latin-1"))
    c1.shut_write() if "TLS" in head else None
    assert c1.answer().status in (400, 431, 501, 505)
    c1.wait_closed()
    assert echoing.count() == 0


@pytest.mark.parametrize("trailers", ["X: 1\n\r\n", "X : 1\r\n\r\n", "X: 1\r\n 2\r\n\r\n", "no colon\r\n\r\n", "X: \0\r\n\r\n"], ids=repr)
def test_trailers_are_judged_as_fields_are(echoing, forebay, trailers):
    c1 = forebay(app=echoing).client()
    c1.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailers}{SMUGGLED}".encode())
    c1.answer().expect(400, connection="close")
    c1.wait_closed()
    assert echoing.count("/smuggled") == 0 and not any(request.complete for request in echoing.asked())


def test_the_target_goes_before_host(echoing, forebay):
    w1 = forebay("""
        routes:
          - match: {path: /**, hosts: [a.test]}
          - {match: /**, respond: {status: 403}}
    """, app=echoing)
    c1 = w1.client()
    c1.send(b"GET http://A.test:80/x?y HTTP/1.1\r\nHost: b.test\r\n\r\n").answer().expect(200)
    seen = echoing.last()
    assert seen.target == "/x?y" and seen.headers.all("Host") == ["a.test"]
    c1.send(b"GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n").answer().expect(403)
    c1.send(b"GET http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n").answer().expect(200)
    assert echoing.last().target == "/"
    c1.send(b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n").answer().expect(200)
    assert echoing.last().target == "*"
    assert c1.connections == 1


def test_what_goes_upstream_is_written_anew(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(b"\r\nPOST /%7Ea/./b HTTP/1.0\r\nHOST: A.TEST:80\r\nx-odd:\t  1 \t\r\nCONTENT-length: 3\r\n\r\nabc").answer().expect(200)
    seen = echoing.last()
    assert seen.raw_head.startswith(b"POST /~a/b HTTP/1.1\r\nHost: a.test\r\n") and seen.headers.all("x-odd") == ["1"]
    assert seen.headers.all("Content-Length") == ["3"] and seen.body == b"abc"


def test_a_body_with_get_goes_along_and_is_read_to_its_end(echoing, forebay):
    c1 = forebay(app=echoing).client()
    c1.send(f"GET /a HTTP/1.1\r\n{HOST}Content-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}".encode()).answer().expect(200, SMUGGLED)
    c1.request("GET", "/b", "abc").expect(200, "abc")
    assert [request.path for request in echoing.asked()] == ["/a", "/b"]


def test_an_upload_that_ends_early_is_no_upload(echoing, forebay):
    w1 = forebay(app=echoing)
    for head, body in (("Content-Length: 10", b"abc"), ("Transfer-Encoding: chunked", chunk(b"abc")), ("Transfer-Encoding: chunked", b"5\r\nab")):
        c1 = w1.client()
        c1.send(f"POST / HTTP/1.1\r\n{HOST}{head}\r\n\r\n".encode() + body)
        c1.shut_write()
        c1.wait_closed()
        echoing.wait_connections(0)
    assert not any(request.complete for request in echoing.asked())
