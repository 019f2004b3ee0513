"""HTTP/2: who sends how much when. Windows, turns, urgency, and time-outs of those who do not move."""

import struct

import pytest

from stage.gate import Gate
from stage.h2 import (DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, H2, HEADERS, INITIAL_WINDOW_SIZE, PRIORITY_UPDATE, RST_STREAM,
                      WINDOW_UPDATE, block)
from stage.peers import run, tool
from stage.waiting import wait_until

STORED = {"cache_control": "max-age=60"}


def turns(client, ends):
    """Whose DATA comes in which order, until so many streams have ended: a stream stands there once for each of its turns."""
    order, ended = [], 0
    while ended < ends:
        frame = client.next(DATA)
        if not order or order[-1] != frame.stream:
            order.append(frame.stream)
        ended += frame.ends
    return order


def get_at_once(client, paths):
    """All in one write, which is read at once. Returns their streams."""
    streams = [client.next_id + 2 * i for i in range(len(paths))]
    client.send(b"".join(client.render(HEADERS, END_HEADERS | END_STREAM, stream, block(client.head("GET", path)))
                         for stream, path in zip(streams, paths)))
    client.next_id += 2 * len(paths)
    return streams


def test_no_more_is_sent_than_the_window_lets_and_others_go_on(origin, forebay):
    origin.on("GET /big").reply(200, "b" * 100_000, **STORED)
    origin.on("GET /small").reply(200, "s", **STORED)
    w1 = forebay(app=origin)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1000)], updates=False) as c1:
        big = c1.get("/big")
        assert c1.next(DATA, stream=big).payload == b"b" * 1000
        c1.answer(c1.get("/small")).expect(200, "s")
        c1.window(500, big)
        assert c1.next(DATA, stream=big).payload == b"b" * 500
        c1.frame(4, payload=struct.pack("!HI", INITIAL_WINDOW_SIZE, 200_000))
        c1.window(200_000)
        assert len(c1.answer(big).expect(200).body) == 98_500


def test_the_connections_window_holds_for_all(origin, forebay):
    origin.on("/*").reply(200, "b" * 60_000, **STORED)
    w1 = forebay(app=origin)
    with H2(w1.address, updates=False) as c1:
        c1.answer(c1.get("/1")).expect(200)
        second = c1.get("/2")
        got = b""
        while len(got) < 5535:
            got += c1.next(DATA, stream=second).payload
        assert len(got) == 5535
        c1.window(100_000)
        assert len(c1.answer(second).expect(200).body) == 60_000 - 5535


@pytest.mark.tsan
def test_a_reader_who_stands_still_makes_nothing_grow(origin, forebay):
    origin.on("/*").reply(200, "b" * 2_000_000, **STORED)
    w1 = forebay("cache: {memory: 64MiB}\n", app=origin)
    w1.get("/big").expect(200)
    before = w1.rss_kib()
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 0x7fffffff)], updates=False, receive_bytes=4096) as c1:
        c1.window(0x7fffffff - 65535)
        for _ in range(90):
            c1.get("/big")
        wait_until(lambda: w1.metric("forebay_http2_streams_total") >= 90, "all to be asked")
        w1.get("/big").expect(200)
        assert w1.rss_kib() - before < 20_000


def test_what_is_urgent_comes_first_and_what_is_not_incremental_in_order(origin, forebay):
    for name in "abcd":
        origin.on(f"GET /{name}").reply(200, name * 400_000, **STORED)
    w1 = forebay(app=origin)
    for name in "abcd":
        w1.get(f"/{name}").expect(200)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1_000_000)], updates=False) as c1:
        # Nothing moves before the connection's window opens: what has come until then is behind us.
        first = c1.get("/a")
        got = 0
        while got < 65_535:
            got += len(c1.next(DATA, stream=first).payload)
        late = c1.get("/b", [("priority", "u=6")])
        c = c1.get("/c", [("priority", "u=2")])
        d = c1.get("/d", [("priority", "u=2")])
        heads = {c1.next(HEADERS).stream for _ in range(4)}
        assert heads == {first, late, c, d}
        c1.window(10_000_000)
        assert turns(c1, 4) == [c, d, first, late]


