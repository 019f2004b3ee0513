"""Bodies in both directions: trailers, Expect, HEAD, interim responses, and what passes without filling memory."""

import pytest

from stage.client import Client, together
from stage.gate import Gate
from stage.waiting import stands_still, wait_until

MIB = 1 << 20
# The address sanitizer keeps what was freed, for a while: not here, where memory is looked at.
MEMORY_AS_RELEASED = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}


def test_trailers_reach_the_client(origin, forebay):
    origin.on("GET /a").reply(200, ["abc"], trailers=[("Server-Timing", "db;dur=1"), ("X-Sum", "9"), ("Content-Length", "7")],
                              trailer="Server-Timing, X-Sum", cache_control="no-store")
    r = forebay(app=origin).client().get("/a").expect(200, "abc")
    assert r.trailers.get("Server-Timing") == "db;dur=1" and r.trailers.get("X-Sum") == "9"
    assert "Content-Length" not in r.trailers and "X-Sum" not in r.headers


def test_trailers_of_what_is_stored_reach_whoever_can_be_given_them(origin, forebay):
    origin.on("GET /a").reply(200, ["abc"], trailers=[("X-Sum", "9")], cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/a").expect(200, "abc")
    for _ in range(2):
        w1.client().ask("GET", "/a", version="HTTP/1.0").answer().expect(200, "abc", x_cache_status="HIT", content_length="3")
        r = w1.get("/a").expect(200, "abc", x_cache_status="HIT")
        assert r.trailers.get("X-Sum") == "9"


def test_trailers_of_an_upload_reach_the_origin(origin, forebay):
    origin.on("POST /up").reply(200)
    w1 = forebay(app=origin)
    w1.client().ask("POST", "/up", [b"abc"], trailers=[("X-Sum", "9"), ("Host", "evil.test"), ("Content-Length", "3")]).answer().expect(200)
    seen = origin.last()
    assert seen.complete and seen.trailers.get("X-Sum") == "9"
    assert seen.headers.all("Host") != ["evil.test"] and "Host" not in seen.trailers and "X-Sum" not in seen.headers


EXPECTING = b"POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"


def test_continue_is_said_once_the_origin_can_take_the_body(origin, forebay):
    origin.on("POST /up").reply(200, "thanks")
    c1 = forebay(app=origin).client()
    c1.send(EXPECTING)
    assert c1.read_until("\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    c1.send(b"abc").answer().expect(200, "thanks")
    assert origin.last().body == b"abc" and c1.is_open


def test_nobody_is_told_to_continue_towards_an_origin_that_is_not_there(origin, forebay):
    w1 = forebay(app=origin)
    origin.refuse()
    c1 = w1.client()
    r = c1.send(EXPECTING).answer().expect(502, connection="close")
    assert r.interim == []
    c1.wait_closed()


def test_nobody_is_told_to_continue_with_what_will_be_refused(origin, forebay):
    w1 = forebay("limits: {body_size: 1KiB}", app=origin)
    c1 = w1.client()
    c1.send(EXPECTING.replace(b"Length: 3", b"Length: 3000"))
    assert c1.answer().expect(413, connection="close").interim == [] and origin.count() == 0


@pytest.mark.parametrize("expectation", ["100-Continue", "202-magic", "100-continue, x=y"])
def test_an_expectation_never_fails(origin, forebay, expectation):
    origin.on("POST /up").reply(200, "thanks")
    c1 = forebay(app=origin).client()
    c1.send(f"POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: {expectation}\r\n\r\nabc".encode())
    c1.answer().expect(200, "thanks")
    assert "Expect" not in origin.last().headers and c1.connections == 1


def test_a_body_that_did_not_wait_gets_no_continue(origin, forebay):
    origin.on("POST /up").reply(200, "thanks")
    c1 = forebay(app=origin).client()
    r = c1.send(EXPECTING + b"abc").answer().expect(200, "thanks")
    assert r.interim == []
    c1.post("/up", b"x").expect(200)
    assert c1.connections == 1


def test_an_http_10_client_is_not_told_to_continue(origin, forebay):
    origin.on("POST /up").reply(200, "thanks")
    c1 = forebay(app=origin).client()
    c1.send(EXPECTING.replace(b"HTTP/1.1", b"HTTP/1.0") + b"abc")
    assert c1.answer().expect(200, "thanks").interim == []


def test_an_answer_instead_of_continue_closes_without_the_body(origin, forebay):
    rule = origin.on("POST /up").reply(401, "no").early()
    gate = rule.hold_body()
    c1 = forebay(app=origin).client()
    c1.send(EXPECTING.replace(b"Length: 3", b"Length: 300000"))
    r = c1.answer()
    r.expect(401, "no", connection="close")
    c1.wait_closed()
    gate.release()
    origin.wait_connections(0)
    assert not origin.last().complete


def test_a_refusal_is_read_by_who_sends_much_before_he_looks(origin, forebay):
    w1 = forebay("limits: {body_size: 1MiB}", app=origin)
    c1 = w1.client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8388608\r\n\r\n" + bytes(6 * MIB))
    c1.answer().expect(413, connection="close")
    c1.wait_closed()


def test_head_has_the_fields_of_get_and_no_body(origin, forebay):
    origin.on("HEAD /length").reply(200, "x" * 500, cache_control="no-store")
    origin.on("HEAD /chunked").reply(200, ["x"], cache_control="no-store")
    origin.on("HEAD /close").reply(200, "x", framing="close", cache_control="no-store", then="keep")
    origin.on("GET /after").reply(200, "after", cache_control="no-store")
    c1 = forebay(app=origin).client()
    c1.head("/length").expect(200, b"", content_length="500")
    c1.head("/chunked").expect(200, b"", content_length=None)
    c1.get("/after").expect(200, "after")
    assert c1.connections == 1


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_has_none_whatever_the_origin_says(origin, forebay, status):
    origin.on("GET /a").raw(f"HTTP/1.1 {status} X\r\nContent-Length: 5\r\nCache-Control: no-store\r\n\r\n".encode(), then="keep")
    origin.on("GET /b").reply(200, "b", cache_control="no-store")
    c1 = forebay(app=origin).client()
    c1.get("/a", if_none_match='"x"').expect(status, b"", transfer_encoding=None)
    c1.get("/b").expect(200, "b")
    assert c1.connections == 1


def test_early_hints_come_early(origin, forebay):
    step = Gate()
    origin.on("GET /a").reply(200, [step, "page"], interim=[(103, {"Link": "</a.css>; rel=preload", "Connection": "x-hop", "X-Hop": "1"}), (102, {})],
                              cache_control="no-store")
    c1 = forebay(app=origin).client()
    c1.ask("GET", "/a")
    first = c1.read_until("\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 103 ") and b"Link: </a.css>; rel=preload" in first and b"X-Hop" not in first
    step.release()
    c1.answer().expect(200, "page")


def test_http_10_clients_get_no_interim_responses(origin, forebay):
    origin.on("GET /a").reply(200, "page", interim=[(103, {"Link": "</a.css>"})], cache_control="no-store")
    c1 = forebay(app=origin).client()
    assert c1.ask("GET", "/a", version="HTTP/1.0").answer().expect(200, "page").interim == []


def test_a_body_comes_piece_by_piece_as_the_origin_sends_it(origin, forebay):
    steps = [Gate() for _ in range(3)]
    origin.on("GET /slow").reply(200, ["one", steps[0], "two", steps[1], "three", steps[2]], cache_control="no-store")
    c1 = forebay(app=origin).client()
    r = c1.begin("GET", "/slow")
    for step, text in zip(steps, (b"one", b"two", b"three")):
        r.stream.until(text)
        step.release()
    c1.finish(r).expect(200, "onetwothree")


def test_an_upload_goes_on_piece_by_piece(origin, forebay):
    arrived = Gate(is_open=True)
    def read(exchange):
        exchange.request.stream.until(b"one")
        arrived.pass_through()
        exchange.request.stream.until(b"two")
        arrived.pass_through()
        exchange.read_body()
        exchange.head(200, [("Content-Length", 0)])
    origin.on("POST /up").do(read).early()
    c1 = forebay(app=origin).client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    arrived.wait_arrived(1)
    c1.send(b"3\r\ntwo\r\n")
    arrived.wait_arrived(2)
    c1.send(b"0\r\n\r\n").answer().expect(200)
    assert origin.last().complete


@pytest.mark.patience(120)
def test_a_slow_reader_of_a_large_body_holds_the_origin_back(origin, forebay):
    size = 256 * MIB
    piece = bytes(MIB)
    def pour(exchange):
        exchange.head(200, [("Content-Length", size), ("Cache-Control", "no-store")])
        for _ in range(size // MIB):
            exchange.send(piece)
    origin.on("GET /big").do(pour)
    w1 = forebay("workers: 1", app=origin, env=MEMORY_AS_RELEASED)
    w1.client(timeout=60).get("/big").expect(200)
    before = w1.rss_kib()

    c1 = w1.client()
    r = c1.begin("GET", "/big")
    r.stream.at_least(1)
    there = origin.live[-1]
    wait_until(lambda: stands_still(lambda: there.sent), "the origin to be held back")
    assert there.sent < size + 64 * MIB
    assert w1.rss_kib() - before < 16 * 1024
    assert len(c1.finish(r, timeout=60).body) == size
    assert w1.rss_kib() - before < 16 * 1024


@pytest.mark.patience(120)
def test_a_large_upload_to_a_slow_origin_is_held_back(origin, forebay):
    rule = origin.on("POST /up").reply(200)
    gate = rule.hold_body()
    w1 = forebay("workers: 1", app=origin, env=MEMORY_AS_RELEASED)
    c1 = w1.client()
    size = 64 * MIB
    c1.send(f"POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n".encode())
    before = w1.rss_kib()
    sent = c1.send_what_fits(bytes(size), stalled_s=1)
    assert sent < 32 * MIB and w1.rss_kib() - before < 8 * 1024
    gate.release()
    c1.send(bytes(size - sent))
    c1.answer(timeout=60).expect(200)
    assert len(origin.last().body) == size and w1.rss_kib() - before < 8 * 1024


def test_an_answer_before_the_upload_has_ended_is_passed_on(origin, forebay):
    rule = origin.on("POST /up").reply(200, "enough").early()
    gate = rule.hold_body()
    c1 = forebay(app=origin).client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
    c1.answer().expect(200, "enough", connection="close")
    c1.wait_closed()
    gate.release()
    origin.wait_connections(0)                  # neither connection can be used again
    assert not origin.last().complete


def test_an_upload_that_is_not_valid_in_its_middle_is_refused(origin, forebay):
    origin.on("POST /up").reply(200)
    c1 = forebay(app=origin).client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
    origin.wait_asked(1, "POST /up")
    c1.send(b"zz\r\n")
    c1.answer().expect(400, connection="close")
    origin.wait_connections(0)
    assert not origin.last().complete


def test_chunk_extensions_and_spellings_are_not_passed_on(origin, forebay):
    origin.on("POST /up").reply(200)
    c1 = forebay(app=origin).client()
    c1.send(b'POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n0003;a="b";c\r\nabc\r\nA ;x\r\n0123456789\r\n000\r\n\r\n')
    c1.answer().expect(200)
    seen = origin.last()
    assert seen.body == b"abc0123456789" and seen.complete and seen.headers.all("Transfer-Encoding") == ["chunked"]


def test_uploads_at_once_from_many_clients_stay_apart(origin, forebay):
    def check(exchange):
        wanted = exchange.request.path[1:].encode()
        good = set(exchange.request.body.split(b".")) == {wanted}
        exchange.head(200 if good else 500, [("Content-Length", 0)])
    origin.on("POST /*").do(check)
    w1 = forebay("workers: 4", app=origin)

    def visit(n):
        with Client(w1.address) as c1:
            for i in range(5):
                c1.ask("POST", f"/{n}", [b".".join([str(n).encode()] * 5000) for _ in range(1)]).answer().expect(200)
            return True
    assert all(together(*[lambda n=n: visit(n) for n in range(20)]))
