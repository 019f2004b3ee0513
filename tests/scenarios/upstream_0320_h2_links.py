"""Connections of HTTP/2 to servers as wholes: what becomes of many requests on one when it dies, and of the daemon that has them."""

import select
import socket

import pytest

from stage.client import Client
from stage.h2 import DATA, H2, HEADERS, NO_ERROR, SETTINGS, Served
from stage.h2app import CONFIG, app, c1, w1  # noqa: F401 (fixtures)
from stage.process import Process
from stage.waiting import USUAL_S, patiently, ports, wait_until

HTTP_1_1_REQUIRED = 13


def test_what_a_connection_that_died_had_is_asked_again_on_one_other(app, c1, w1):
    streams = [c1.get("/0")]
    s1 = app.accept()
    s1.reply(s1.request(), "first")
    c1.answer(streams.pop()).expect(200, "first")
    streams = [c1.get(f"/{n}") for n in range(1, 9)]
    for _ in streams:
        s1.request()
    s1.close()
    s2 = app.accept()
    for _ in streams:
        s2.reply(s2.request(), "again")
    for stream in streams:
        c1.answer(stream).expect(200, "again")
    assert w1.metric("forebay_upstream_connects_total") == 2


def test_a_dead_connection_is_found_out_however_many_requests_keep_coming(app, c1, w1, clock):
    stream = c1.get("/0")
    s1 = app.accept()
    s1.reply(s1.request(), "first")
    c1.answer(stream).expect(200, "first")
    while not [f for f in s1.frames if f.kind == SETTINGS and f.flags]:
        s1.frames.append(s1.read())
    clock.advance(6)
    streams = []
    for n in range(1, 16):                      # from here on it hears nothing and says nothing
        streams.append(c1.post(f"/{n}"))
        wait_until(lambda: w1.metric("forebay_upstream_requests_h2_total") >= n + 1 or w1.metric("forebay_upstream_connects_total") == 2, "it to go out")
        if w1.metric("forebay_upstream_connects_total") == 2:
            break
        clock.advance(0.9)
    s2 = app.accept()
    s2.reply(s2.request(), "well")
    c1.answer(streams[-1]).expect(200, "well")


def links_with(app, n):
    """The connections that n requests come by, in whichever order, and where each is: (connection, stream)."""
    links, asked = {}, []
    while len(asked) < n:
        ready, _, _ = select.select([app.sock, *links], [], [], patiently(USUAL_S))
        assert ready, f"{len(asked)} of {n} came by {len(links)} connections"
        for sock in ready:
            if sock is app.sock:
                link = app.accept()
                links[link.sock] = link
                continue
            link = links[sock]
            frames = [link.read()]
            while link.buffer:
                frames.append(link.read())
            asked += [(link, frame.stream) for frame in frames if frame.kind == HEADERS]
    return list(links.values()), asked


@pytest.mark.tsan
@pytest.mark.parametrize("how", ["reload", "stop"])
def test_streams_under_way_are_finished_when_their_server_is_dropped_or_the_daemon_goes(app, forebay, how):
    w1 = forebay((CONFIG % "").replace("workers: 1", "workers: 2"), app=app)
    clients = [H2(w1.address) for _ in range(4)]
    asked = [(c, c.get(f"/{n}/{i}")) for n, c in enumerate(clients) for i in range(5)]
    links, got = links_with(app, len(asked))
    for s, stream in got:
        s.head_of(stream)
        s.data(stream, "some")
    if how == "reload":
        w1.reload("routes: [{match: /**, respond: {body: new}}]", says=r"configuration of \S+ loaded \(generation \d+\)")
        w1.get("/").expect(200, "new")
    else:
        w1.terminate()
        w1.wait_log("stopping")
    for s, stream in got:
        s.data(stream, " and the rest", end=True)
    for c, stream in asked:
        c.answer(stream).expect(200, "some and the rest")
    for s in links:
        assert s.ended() == NO_ERROR
    if how == "stop":
        assert w1.wait_exit() == 0
    for c in clients:
        c.close()


@pytest.mark.tsan
def test_a_stop_that_cuts_streams_off_leaves_nothing_behind(app, forebay):
    w1 = forebay((CONFIG % "").replace("workers: 1", "workers: 2\nlimits: {drain_timeout: 1s}"), app=app)
    clients = [H2(w1.address) for _ in range(4)]
    for n, c in enumerate(clients):
        c.get(f"/{n}")
        c.open(c.head("POST", "/up"), end=False)
    links_with(app, 8)
    w1.terminate()
    assert w1.wait_exit() == 0


