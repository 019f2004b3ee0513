"""HTTP/2 to servers, frame by frame: what they refuse, reset and leave behind, what they must not send, and who is asked again."""

import socket

import pytest

from stage.checks import EVERY_S, Rounds
from stage.client import Client
from stage.h2 import (CANCEL, CONTINUATION, DATA, END_HEADERS, ENHANCE_YOUR_CALM, GOAWAY, H2, HEADERS, INITIAL_WINDOW_SIZE, INTERNAL_ERROR,
                      MAX_CONCURRENT_STREAMS, NO_ERROR, PING, REFUSED_STREAM, RST_STREAM, SETTINGS, Served, Server, block)
from stage.h2app import CONFIG, app, c1, w1  # noqa: F401 (fixtures)
from stage.peers import run, tool
from stage.process import Process
from stage.waiting import ports, wait_until


@pytest.mark.smoke
def test_requests_share_a_connection_and_answers_come_in_any_order(app, c1, w1):
    first = c1.get("/1")
    s1 = app.accept()
    a = s1.request()
    second, third = c1.get("/2"), c1.post("/3", b"up")
    b, c = s1.request(), s1.request()
    assert s1.next(DATA, stream=c).payload == b"up"
    for stream, text in ((c, "three"), (b, "two"), (a, "one")):
        s1.reply(stream, text, [("x-what", text)])
    assert c1.answer(third).expect(200, "three", x_what="three")
    assert c1.answer(second).expect(200, "two") and c1.answer(first).expect(200, "one")
    assert w1.metric("forebay_upstream_connects_total") == 1
    assert w1.metric("forebay_upstream_requests_h2_total") == 3
    c1.answer(c1.get("/1")).expect(200, "one", x_cache_status="HIT")


def test_until_settings_came_one_is_sent_and_then_as_many_as_the_server_takes(app, c1, w1):
    streams = [c1.get(f"/{n}") for n in range(4)]
    sock = app.accept_raw()
    wait_until(lambda: w1.metric("forebay_upstream_connects_total") == 1, "a connection")
    s1 = Served(sock, settings=[(MAX_CONCURRENT_STREAMS, 2)])
    s2 = app.accept(settings=[(MAX_CONCURRENT_STREAMS, 2)])
    for s in (s1, s2):
        for _ in range(2):
            s.reply(s.request(), "x" * 10)
    for stream in streams:
        c1.answer(stream).expect(200)
    assert w1.metric("forebay_upstream_connects_total") == 2


def test_what_a_goaway_leaves_behind_is_asked_again_and_the_rest_is_answered(app, c1, w1):
    first, second = c1.get("/1"), None
    s1 = app.accept()
    a = s1.request()
    second = c1.post("/2", b"once")
    b = s1.request()
    s1.next(DATA, stream=b)
    s1.go(a)
    s2 = app.accept()
    again = s2.request()
    assert s2.next(DATA, stream=again).payload == b"once"
    s2.reply(again, "second")
    c1.answer(second).expect(200, "second")
    s1.reply(a, "first")
    c1.answer(first).expect(200, "first")
    assert s1.ended() == NO_ERROR
    assert w1.metric("forebay_upstream_turned_away_total") == 1


def test_what_is_refused_is_asked_again_but_not_for_ever(app, c1, w1):
    stream = c1.post("/", b"once")
    s1 = app.accept()
    for _ in range(3):
        s1.reset(s1.request(), REFUSED_STREAM)
    c1.answer(stream).expect(503)
    assert w1.access(1)[0]["fetch_end"] == "turned_away"
    stream = c1.post("/", b"once")
    s1.reset(s1.request(), REFUSED_STREAM)
    s1.reply(s1.request(), "done")
    c1.answer(stream).expect(200, "done")


def test_a_long_upload_that_is_refused_is_not_sent_again(app, c1, w1):
    stream = c1.open(c1.head("POST", "/"), end=False)
    for _ in range(3):
        c1.data(stream, b"x" * 16384)
    s1 = app.accept()
    a = s1.request()
    got = 0
    while got < 3 * 16384:
        got += len(s1.next(DATA, stream=a).payload)
    s1.reset(a, REFUSED_STREAM)
    assert c1.answer(stream).status == 503


