"""Two servers that speak HTTP/2: one is taken out by command, or is slow and the other one is asked as well, while requests share their connections."""

import json
import select
import subprocess
import threading

import pytest

from stage.daemon import binary
from stage.h2 import ACK, CANCEL, DATA, H2, HEADERS, NO_ERROR, PING, REFUSED_STREAM, RST_STREAM, Server
from stage.process import Process
from stage.waiting import USUAL_S, patiently, ports, wait_until

AFTER_S = 4                                         # a silence of 5 s has the daemon ask whether the server is there


@pytest.fixture
def two():
    servers = [Server(), Server()]
    yield servers
    for server in servers:
        server.close()


def in_front_of(forebay, servers, workers=1, **upstream):
    app = {"servers": [str(s) for s in servers], "protocol": "h2", "ejection": "off", **upstream}
    return forebay({"workers": workers, "upstreams": {"app": app}, "routes": [{"match": "/**", "cache": False}]})


def whoever_is_asked(servers):
    """The server to which a connection is being made, and the others."""
    ready, _, _ = select.select([s.sock for s in servers], [], [], patiently(USUAL_S))
    assert ready, "nobody is asked"
    asked = next(s for s in servers if s.sock is ready[0])
    return asked, next(s for s in servers if s is not asked)


def next_request(links, server=None):
    """The connection and the stream of the next request; a connection that the server is given meanwhile is added to links."""
    while True:
        new = [server.sock] if server else []
        ready = [s.sock for s in links if s.buffer] or select.select([*new, *[s.sock for s in links]], [], [], patiently(USUAL_S))[0]
        assert ready, "nobody asks"
        if server and server.sock in ready:
            links.append(server.accept())
            return links[-1], links[-1].request()
        s = next(s for s in links if s.sock in ready)
        frame = s.read()
        if frame.kind == HEADERS:
            return s, frame.stream
        s.frames.append(frame)


def request_on(link, server):
    """The next request, on this connection, or on another one where this is said goodbye to."""
    try:
        return link, link.request()
    except (EOFError, ConnectionError):
        assert link.goaway.code == NO_ERROR
        other = server.accept()
        return other, other.request()


def at_home(link):
    """Whether the other end of the connection is there: it answers a ping."""
    link.frame(PING, 0, 0, b"at home?")
    while not (ping := link.next(PING)).flags & ACK:    # it may have asked us as much
        pass
    return ping.payload == b"at home?"


def listed(w1, server):
    top = json.loads(w1.cli("servers", "--json").stdout)
    return next(s for u in top["upstreams"] for s in u["servers"] if s["server"] == str(server))


# --- draining

def test_what_is_under_way_is_finished_and_then_the_connection_is_said_goodbye_to(two, forebay):
    w1 = in_front_of(forebay, two)
    with H2(w1.address) as c1:
        streams = [c1.get("/1")]
        drained, other = whoever_is_asked(two)
        s1 = drained.accept()
        a = s1.request()
        streams.append(c1.post("/2", b"up"))
        s2 = other.accept()
        s2.reply(s2.request(), "two")
        c1.answer(streams[1]).expect(200, "two")
        s1.head_of(a)
        s1.data(a, "some")

        said = w1.cli("drain", f"app/{drained}", "--wait", "1", check=1)
        assert "1 requests and 1 connections are still under way there; it stays drained" in said.stderr
        for n in range(4):                          # all of them by the other one's connection
            stream = c1.get(f"/more/{n}")
            s2.reply(s2.request(), "more")
            c1.answer(stream).expect(200, "more")
        waiting = subprocess.Popen([binary(), "drain", f"app/{drained}", "-c", str(w1.config_path)], env=w1.env, stdout=subprocess.PIPE, text=True)
        s1.data(a, " and the rest", end=True)
        c1.answer(streams[0]).expect(200, "some and the rest")
        assert s1.ended() == NO_ERROR
        assert waiting.wait(patiently(60)) == 0 and "nothing is on its way there" in waiting.stdout.read()
        waiting.stdout.close()
        here = listed(w1, drained)
        assert (here["state"], here["in_flight"], here["connections"]) == ("drained", 0, 0)

        w1.cli("undrain", f"app/{drained}")
        asked = [c1.get(f"/back/{n}") for n in range(2)]
        s1 = drained.accept()
        for s in (s1, s2):
            s.reply(s.request(), "back")
        for stream in asked:
            c1.answer(stream).expect(200, "back")


