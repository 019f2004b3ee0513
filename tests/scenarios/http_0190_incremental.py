"""Incremental (RFC 10036): a message that says so is passed on piece by piece, in both directions."""

import pytest

from stage.gate import Gate


@pytest.mark.parametrize("coding", [None, "br, gzip"])
def test_a_response_is_passed_on_as_it_comes(origin, forebay, coding):
    gate = Gate()
    origin.on("GET /feed").reply(200, [b"one", gate, b"two"], incremental="?1", content_type="text/plain", cache_control="no-store")
    w1 = forebay(app=origin)
    with w1.client() as c1:
        c1.send(f"GET /feed HTTP/1.1\r\nHost: x\r\n{f'Accept-Encoding: {coding}' if coding else 'X: y'}\r\n\r\n".encode())
        head = c1.read_until(b"\r\n\r\n")
        assert b"Incremental: ?1" in head
        assert c1.read_until(b"\r\n") != b"0\r\n"                    # a chunk is here, though the origin has not gone on
        gate.release()


def test_a_request_is_passed_on_as_it_comes(origin, forebay):
    origin.on("POST /feed").reply(200, "all")
    w1 = forebay(app=origin)
    with w1.client() as c1:
        c1.send(b"POST /feed HTTP/1.1\r\nHost: x\r\nIncremental: ?1\r\nContent-Length: 6\r\n\r\none")
        origin.wait_asked(1)                                        # though half of the body is still to come
        assert origin.requests[0].headers["incremental"] == "?1"
        c1.send(b"two")
        assert b"200 OK" in c1.read_until(b"all")
    assert origin.requests[0].text == "onetwo"


@pytest.mark.parametrize("says", ["?0", "1", "?1, ?1", "true"])
def test_one_that_does_not_say_so_is_collected_first(origin, forebay, says):
    origin.on("POST /feed").reply(200, "all")
    origin.on("GET /other").reply(200)
    w1 = forebay("workers: 1", app=origin)
    with w1.client() as c1:
        c1.send(f"POST /feed HTTP/1.1\r\nHost: x\r\nIncremental: {says}\r\nContent-Length: 6\r\n\r\none".encode())
        with w1.client() as c2:                                     # who comes later is answered, and it has not gone on
            c2.get("/other").expect(200)
        assert origin.count("POST /feed") == 0
        c1.send(b"two")
        assert b"200 OK" in c1.read_until(b"all")