def test_a_reset_stream_is_told_for_what_it_is_and_the_others_go_on(app, c1, w1):
    first = c1.post("/1")
    s1 = app.accept()
    a = s1.request()
    second, third = c1.get("/2"), c1.get("/3")
    b, c = s1.request(), s1.request()
    s1.reset(a, INTERNAL_ERROR)
    assert c1.answer(first).status == 502
    s1.head_of(b)
    s1.data(b, "some")
    c1.next(HEADERS, stream=second)
    s1.reset(b, INTERNAL_ERROR)
    assert c1.next(RST_STREAM, stream=second).code != NO_ERROR
    s1.reply(c, "whole")
    c1.answer(third).expect(200, "whole")
    ends = {line["path"]: line["fetch_end"] for line in w1.access(3)}
    assert ends["/1"] == "stream_reset" and ends["/2"] == "truncated"


@pytest.mark.parametrize("what", ["upper", "no_status", "status", "connection", "coding", "control", "pseudo", "two_lengths"])
def test_a_bad_head_never_reaches_a_client(app, c1, w1, what):
    fields = {"upper": [(":status", "200"), ("X-A", "b")], "no_status": [("x-a", "b")], "status": [(":status", "2000")],
              "connection": [(":status", "200"), ("connection", "close")], "coding": [(":status", "200"), ("transfer-encoding", "chunked")],
              "control": [(":status", "200"), ("x-a", "b\r\nset-cookie: c=d")], "pseudo": [(":status", "200"), (":path", "/")],
              "two_lengths": [(":status", "200"), ("content-length", "3"), ("content-length", "4")]}[what]
    stream = c1.get("/")
    s1 = app.accept()
    a = s1.request()
    s1.frame(HEADERS, END_HEADERS, a, block(fields))
    assert c1.answer(stream).status == 502
    assert w1.access(1)[0]["fetch_end"] == "response_bad"
    stream = c1.get("/2")
    s1.reply(s1.request(), "well")              # the connection is none the worse for it
    c1.answer(stream).expect(200, "well")


def test_a_body_that_is_not_what_its_length_says_is_none(app, c1, w1):
    short, long = c1.get("/short"), c1.get("/long")
    s1 = app.accept()
    a, b = s1.request(), s1.request()
    for stream in (a, b):
        s1.head_of(stream, [("content-length", "10")])
    s1.data(a, "12345", end=True)
    s1.data(b, "123456789abc", end=True)
    for stream in (short, long):                # told of it, when nothing had been passed on yet
        answer = c1.answer(stream)
        assert answer.status == 502 or not answer.complete
    assert all(line["fetch_end"] == "truncated" for line in w1.access(2))


def test_a_head_that_unfolds_without_end_costs_its_request_alone(app, c1, w1):
    stream = c1.get("/")
    s1 = app.accept()
    a = s1.request()
    bomb = b"\x88" + b"\x40" + b"\x01x" + b"\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 10_000         # 40 MB
    s1.frame(HEADERS, END_HEADERS, a, bomb[:16384])
    assert c1.answer(stream).status == 502
    assert w1.access(1)[0]["fetch_end"] == "head_too_large"
    stream = c1.get("/2")
    s1.reply(s1.request(), "well")
    c1.answer(stream).expect(200, "well")


def test_continuations_without_end_end_the_connection(app, c1, w1):
    stream = c1.post("/")
    s1 = app.accept()
    a = s1.request()
    s1.frame(HEADERS, 0, a, block([(":status", "200")]))
    try:
        for n in range(1000):
            s1.frame(CONTINUATION, 0, a, block([(f"x-{n}", "y" * 1000)]))
    except OSError:
        pass
    assert c1.answer(stream).status == 502


@pytest.mark.parametrize("what", ["ping", "settings", "empty"])
@pytest.mark.tsan
def test_a_server_that_floods_is_left(app, c1, w1, what):
    stream = c1.post("/")
    s1 = app.accept()
    a = s1.request()
    if what == "empty":
        s1.head_of(a)
    frame = {"ping": s1.render(PING, payload=bytes(8)), "settings": s1.render(SETTINGS), "empty": s1.render(DATA, 0, a)}[what]
    before = w1.rss_kib()
    try:
        for _ in range(200):
            s1.send(frame * 100)
    except OSError:
        pass
    answer = c1.answer(stream)
    assert answer.status == 502 or answer.reset is not None
    assert w1.rss_kib() - before < 5000
    stream = c1.get("/2")
    s2 = app.accept()
    s2.reply(s2.request(), "well")
    c1.answer(stream).expect(200, "well")