def test_each_client_has_a_connection_that_announces_him(app, forebay):
    w1 = forebay(CONFIG % ", proxy_protocol: v2", app=app)

    def accept(source):
        sock = app.accept_raw()
        header = sock.recv(28, socket.MSG_WAITALL)
        assert header[:12] == b"\r\n\r\n\0\r\nQUIT\n" and header[16:20] == bytes(int(n) for n in source.split("."))
        return Served(sock)
    with Client(w1.address, source="127.0.0.7") as c1, Client(w1.address, source="127.0.0.8") as c2:
        c1.ask("GET", "/1")
        s1 = accept("127.0.0.7")
        s1.reply(s1.request(), "seven")
        c1.answer().expect(200, "seven")
        c2.ask("GET", "/2")
        s2 = accept("127.0.0.8")
        s2.reply(s2.request(), "eight")
        c2.answer().expect(200, "eight")
        c1.ask("GET", "/3")
        s1.reply(s1.request(), "seven again")
        c1.answer().expect(200, "seven again")
    assert w1.metric("forebay_upstream_connects_total") == 2


def test_nobody_waits_for_the_connection_of_a_check(app, forebay):
    w1 = forebay(CONFIG % ", health: {path: /well, interval: 40s, timeout: 30s}", app=app)
    check = app.accept_raw()
    assert check.recv(3) == b"PRI"              # and no word of the server's
    with H2(w1.address) as c1:
        stream = c1.get("/")
        s1 = app.accept()
        s1.reply(s1.request(), "at once")
        c1.answer(stream).expect(200, "at once")
    check.close()


def test_a_server_that_is_slow_to_say_how_many_it_takes_is_waited_for_by_all(app, c1, w1, clock):
    streams = [c1.get(f"/{n}") for n in range(3)]
    sock = app.accept_raw()
    wait_until(lambda: w1.metric("forebay_upstream_requests_h2_total") == 1, "the first to be on it")
    clock.advance(3)                            # longer than timeouts.connect
    for _ in range(3):
        w1.admin("GET", "/health").expect(200)  # the worker has seen the time
    s1 = Served(sock)
    for _ in streams:
        s1.reply(s1.request(), "late")
    for stream in streams:
        c1.answer(stream).expect(200, "late")
    assert w1.metric("forebay_upstream_connects_total") == 1


# --- where both versions are offered

NODE = """
const http2 = require("node:http2"), fs = require("node:fs");
const [port, key, cert] = process.argv.slice(2);
const server = http2.createSecureServer({key: fs.readFileSync(key), cert: fs.readFileSync(cert), allowHTTP1: true});
server.on("request", (request, response) => {
  const path = request.url, told = {"x-version": request.httpVersion, "x-agreed": request.socket.alpnProtocol || "none"};
  if (path === "/old" && request.httpVersion === "2.0") return request.stream.close(http2.constants.NGHTTP2_HTTP_1_1_REQUIRED);
  if (path === "/big") { response.writeHead(200, told); return response.end(Buffer.alloc(3000000, "x")); }
  if (path === "/echo") { response.writeHead(200, told); return request.pipe(response); }
  if (path === "/end") { response.writeHead(200, told); response.write("some"); response.addTrailers({"x-sum": "4"}); return response.end(); }
  if (path === "/hint") response.writeEarlyHints({link: "</a.css>; rel=preload"});
  response.writeHead(200, told);
  response.end("spring flood");
});
server.on("upgrade", (request, socket) => {
  socket.write("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n");
  socket.pipe(socket);
});
server.listen(port, "127.0.0.1", () => console.log("there"));
"""


@pytest.fixture
def node(tmp_path, certs):
    (tmp_path / "server.js").write_text(NODE)
    port, certificate = ports.free(), certs.certificate("127.0.0.1")
    process = Process("node", ["node", tmp_path / "server.js", port, certificate.key, certificate.cert], tmp_path / "node.log")
    process.address = f"127.0.0.1:{port}"
    wait_until(lambda: "there" in process.log(), lambda: f"node to listen\n{process.log()}", 60)
    yield process
    process.kill()