def test_small_answers_that_are_there_go_out_as_they_were_asked_for(origin, forebay):
    origin.on("/*").reply(200, "s" * 4000, **STORED)
    w1 = forebay(app=origin)
    w1.get("/small").expect(200)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1_000_000)], updates=False) as c1:
        c1.window(10_000_000)
        asked = get_at_once(c1, ["/small"] * 90)        # more than is gathered for one write
        assert turns(c1, 90) == asked


def test_a_small_answer_does_not_overtake_one_that_waits_for_its_turn(origin, forebay):
    origin.on("GET /big").reply(200, "b" * 100_000, **STORED)
    origin.on("GET /small").reply(200, "s", **STORED)
    w1 = forebay(app=origin)
    w1.get("/big").expect(200)
    w1.get("/small").expect(200)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1_000_000)], updates=False) as c1:
        c1.window(10_000_000)
        asked = get_at_once(c1, ["/small", "/big", "/small"])
        assert turns(c1, 3) == asked


def test_those_that_are_incremental_take_turns(origin, forebay):
    for name in "ab":
        origin.on(f"GET /{name}").reply(200, name * 1_000_000, **STORED)
    w1 = forebay(app=origin)
    for name in "ab":
        w1.get(f"/{name}").expect(200)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 2_000_000)], updates=False) as c1:
        a, b = c1.get("/a", [("priority", "i")]), c1.get("/b", [("priority", "i")])
        for _ in range(2):
            c1.next(HEADERS)
        c1.window(10_000_000)
        order = turns(c1, 2)
        assert len(order) >= 8 and set(order) == {a, b}


def test_a_priority_may_change_on_the_way(origin, forebay):
    for name in "ab":
        origin.on(f"GET /{name}").reply(200, name * 400_000, **STORED)
    w1 = forebay(app=origin)
    for name in "ab":
        w1.get(f"/{name}").expect(200)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1_000_000)], updates=False) as c1:
        a, b = c1.get("/a", [("priority", "u=1")]), c1.get("/b", [("priority", "u=5")])
        got = 0
        while got < 65_535:
            got += len(c1.next(DATA, stream=a).payload)
        c1.next(HEADERS, stream=b)
        c1.frame(PRIORITY_UPDATE, payload=struct.pack("!I", b) + b"u=0")
        c1.window(10_000_000)
        ends = []
        while len(ends) < 2:
            frame = c1.next(DATA)
            if frame.ends:
                ends.append(frame.stream)
        assert ends == [b, a]


def test_a_body_that_the_origin_does_not_take_is_not_let_in_and_holds_up_nobody(origin, forebay):
    gate = origin.on("POST /slow").reply(200, "late").hold_body()
    origin.on("POST /quick").reply(200, "soon")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        slow = c1.open(c1.head("POST", "/slow"), end=False)
        allowed, sent = 65_535, 0
        while True:                     # until no window update for the stream comes: the kernels on the way are full
            while allowed - sent >= 16_000:
                c1.data(slow, b"x" * 16_000)
                sent += 16_000
            try:
                frame = c1.next(WINDOW_UPDATE, stream=slow, timeout=1)
            except (AssertionError, TimeoutError, OSError):
                break
            allowed += struct.unpack("!I", frame.payload)[0]
        assert sent < 20_000_000
        c1.answer(c1.post("/quick", "x" * 10_000)).expect(200, "soon")
        gate.release()
        c1.data(slow, b"", end=True)
        c1.answer(slow).expect(200, "late")
        assert len(origin.last("POST /slow").body) == sent


class Uploads:
    """Bodies within the connection's window: who has used it up waits until it is opened."""

    def __init__(self, client):
        self.client, self.room = client, 65_535

    def send(self, stream, body, end=False):
        for at in range(0, len(body), 16_000):
            piece = body[at:at + 16_000]
            while self.room < len(piece):
                self.room += struct.unpack("!I", self.client.next(WINDOW_UPDATE, stream=0).payload)[0]
            self.client.data(stream, piece, end=end and at + len(piece) == len(body))
            self.room -= len(piece)


def test_stalled_uploads_hold_up_none_of_the_others(origin, forebay):
    origin.on("/*").reply(200, "here")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        uploads = Uploads(c1)
        stalled = []
        for _ in range(40):             # more than twice the window with which a connection begins
            stalled.append(c1.open(c1.head("POST", "/stalled", [("content-length", "60000")]), end=False))
            uploads.send(stalled[-1], b"x" * 59_000)
        quick = c1.open(c1.head("POST", "/quick"), end=False)
        uploads.send(quick, b"x" * 10_000, end=True)
        c1.answer(quick).expect(200, "here")
        for stream in stalled:
            uploads.send(stream, b"x" * 1000, end=True)
            c1.answer(stream).expect(200, "here")
    assert len(origin.last("POST /stalled").body) == 60_000