def test_connections_that_rest_are_closed_at_once_on_each_worker(two, forebay):
    w1 = in_front_of(forebay, two[:1], workers=2)
    links, clients = [], []
    while len(links) < 2:                           # until both workers have one
        clients.append(H2(w1.address))
        stream = clients[-1].get("/")
        s, asked = next_request(links, two[0])
        s.reply(asked, "here")
        clients[-1].answer(stream).expect(200, "here")
    w1.wait_metric("forebay_upstream_in_flight", 0)
    w1.cli("drain", f"app/{two[0]}", "--force")
    for s in links:
        assert s.ended() == NO_ERROR
    w1.wait_metric("forebay_upstream_connections", 0)
    for c in clients:
        c.close()


def test_who_waits_for_room_at_a_server_that_is_drained_still_gets_it(two, forebay):
    """They had been given to it before, so the command waits for them."""
    w1 = in_front_of(forebay, two[:1], connections={"max": 1, "streams": 1}, timeouts={"connect": "5m", "response": "10m"})
    with H2(w1.address) as c1:
        streams = [c1.get(f"/{n}") for n in range(3)]
        s = two[0].accept()
        a = s.request()
        w1.wait_metric("forebay_upstream_in_flight", 3)
        w1.cli("drain", f"app/{two[0]}", "--force", "--wait", "0", check=None)
        waiting = subprocess.Popen([binary(), "drain", f"app/{two[0]}", "--force", "-c", str(w1.config_path)], env=w1.env, stdout=subprocess.PIPE, text=True)
        s.reply(a, "served")                        # whichever of them that is
        for _ in range(2):
            s, a = request_on(s, two[0])
            s.reply(a, "served")
        assert s.ended() == NO_ERROR                # a drained server's connection does not rest
        for stream in streams:
            c1.answer(stream).expect(200, "served")
        assert waiting.wait(patiently(60)) == 0
        waiting.stdout.close()


NODE = """
const http2 = require("node:http2");
const [port, name] = process.argv.slice(2);
const server = http2.createServer();
server.on("stream", (stream, fields) => {
  stream.on("error", () => {});
  let n = 0;
  stream.on("data", part => n += part.length);
  stream.on("end", () => setTimeout(() => { if (!stream.destroyed) { stream.respond({":status": 200}); stream.end(name + " " + n); } }, Math.random() * 20));
});
server.listen(port, "127.0.0.1", () => console.log("there"));
"""


class Node:
    def __init__(self, tmp_path, name):
        (tmp_path / "server.js").write_text(NODE)
        self.tmp_path, self.name, self.port = tmp_path, name, ports.free()
        self.start()

    def start(self):
        log = self.tmp_path / f"{self.name}.log"
        log.write_text("")
        self.process = Process(self.name, ["node", self.tmp_path / "server.js", self.port, self.name], log)
        wait_until(lambda: "there" in self.process.log(), lambda: f"node to listen\n{self.process.log()}", 60)

    def kill(self):
        self.process.kill()

    def __str__(self):
        return f"127.0.0.1:{self.port}"


