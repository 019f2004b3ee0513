"""HTTP/2: what one connection may cost, and how one that costs more ends."""

import select
import struct
import time

import pytest

from stage.h2 import (CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR,
                      FRAME_SIZE_ERROR, GOAWAY, H2, HEADERS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PING, PREFACE, PRIORITY,
                      PRIORITY_UPDATE, PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, block, field)
from stage.waiting import USUAL_S, patiently, wait_until

STORED = {"cache_control": "max-age=60"}


@pytest.fixture
def w1(origin, forebay):
    origin.on("/*").reply(200, "here", **STORED)
    w1 = forebay(app=origin)
    w1.get("/").expect(200)
    return w1


def flood(c1, frames):
    """As fast as it goes, for what is allowed grows with time; what comes back is taken, lest it holds us up. Until all is sent or
    the server has had enough."""
    data = memoryview(b"".join(frames))
    try:
        while data:
            readable, writable, _ = select.select([c1.sock], [c1.sock], [], patiently(USUAL_S))
            assert readable or writable, "neither takes nor ends"
            if readable:
                more = c1.sock.recv(65536)
                if not more:
                    return
                c1.buffer += more
            if writable:
                data = data[c1.sock.send(data[:65536]):]
    except ConnectionError:
        pass


def u32(n):
    return struct.pack("!I", n)


def rapid_reset(c1):
    for i in range(1000):
        s = 2 * i + 1
        yield c1.render(HEADERS, END_HEADERS | END_STREAM, s, block(c1.head("GET", f"/{i}"))) + c1.render(RST_STREAM, 0, s, u32(CANCEL))


def made_you_reset(c1):
    for i in range(1000):
        s = 2 * i + 1
        yield c1.render(HEADERS, END_HEADERS | END_STREAM, s, block(c1.head("GET", "/large"))) + c1.render(WINDOW_UPDATE, 0, s, u32(0))


def made_you_reset_by_data(c1):
    for i in range(4000):               # what is answered pays for nearly all of it
        s = 2 * i + 1
        yield c1.render(HEADERS, END_HEADERS | END_STREAM, s, block(c1.head("GET", "/"))) + c1.render(DATA, 0, s, b"x")


def made_you_reset_by_malformed(c1):
    for i in range(4000):
        yield c1.render(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block(c1.head("GET", None)))


def beyond_the_limit(c1):
    for i in range(1000):
        yield c1.render(HEADERS, END_HEADERS, 2 * i + 1, block(c1.head("POST", "/")))


def pings(c1):
    for _ in range(200):
        yield c1.render(PING, 0, 0, bytes(8)) * 20


def acknowledged_pings(c1):
    for _ in range(200):
        yield c1.render(PING, 1, 0, bytes(8)) * 20


def settings(c1):
    for i in range(200):
        yield c1.render(SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW_SIZE, 65535 + i)) * 20


def fat_settings(c1):
    for _ in range(20):
        yield c1.render(SETTINGS, 0, 0, struct.pack("!HI", 0xff, 1) * 2000)


def empty_data(c1):
    yield c1.render(HEADERS, END_HEADERS, 1, block(c1.head("POST", "/")))
    for _ in range(200):
        yield c1.render(DATA, 0, 1) * 20


def padding_alone(c1):
    yield c1.render(HEADERS, END_HEADERS, 1, block(c1.head("POST", "/")))
    for _ in range(200):
        yield c1.render(DATA, 8, 1, b"\x03abc") * 20


def window_updates(c1):
    for _ in range(200):
        yield c1.render(WINDOW_UPDATE, 0, 0, u32(1)) * 20


def priorities(c1):
    for _ in range(200):
        yield c1.render(PRIORITY, 0, 1, bytes(5)) * 20


def priority_updates(c1):
    for i in range(200):
        yield c1.render(PRIORITY_UPDATE, 0, 0, u32(2 * i + 1) + b"u=1") * 20


def unknown(c1):
    for _ in range(200):
        yield c1.render(0xee, 0, 0, b"what") * 20


def empty_continuations(c1):
    yield c1.render(HEADERS, END_STREAM, 1, block(c1.head("GET", "/")))
    for _ in range(200):
        yield c1.render(CONTINUATION, 0, 1) * 20


def endless_continuations(c1):
    yield c1.render(HEADERS, END_STREAM, 1, block(c1.head("GET", "/")))
    for i in range(100):
        yield c1.render(CONTINUATION, 0, 1, block([(f"x-{i}", "v" * 8000)]))