def test_who_floods_is_told(app, c1):
    c1.post("/")
    s1 = app.accept()
    s1.request()
    s1.send(s1.render(PING, payload=bytes(8)) * 1100)
    assert s1.next(GOAWAY).code == ENHANCE_YOUR_CALM


def test_a_server_of_the_old_version_is_told_apart(app, forebay):
    w1 = forebay(CONFIG % "", app=app)
    with Client(w1.address) as c1:
        c1.ask("GET", "/")
        sock = app.accept_raw()
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        c1.answer().expect(502)
        sock.close()
    assert w1.access(1)[0]["fetch_end"] == "not_h2"


@pytest.mark.tsan
def test_a_silent_server_is_asked_once_whether_it_is_there(app, c1, w1, clock):
    stream = c1.post("/1")
    s1 = app.accept()
    a = s1.request()
    clock.advance(6)
    s1.next(PING)                               # answered by the stage
    c1.get("/2")
    b = s1.request()                            # so the answer to the PING, which came before, is read before time goes on
    clock.advance(6)
    s1.head_of(b)
    s1.data(b, "", end=True)
    s1.head_of(a)
    c1.next(HEADERS, stream=stream)
    clock.advance(6)
    s1.next(PING)                               # something had come since
    s1.data(a, "late", end=True)
    assert not [f for f in s1.frames if f.kind == PING and not f.flags]
    wait_until(lambda: w1.access(1), "the end")


def test_a_connection_that_does_not_answer_any_more_is_given_up(app, c1, w1, clock):
    stream = c1.get("/1")
    s1 = app.accept()
    s1.request()
    while not [f for f in s1.frames if f.kind == SETTINGS and f.flags]:
        s1.frames.append(s1.read())             # our settings are known to it
    clock.advance(6)
    wait_until(lambda: s1.sock.recv(65536), "a PING, which nobody answers")
    clock.advance(6)
    assert c1.answer(stream).status == 502
    stream = c1.get("/2")
    s2 = app.accept()
    s2.reply(s2.request(), "another")
    c1.answer(stream).expect(200, "another")


def test_a_client_that_leaves_is_told_to_the_server(app, c1, w1):
    stream = c1.open(c1.head("POST", "/"), end=False)
    c1.data(stream, "some")
    s1 = app.accept()
    a = s1.request()
    s1.next(DATA, stream=a)
    c1.reset(stream)
    assert s1.next(RST_STREAM, stream=a).code == CANCEL


def test_a_client_that_is_answered_already_may_be_silent(app, forebay, clock):
    w1 = forebay(CONFIG % ", timeouts: {response: 10m}", app=app)
    with H2(w1.address) as c1:
        stream = c1.open(c1.head("POST", "/"), end=False)
        s1 = app.accept()
        a = s1.request()
        s1.head_of(a)
        s1.data(a, "go on")
        assert c1.next(DATA, stream=stream).payload == b"go on"
        clock.advance(50)
        s1.next(PING)                           # so the time has been seen
        c1.data(stream, "late", end=True)
        assert s1.next(DATA, stream=a).payload == b"late"
        s1.data(a, "well", end=True)
        assert c1.next(DATA, stream=stream).payload == b"well"


def test_uploads_keep_to_the_servers_window(app, c1):
    stream = c1.open(c1.head("POST", "/"), end=False)
    s1 = app.accept(settings=[(INITIAL_WINDOW_SIZE, 1000)], updates=False)
    a = s1.request()
    c1.data(stream, b"x" * 5000, end=True)
    got = b""
    while len(got) < 5000:
        got += s1.next(DATA, stream=a).payload
        assert len(got) % 1000 == 0
        s1.window(1000, a)
    s1.reply(a, "all")
    c1.answer(stream).expect(200, "all")