@pytest.mark.tsan
def test_servers_that_are_drained_and_then_die_under_load_are_missed_by_nobody(tmp_path, forebay):
    # retries and ejection are off: it is the drain alone that keeps the requests whole
    nodes = [Node(tmp_path, f"n{n}") for n in (1, 2)]
    try:
        w1 = in_front_of(forebay, nodes, workers=2, retries=False)
        over, bad, done, drained = threading.Event(), [], [], [None]

        def ask(me):
            with H2(w1.address) as c:
                while not over.is_set():
                    without = drained[0]
                    asked = [c.get("/") for _ in range(5)] + [c.post("/up", b"x" * 5000) for _ in range(5)]
                    for n, stream in enumerate(asked):
                        answer = c.answer(stream)
                        done.append((answer.text.partition(" ")[0], without))
                        if answer.status != 200 or not answer.text.endswith(" 5000" if n >= 5 else " 0"):
                            bad.append((me, n, answer))
        askers = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
        for asker in askers:
            asker.start()
        try:
            for dying in nodes:
                wait_until(lambda: (dying.name, None) in done[-200:], f"{dying} to be asked", 60)
                w1.cli("drain", f"app/{dying}")
                dying.kill()
                drained[0] = dying
                wait_until(lambda: sum(without is dying for _, without in done) > 200, "some more requests", 60)
                assert (dying.name, dying) not in done
                drained[0] = None
                dying.start()
                w1.cli("undrain", f"app/{dying}")
        finally:
            over.set()
            for asker in askers:
                asker.join()
        assert not bad, bad[:3]
    finally:
        for node in nodes:
            node.kill()


# --- hedging

@pytest.fixture
def hedged(two, forebay):
    return in_front_of(forebay, two, hedge={"after": f"{AFTER_S}s", "budget": "100%"})


def both_asked(two, clock):
    """Server, connection and stream of the one that was asked and is slow, and of the one that is asked then."""
    slow, quick = whoever_is_asked(two)
    s1 = slow.accept()
    a = s1.request()
    clock.advance(AFTER_S + 0.1)
    s2 = quick.accept()
    return (slow, s1, a), (quick, s2, s2.request())


def test_the_slow_one_of_two_loses_its_stream_and_keeps_its_connection(two, hedged, clock):
    with H2(hedged.address) as c1:
        stream = c1.get("/a")
        (_, s1, a), (quick, s2, b) = both_asked(two, clock)
        s2.reply(b, "quick")
        c1.answer(stream).expect(200, "quick")
        assert s1.next(RST_STREAM, stream=a).code == CANCEL
        assert at_home(s1) and at_home(s2)
        s1.reply(a, "too late")                     # on its way when it was told
        for _ in range(2):                          # each in turn, by the connection that is there
            stream = c1.get("/b")
            s, b = next_request([s1, s2])
            s.reply(b, "by itself")
            c1.answer(stream).expect(200, "by itself")
    line, = hedged.access(path="/a")
    assert (line["server"], line["tries"], line["hedge"]) == (str(quick), 2, "won")
    assert hedged.metric("forebay_upstream_connects_total") == 2
    assert hedged.metric("forebay_upstream_failures_total") == 0
    for server in two:
        hedged.wait_metric("forebay_upstream_in_flight", 0, server=str(server))


def test_the_first_one_answers_after_all_and_the_second_is_told(two, hedged, clock):
    with H2(hedged.address) as c1:
        stream = c1.get("/a")
        (slow, s1, a), (_, s2, b) = both_asked(two, clock)
        s1.head_of(a, [("x-who", "first")])
        assert s2.next(RST_STREAM, stream=b).code == CANCEL
        s1.data(a, "x" * 16000)
        s1.data(a, "y" * 16000, end=True)
        c1.answer(stream).expect(200, "x" * 16000 + "y" * 16000, x_who="first")
        assert at_home(s2)
    line, = hedged.access(path="/a")
    assert (line["server"], line["tries"], line["hedge"]) == (str(slow), 2, "lost")


@pytest.mark.parametrize("how", ["503", "reset", "refused", "goaway", "close"])
@pytest.mark.parametrize("who", ["first", "second"])
def test_when_one_of_two_fails_the_other_one_is_waited_for(two, hedged, clock, who, how):
    with H2(hedged.address) as c1:
        stream = c1.get("/a")
        (slow, s1, a), (quick, s2, b) = both_asked(two, clock)
        (bad, x), (well, y) = ((s1, a), (s2, b)) if who == "first" else ((s2, b), (s1, a))
        if how == "503":
            bad.reply(x, "no", status="503")
        elif how == "reset":
            bad.reset(x, 2)
        elif how == "close":
            bad.close()
        elif how == "goaway":
            bad.go(0)
        else:
            for _ in range(3):                      # it is asked again, but not for ever
                bad.reset(x, REFUSED_STREAM)
                if _ < 2:
                    x = bad.request()
        if how == "goaway":
            bad = (slow if who == "first" else quick).accept()
            bad.request()                           # again, on another connection
        elif how != "close":
            assert at_home(bad)
        well.reply(y, "well")
        c1.answer(stream).expect(200, "well")
    for server in two:
        hedged.wait_metric("forebay_upstream_in_flight", 0, server=str(server))
    assert hedged.access(path="/a")[0]["hedge"] == ("won" if who == "first" else "lost")