def resets_of_nothing(c1):
    yield c1.render(HEADERS, END_HEADERS | END_STREAM, 1, block(c1.head("GET", "/")))
    for _ in range(200):
        yield c1.render(RST_STREAM, 0, 1, u32(CANCEL)) * 20


def heads_for_a_stream_that_was_reset(c1):
    yield c1.render(HEADERS, END_HEADERS, 1, block(c1.head("POST", "/"))) + c1.render(WINDOW_UPDATE, 0, 1, u32(0))
    for _ in range(200):
        yield c1.render(HEADERS, END_HEADERS | END_STREAM, 1, block(c1.head("GET", "/"))) * 20


def data_for_a_stream_that_was_reset(c1):
    yield c1.render(HEADERS, END_HEADERS, 1, block(c1.head("POST", "/"))) + c1.render(WINDOW_UPDATE, 0, 1, u32(0))
    for _ in range(200):
        yield c1.render(DATA, 0, 1, b"x") * 20


def goodbyes(c1):
    yield c1.render(HEADERS, END_HEADERS, 1, block(c1.head("POST", "/")))
    for _ in range(200):
        yield c1.render(GOAWAY, 0, 0, bytes(8)) * 20


FLOODS = [rapid_reset, made_you_reset, made_you_reset_by_data, made_you_reset_by_malformed, beyond_the_limit, pings, acknowledged_pings,
          settings, fat_settings, empty_data, padding_alone, window_updates, priorities, priority_updates, unknown,
          empty_continuations, endless_continuations, resets_of_nothing, heads_for_a_stream_that_was_reset,
          data_for_a_stream_that_was_reset, goodbyes]


@pytest.mark.parametrize("what", FLOODS, ids=lambda what: what.__name__)
def test_a_flood_ends_the_connection_and_troubles_nobody_else(origin, w1, what):
    origin.on("/large").reply(200, "x" * 100_000, **STORED)
    w1.get("/large").expect(200)
    with H2(w1.address, updates=False) as c1, H2(w1.address) as c2:
        flood(c1, what(c1))
        assert c1.ended() in (ENHANCE_YOUR_CALM, None)
        c2.answer(c2.get("/")).expect(200, "here")
    reason = "head" if what is endless_continuations else "flood"
    w1.wait_metric("forebay_http2_ended_total", 1, reason=reason)


def test_heads_that_come_after_the_goodbye_are_paid_for(origin, forebay):
    gate = origin.on("/held").reply(200, "at last", cache_control="no-store").hold()
    w1 = forebay("limits: {drain_timeout: 60s}", app=origin)
    with H2(w1.address) as c1:
        c1.get("/held")
        origin.wait_asked(1)
        w1.terminate()
        c1.next(PING)                           # which is answered: what was under way is here
        c1.next(GOAWAY)
        c1.next(GOAWAY)
        flood(c1, (c1.render(HEADERS, END_HEADERS | END_STREAM, 2 * i + 101, HEAD) for i in range(4000)))
        assert c1.ended() in (ENHANCE_YOUR_CALM, None)
    gate.release()
    assert w1.wait_exit() == 0


def test_a_window_opened_byte_by_byte_makes_only_so_many_frames(origin, w1):
    origin.on("/large").reply(200, "x" * 100_000, **STORED)
    w1.get("/large").expect(200)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 0)], updates=False) as c1:
        streams = [c1.get("/large") for _ in range(90)]         # so that thousands of frames are there in a moment
        with pytest.raises((EOFError, ConnectionError)):
            for _ in range(40):
                c1.send(b"".join(c1.render(WINDOW_UPDATE, 0, s, u32(1)) for s in streams))
                for s in streams:
                    c1.next(DATA, stream=s)
        assert c1.goaway is None or c1.goaway.code == ENHANCE_YOUR_CALM
    w1.wait_metric("forebay_http2_ended_total", 1, reason="flood")


def test_who_has_room_for_less_than_a_kilobyte_at_a_time_is_served(origin, w1):
    origin.on("/large").reply(200, "x" * 1_000_000, **STORED)
    with H2(w1.address, settings=[(INITIAL_WINDOW_SIZE, 1000)]) as c1:
        for _ in range(2):
            assert len(c1.answer(c1.get("/large")).expect(200).body) == 1_000_000


def test_a_flood_of_resets_costs_the_origin_little(origin, forebay):
    origin.on("/*").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    began = time.monotonic()
    with H2(w1.address) as c1:
        flood(c1, rapid_reset(c1))
        c1.ended()
    most = 200 + 10 * (time.monotonic() - began + 1)            # what was there, and what came while the machine took its time
    assert len(origin.requests) <= most
    assert w1.metric("forebay_http2_resets_total", reason="client") <= most