def test_a_client_of_the_old_version_sends_chunks_and_trailers_and_gets_them(app, w1):
    with Client(w1.address) as c1:
        c1.ask("POST", "/", [b"ab", b"cde"], trailers=[("X-Sum", "5")], te="trailers")
        s1 = app.accept()
        a = s1.request()
        got = b""
        while len(got) < 5:
            got += s1.next(DATA, stream=a).payload
        assert s1.next(HEADERS, stream=a).flags & 1          # trailers, and the end
        s1.head_of(a)
        s1.data(a, "answer")
        s1.frame(HEADERS, END_HEADERS | 1, a, block([("x-sum", "6")]))
        answer = c1.answer()
        answer.expect(200, "answer")
        assert answer.trailers.get("x-sum") == "6"


@pytest.mark.parametrize("length", [6, 600])
def test_a_length_and_trailers_of_grpc_go_together_and_of_others_the_length_stays(app, c1, w1, length):
    for kind in ("application/grpc+proto", "text/plain"):
        stream = c1.post("/")
        s1 = app.accept() if kind.endswith("proto") else s1
        a = s1.request()
        s1.head_of(a, [("content-type", kind), ("content-length", str(length))])
        s1.data(a, "x" * length)
        s1.frame(HEADERS, END_HEADERS | 1, a, block([("grpc-status", "0")]))
        answer = c1.answer(stream).expect(200, "x" * length)
        is_grpc = kind.endswith("proto")
        assert (answer.trailers.get("grpc-status") == "0") == is_grpc
        assert (answer.headers.get("content-length") == str(length)) == (not is_grpc)


def is_open(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_nghttpd_is_asked_by_tls_where_it_agrees(forebay, certs, tmp_path, clock):
    (tmp_path / "page").write_text("spring flood")
    (tmp_path / "big").write_bytes(b"x" * 3_000_000)
    certificate, port = certs.certificate("127.0.0.1"), ports.free()
    process = Process("nghttpd", [tool("nghttpd", "nghttp2-server"), "-a", "127.0.0.1", "-d", tmp_path, "--trailer", "x-end: yes", "--echo-upload",
                                  port, certificate.key, certificate.cert], tmp_path / "nghttpd.log")
    try:
        wait_until(lambda: is_open(port), "nghttpd to listen", 60)
        w1 = forebay(f"workers: 1\nupstreams: {{app: {{servers: '127.0.0.1:{port}', protocol: h2, tls: {{ca: {certs.cert}}}, "
                     f"health: {{path: /page, interval: {EVERY_S}s, timeout: {EVERY_S}s, body: spring}}}}}}\n")
        rounds = Rounds(w1, clock)
        w1.get("/page").expect(200, "spring flood")
        assert len(w1.get("/big").expect(200).body) == 3_000_000
        assert len(w1.post("/echo", b"y" * 1_000_000).expect(200).body) == 1_000_000
        done = run(tool("h2load", "nghttp2-client"), "-n", "2000", "-c", "4", "-m", "50", f"http://{w1.address}/page").expect()
        assert "2000 succeeded" in done.out
        for _ in range(3):
            rounds.next()
        assert w1.metric("forebay_upstream_checks_failed_total") == 0
    finally:
        process.kill()


@pytest.mark.parametrize("speaks_h2", [True, False])
def test_auto_takes_what_the_server_agrees_to(origins, forebay, certs, speaks_h2):
    context = certs.certificate("127.0.0.1").server_context()
    if speaks_h2:
        context.set_alpn_protocols(["h2"])
        server = Server()
    else:
        server = origins("o1", context)
        server.on("/*").reply(200, "old")
    w1 = forebay(f"workers: 1\nupstreams: {{app: {{servers: '{server}', protocol: auto, tls: {{ca: {certs.cert}}}}}}}\n")
    if not speaks_h2:
        w1.get("/").expect(200, "old")
        w1.get("/2").expect(200, "old")
        assert w1.metric("forebay_upstream_requests_h2_total") == 0
        return
    with H2(w1.address) as c1:
        stream = c1.get("/")
        s1 = Served(context.wrap_socket(server.accept_raw(), server_side=True))
        s1.reply(s1.request(), "new")
        c1.answer(stream).expect(200, "new")
        s1.close()
    server.close()


def test_auto_without_tls_is_an_error(cli, tmp_path):
    (tmp_path / "f.yaml").write_text("upstreams: {app: {servers: '127.0.0.1:1', protocol: auto}}\nroutes: [{match: /**}]\n")
    done = cli("check", "-c", "f.yaml")
    assert done.returncode == 1 and "auto is agreed on by TLS" in done.stderr + done.stdout