def test_who_sends_more_than_the_window_lets_is_reset(origin, forebay):
    origin.on("POST /slow").reply(200, "late").hold_body()
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/slow"), end=False)
        c1.send(b"".join(c1.render(DATA, 0, s, b"x" * 16_384) for _ in range(500)))
        assert c1.next(RST_STREAM, stream=s).code == FLOW_CONTROL_ERROR


def test_a_body_in_tiny_pieces_arrives(origin, forebay):
    origin.on("POST /form").reply(200, "thanks")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/form"), end=False)
        c1.send(b"".join(c1.render(DATA, 0, s, bytes([65 + i % 26])) for i in range(3000)))
        c1.data(s, b"", end=True)
        c1.answer(s).expect(200, "thanks")
    assert len(origin.last().body) == 3000


def test_padding_counts_in_the_window_and_not_in_the_body(origin, forebay):
    origin.on("POST /form").reply(200, "thanks")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/form"), end=False)
        for _ in range(600):
            c1.frame(DATA, 8, s, b"\xff" + b"ab" + bytes(255))
        c1.data(s, b"", end=True)
        c1.answer(s).expect(200, "thanks")
    assert origin.last().body == b"ab" * 600


def test_a_stream_whose_window_stays_shut_is_given_up_and_the_others_are_not(origin, forebay, clock):
    origin.on("GET /big").reply(200, "b" * 100_000, **STORED)
    origin.on("GET /small").reply(200, "s", **STORED)
    w1 = forebay(app=origin)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1000)], updates=False) as c1:
        big = c1.get("/big")
        c1.next(DATA, stream=big)
        clock.advance(31)
        c1.next(RST_STREAM, stream=big)
        c1.answer(c1.get("/small")).expect(200, "s")
    assert w1.access(1, path="/big")[-1]["end"] == "client_slow"


def test_an_upload_that_stalls_is_answered_and_the_others_go_on(origin, forebay, clock):
    origin.on("/*").reply(200, "s")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/form", [("content-length", "100")]), end=False)
        c1.data(s, "abc")
        c1.answer(c1.get("/small")).expect(200, "s")
        clock.advance(31)
        assert c1.answer(s).status == 408
        c1.answer(c1.get("/small")).expect(200, "s")


def test_an_early_answer_lets_the_rest_of_an_upload_go(origin, forebay):
    w1 = forebay("routes: [{match: 'POST /form', body_size: 10B, upstream: app}, {match: /**, upstream: app}]\n", app=origin)
    origin.on("/*").reply(200, "s")
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/form", [("content-length", "60000")]), end=False)
        answer = c1.answer(s)
        assert answer.status == 413 and answer.complete
        assert c1.next(RST_STREAM, stream=s).code == 0
        c1.data(s, "x" * 10_000)        # on its way when the reset came
        c1.answer(c1.get("/small")).expect(200, "s")


def test_events_come_as_they_are_told(origin, forebay):
    step = Gate()
    origin.on("GET /events").reply(200, ["data: 1\n\n", step, "data: 2\n\n"], content_type="text/event-stream", cache_control="no-store")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.get("/events")
        assert c1.next(DATA, stream=s).payload == b"data: 1\n\n"
        step.release()
        assert c1.answer(s).body.endswith(b"data: 2\n\n")


def test_an_origin_that_breaks_off_resets_the_stream_alone(origin, forebay):
    origin.on("GET /broken").raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    origin.on("GET /small").reply(200, "s")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        answer = c1.answer(c1.get("/broken"))
        assert not answer.complete and answer.reset == 2
        c1.answer(c1.get("/small")).expect(200, "s")


@pytest.mark.slow
@pytest.mark.tsan
def test_many_large_bodies_at_once_come_whole(origin, forebay):
    origin.on("/*").reply(200, "x" * 700_001, **STORED)
    w1 = forebay(app=origin)
    done = run(tool("h2load", "nghttp2-client"), "-n", "400", "-c", "5", "-m", "10", "-w", "16", f"http://{w1}/big").expect()
    assert "400 succeeded, 0 failed, 0 errored" in done.out