def test_many_that_share_a_connection_which_hangs_are_all_answered_by_the_other_one(two, forebay, clock):
    w1 = in_front_of(forebay, two, hedge={"after": f"{AFTER_S}s", "budget": "100%"}, balance="least_connections")
    with H2(w1.address) as c1:
        streams = [c1.get(f"/{n}") for n in range(8)]
        links, asked = {}, []
        while len(asked) < 8:
            ready, _, _ = select.select([two[0].sock, two[1].sock, *links], [], [], patiently(USUAL_S))
            for sock in ready:
                server = next((s for s in two if s.sock is sock), None)
                if server is not None:
                    link = server.accept()
                    links[link.sock] = (server, link)
                    continue
                server, link = links[sock]
                frames = [link.read()]
                while link.buffer:
                    frames.append(link.read())
                asked += [(server, link, f.stream) for f in frames if f.kind == HEADERS]
        by = {server: [(link, s) for x, link, s in asked if x is server] for server in two}
        hung, well = two
        assert len(by[hung]) == 4
        clock.advance(AFTER_S + 0.1)
        link = by[well][0][0]
        for _ in by[hung]:                          # what hangs there is asked here
            by[well].append((link, link.request()))
        for _, s in by[well]:
            link.reply(s, "well")
        for stream in streams:
            c1.answer(stream).expect(200, "well")
        told = by[hung][0][0]                       # of its own, and of what the other one was slow with
        assert {told.next(RST_STREAM).stream for _ in range(8)} == {s for _, s in by[hung]} | {told.request() for _ in range(4)}
        assert at_home(told)


def test_both_that_answer_at_the_same_moment_make_one_answer(two, hedged, clock):
    with H2(hedged.address) as c1:
        for n in range(20):
            stream = c1.get(f"/{n}")
            if n == 0:
                (_, s1, a), (_, s2, b) = both_asked(two, clock)
            else:
                first, a = next_request([s1, s2])
                s1, s2 = first, s2 if first is s1 else s1
                clock.advance(AFTER_S + 0.1)
                b = s2.request()
            for s, x, text in ((s1, a, "one"), (s2, b, "two")):
                s.send(s.render(HEADERS, 4, x, b"\x88") + s.render(DATA, 1, x, text.encode()))
            assert c1.answer(stream).expect(200).text in ("one", "two")
            s1.frames, s2.frames = [], []
    for server in two:
        hedged.wait_metric("forebay_upstream_in_flight", 0, server=str(server))


def test_a_client_that_leaves_takes_both_streams_with_it(two, hedged, clock):
    with H2(hedged.address) as c1:
        stream = c1.get("/a")
        (_, s1, a), (_, s2, b) = both_asked(two, clock)
        c1.reset(stream)
        for s, x in ((s1, a), (s2, b)):
            assert s.next(RST_STREAM, stream=x).code == CANCEL
            assert at_home(s)


def test_a_server_that_is_drained_while_it_is_slow_is_not_asked_as_the_second_one(two, hedged, clock):
    with H2(hedged.address) as c1:
        stream = c1.get("/a")
        slow, quick = whoever_is_asked(two)
        s1 = slow.accept()
        a = s1.request()
        hedged.cli("drain", f"app/{quick}", "--wait", "5")
        clock.advance(AFTER_S + 0.1)
        hedged.admin("GET", "/health").expect(200)  # the worker has seen the time
        assert at_home(s1)
        s1.reply(a, "late")
        c1.answer(stream).expect(200, "late")
    assert hedged.metric("forebay_upstream_hedges_total") == 0