def test_who_asks_and_gets_is_never_too_much(w1):
    with H2(w1.address) as c1:
        for _ in range(30):
            for s in [c1.get("/") for _ in range(100)]:
                c1.answer(s).expect(200, "here")


def test_who_leaves_a_page_may_ask_for_the_next(origin, forebay):
    origin.on("/*").reply(200, "late", cache_control="no-store").hold()
    origin.on("/quick").reply(200, "soon")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        for s in [c1.get(f"/{i}") for i in range(60)]:
            c1.reset(s)
        c1.answer(c1.get("/quick")).expect(200, "soon")


def test_the_budget_fills_up_again(w1, clock):
    with H2(w1.address) as c1:
        for _ in range(4):
            c1.send(c1.render(WINDOW_UPDATE, 0, 0, u32(1)) * 900)
            c1.answer(c1.get("/")).expect(200)
            clock.advance(20)


def test_one_who_reads_nothing_makes_nothing_grow(w1):
    before = w1.rss_kib()
    with H2(w1.address, updates=False, receive_bytes=4096) as c1:
        c1.sock.settimeout(5)                   # nothing more is taken
        request = b"".join(c1.render(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block(c1.head("GET", "/"))) for i in range(5000))
        try:
            c1.send(request)
        except TimeoutError:
            pass
        c2 = w1.client()
        c2.get("/").expect(200)
        assert w1.rss_kib() - before < 10_000


def bomb(n):
    """One entry of 4000 bytes into the table, and n references to it."""
    return b"\x40" + field("x-bomb", "b" * 4000)[1:] + b"\xbe" * n


def test_a_head_that_unfolds_beyond_its_limit_is_refused(w1):
    before = w1.rss_kib()
    with H2(w1.address) as c1:
        for _ in range(20):
            s, c1.next_id = c1.next_id, c1.next_id + 2
            c1.frame(HEADERS, END_HEADERS | END_STREAM, s, block(c1.head("GET", "/")) + bomb(12_000))
            c1.answer(s).expect(431)
        c1.answer(c1.get("/")).expect(200)
    assert w1.rss_kib() - before < 10_000


def ends(w1, code, *frames, preface=True):
    with H2(w1.address, preface=preface) as c1:
        for frame in frames:
            c1.send(frame if isinstance(frame, bytes) else c1.render(*frame))
        assert c1.ended() == code