@pytest.mark.parametrize("protocol", ["h2", "auto"])
def test_node_is_asked_by_the_version_it_agrees_to(node, forebay, certs, protocol):
    w1 = forebay(f"workers: 1\nupstreams: {{app: {{servers: '{node.address}', protocol: {protocol}, tls: {{ca: {certs.cert}}}}}}}\n")
    w1.get("/").expect(200, "spring flood", x_version="2.0", x_agreed="h2")
    assert len(w1.get("/big").expect(200).body) == 3_000_000
    for _ in range(3):
        assert w1.post("/echo", b"y" * 1_000_000).expect(200).body == b"y" * 1_000_000
    with H2(w1.address) as c1:
        streams = [c1.get(f"/{n}") for n in range(50)]
        for stream in streams:
            c1.answer(stream).expect(200, "spring flood")
        ends = c1.answer(c1.get("/end", [("te", "trailers")])).expect(200, "some")
        assert ends.trailers.get("x-sum") == "4"
        hinted = c1.answer(c1.get("/hint")).expect(200, "spring flood")
        assert [status for status, _ in hinted.interim] == [103]
    assert w1.metric("forebay_upstream_connects_total") == 1


def test_what_switches_protocols_goes_by_the_old_version_and_the_rest_does_not(node, forebay, certs):
    w1 = forebay(f"workers: 1\nupstreams: {{app: {{servers: '{node.address}', protocol: auto, tls: {{ca: {certs.cert}}}}}}}\n")
    w1.get("/").expect(200, x_version="2.0")
    with w1.client() as c1:
        c1.send(b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        c1.begin_answer().expect(101, upgrade="websocket")
        assert c1.send(b"spring").read(6) == b"spring"
        w1.get("/").expect(200, x_version="2.0")
        assert c1.send(b"flood").read(5) == b"flood"
    assert w1.metric("forebay_upstream_connects_total") == 2


def test_a_server_that_wants_the_old_version_for_a_request_gets_it(node, forebay, certs):
    w1 = forebay(f"workers: 1\nupstreams: {{app: {{servers: '{node.address}', protocol: auto, tls: {{ca: {certs.cert}}}}}}}\n")
    w1.get("/old").expect(200, "spring flood", x_version="1.1")
    assert w1.post("/old", b"").status == 502   # nobody has promised that nothing was done
    w1.get("/").expect(200, x_version="2.0")


def test_a_server_that_knows_no_other_version_wants_the_old_one_in_vain(app, c1, w1):
    stream = c1.get("/")
    s1 = app.accept()
    s1.reset(s1.request(), HTTP_1_1_REQUIRED)
    assert c1.answer(stream).status == 502
    assert w1.access(1)[0]["fetch_end"] == "stream_reset"


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("then", ["h2", "http/1.1"])
def test_what_a_server_left_behind_of_an_upload_is_sent_again_by_either_version(app, forebay, certs, then, chunked):
    first, second = (certs.certificate("127.0.0.1").server_context() for _ in range(2))
    first.set_alpn_protocols(["h2"])
    second.set_alpn_protocols([then])
    w1 = forebay(f"workers: 1\nupstreams: {{app: {{servers: '{app}', protocol: auto, tls: {{ca: {certs.cert}}}}}}}\n")
    with w1.client() as c1:
        c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n6\r\nspring\r\n" if chunked else
                                                          b"Content-Length: 11\r\n\r\nspringflood"))
        s1 = Served(first.wrap_socket(app.accept_raw(), server_side=True))
        a = s1.request()
        assert s1.next(DATA, stream=a).payload == (b"spring" if chunked else b"springflood")
        if chunked:
            c1.send(b"5\r\nflood\r\n0\r\n\r\n")
            assert s1.next(DATA, stream=a).payload == b"flood"
        s1.go(0)
        sock = second.wrap_socket(app.accept_raw(), server_side=True)
        if then == "h2":
            s2 = Served(sock)
            b, got = s2.request(), b""
            while len(got) < 11:
                got += s2.next(DATA, stream=b).payload
            s2.reply(b, "thanks")
        else:
            got, end = b"", b"0\r\n\r\n" if chunked else b"springflood"
            while not got.endswith(end):
                got += sock.recv(65536)
            got = got.partition(b"\r\n\r\n")[2]
            if chunked:
                got = b"".join(line for i, line in enumerate(got.split(b"\r\n")) if i % 2)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks")
        assert got == b"springflood"
        c1.answer().expect(200, "thanks")
    sock.close()