HEAD = block([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")])
WRONG = {
    "settings of a wrong size": (FRAME_SIZE_ERROR, (SETTINGS, 0, 0, bytes(5))),
    "settings on a stream": (PROTOCOL_ERROR, (SETTINGS, 0, 1, b"")),
    "an acknowledgment with content": (FRAME_SIZE_ERROR, (SETTINGS, 1, 0, bytes(6))),
    "a window too large": (FLOW_CONTROL_ERROR, (SETTINGS, 0, 0, struct.pack("!HI", INITIAL_WINDOW_SIZE, 1 << 31))),
    "frames too small": (PROTOCOL_ERROR, (SETTINGS, 0, 0, struct.pack("!HI", MAX_FRAME_SIZE, 100))),
    "a ping on a stream": (PROTOCOL_ERROR, (PING, 0, 1, bytes(8))),
    "a ping of a wrong size": (FRAME_SIZE_ERROR, (PING, 0, 0, bytes(7))),
    "a frame too large": (FRAME_SIZE_ERROR, (DATA, 0, 1, bytes(16385))),
    "data on no stream": (PROTOCOL_ERROR, (DATA, 0, 0, b"x")),
    "data before a head": (PROTOCOL_ERROR, (DATA, 0, 1, b"x")),
    "a reset before a head": (PROTOCOL_ERROR, (RST_STREAM, 0, 1, bytes(4))),
    "a window before a head": (PROTOCOL_ERROR, (WINDOW_UPDATE, 0, 1, u32(1))),
    "a window of nothing": (PROTOCOL_ERROR, (WINDOW_UPDATE, 0, 0, u32(0))),
    "a window beyond all": (FLOW_CONTROL_ERROR, (WINDOW_UPDATE, 0, 0, u32(0x7fffffff))),
    "a window of a wrong size": (FRAME_SIZE_ERROR, (WINDOW_UPDATE, 0, 0, bytes(3))),
    "an even stream": (PROTOCOL_ERROR, (HEADERS, END_HEADERS | END_STREAM, 2, HEAD)),
    "a head on no stream": (PROTOCOL_ERROR, (HEADERS, END_HEADERS | END_STREAM, 0, HEAD)),
    "a continuation of nothing": (PROTOCOL_ERROR, (CONTINUATION, END_HEADERS, 1, HEAD)),
    "a frame within a head": (PROTOCOL_ERROR, (HEADERS, END_STREAM, 1, HEAD), (PING, 0, 0, bytes(8))),
    "a continuation of another": (PROTOCOL_ERROR, (HEADERS, END_STREAM, 1, HEAD), (CONTINUATION, END_HEADERS, 3, b"")),
    "padding beyond the frame": (PROTOCOL_ERROR, (HEADERS, END_HEADERS | 8, 1, b"\xff" + HEAD)),
    "a priority cut short": (PROTOCOL_ERROR, (HEADERS, END_HEADERS | END_STREAM | 32, 1, b"\0\0\0")),
    "a block that is none": (COMPRESSION_ERROR, (HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff")),
    "a block cut short": (COMPRESSION_ERROR, (HEADERS, END_HEADERS | END_STREAM, 1, HEAD[:-2])),
    "a push": (PROTOCOL_ERROR, (PUSH_PROMISE, END_HEADERS, 1, bytes(4) + HEAD)),
    "an old number": (STREAM_CLOSED, (HEADERS, END_HEADERS | END_STREAM, 9, HEAD), (HEADERS, END_HEADERS | END_STREAM, 7, HEAD)),
    "a goodbye of a wrong size": (FRAME_SIZE_ERROR, (GOAWAY, 0, 0, bytes(7))),
    "a priority update on a stream": (PROTOCOL_ERROR, (PRIORITY_UPDATE, 0, 1, bytes(4) + b"u=1")),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_may_not_come_ends_the_connection(w1, what):
    code, *frames = WRONG[what]
    ends(w1, code, *frames)


def test_the_first_frame_is_settings(w1):
    ends(w1, PROTOCOL_ERROR, PREFACE, (PING, 0, 0, bytes(8)), preface=False)


def test_what_only_begins_like_a_preface_ends(w1):
    ends(w1, PROTOCOL_ERROR, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", preface=False)


def test_a_fault_of_one_stream_leaves_the_others(w1):
    with H2(w1.address) as c1:
        for frame, code in (((WINDOW_UPDATE, u32(0)), PROTOCOL_ERROR), ((PRIORITY, bytes(4)), FRAME_SIZE_ERROR),
                            ((WINDOW_UPDATE, u32(0x7fffffff)), FLOW_CONTROL_ERROR)):
            s = c1.open(c1.head("POST", "/"), end=False)
            c1.frame(frame[0], 0, s, frame[1])
            assert c1.next(RST_STREAM, stream=s).code == code
        s = c1.open(c1.head("POST", "/"), end=False)
        c1.frame(HEADERS, END_HEADERS, s, block([("x-sum", "1")]))
        assert c1.next(RST_STREAM, stream=s).code == PROTOCOL_ERROR
        c1.answer(c1.get("/")).expect(200)


def test_what_is_unknown_is_passed_over(w1):
    with H2(w1.address) as c1:
        c1.frame(0xee, 0xff, 0, b"what")
        c1.frame(SETTINGS, 0, 0, struct.pack("!HI", 0xffff, 1))
        c1.answer(c1.get("/")).expect(200)


def test_a_head_in_many_frames_byte_by_byte_is_read(w1):
    with H2(w1.address) as c1:
        text = block(c1.head("GET", "/", [("x-a", "b")]))
        out = c1.render(HEADERS, END_STREAM, 1, text[:1])
        out += b"".join(c1.render(CONTINUATION, END_HEADERS if i == len(text) - 1 else 0, 1, text[i:i + 1]) for i in range(1, len(text)))
        c1.send(out[:50])
        c1.send(out[50:])
        c1.answer(1).expect(200)


def test_a_head_that_does_not_end_is_not_waited_for(w1, clock):
    with H2(w1.address) as c1:
        c1.frame(HEADERS, END_STREAM, 1, HEAD[:5])
        wait_until(lambda: w1.metric("forebay_http2_connections_total") == 1, "it to speak HTTP/2")
        w1.get("/").expect(200)
        clock.advance(11)
        c1.ended()


def test_many_kinds_of_trouble_leave_no_descriptor_behind(w1):
    before = w1.fd_count()
    for code, *frames in list(WRONG.values())[:6]:
        ends(w1, code, *frames)
    wait_until(lambda: w1.fd_count() <= before + 1, "descriptors to be given back")
