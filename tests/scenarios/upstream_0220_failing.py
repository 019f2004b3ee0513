"""Servers that fail, and nobody notices: retries elsewhere, ejection, and never a write sent twice."""

import itertools
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from stage.client import NoAnswer, together
from stage.h2 import H2
from stage.waiting import patiently, ports, wait_until

# A server of its own process: /pid answers who it is; counts POSTs by their body, one line each in its log.
SERVER = """
import http.server, os, socketserver, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "POST":
            os.write(log, body + b"\\n")
        mode = open(sys.argv[3]).read() if os.path.exists(sys.argv[3]) else ""
        if mode == "reset":
            self.connection.setsockopt(1, 13, b"\\1\\0\\0\\0\\0\\0\\0\\0")
            self.close_connection = True
            self.connection.close()
            return
        if mode == "slow":
            time.sleep(3)
        text = str(os.getpid()).encode()
        self.send_response(500 if mode == "500" else 200)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(text)
    do_GET = do_POST = answer
    def log_message(self, *_): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class RealServer:
    def __init__(self, directory, number):
        self.port = ports.free()
        self.log, self.mode = directory / f"posts{number}", directory / f"mode{number}"
        self.process = None
        self.start()

    def __str__(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.port), self.log, self.mode],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.is_open, f"the server at {self}", ROUND_S)

    def is_open(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def send(self, signal_number):
        self.process.send_signal(signal_number)

    def posts(self):
        return self.log.read_text().split() if self.log.exists() else []


ROUND_S = 60                                            # for some requests while something is amiss


@pytest.fixture
def servers(tmp_path):
    made = [RealServer(tmp_path, n) for n in range(3)]
    yield made
    for server in made:
        server.kill()


def in_front_of(forebay, servers, **upstream):
    return forebay({"upstreams": {"app": {"servers": [str(s) for s in servers], **upstream}}, "routes": [{"match": "/**"}]})


def trouble(kind, server):
    """Makes trouble, and gives what ends it."""
    if kind == "kill":
        server.kill()
        return server.start
    if kind == "stop":
        server.send(signal.SIGSTOP)
        return lambda: server.send(signal.SIGCONT)
    server.mode.write_text(kind)
    return server.mode.unlink


def over_h1(w1):
    c = w1.client()
    return c, lambda path: c.get(path).status, lambda body: c.post("/", body).status


def over_h2(w1):
    c = H2(w1.address)
    return (c, lambda path: c.answer(c.get(path)).status,
            lambda body: c.answer(c.post("/", body, [("content-length", str(len(body)))])).status)


@pytest.mark.tsan
@pytest.mark.parametrize("kind", ["kill", "stop", "reset", "500", "slow"])
def test_no_read_fails_and_no_write_is_sent_twice_while_each_server_fails_in_turn(servers, forebay, kind):
    w1 = in_front_of(forebay, servers, retries={"statuses": ["5xx"], "budget": "100%"},
                     ejection={"time": "200ms", "max_time": "1s", "statuses": ["5xx"]},
                     timeouts={"connect": "30s", "try": "1s" if kind in ("stop", "slow") else "30s", "response": "10m"})
    over = threading.Event()
    bad, reads, slowest = [], [0], [0]

    def read(me, speak):
        c, get, _ = speak(w1)
        with c:
            while not over.is_set():
                began = time.monotonic()
                status = get(f"/{me}/{reads[0]}")
                slowest[0] = max(slowest[0], time.monotonic() - began)
                reads[0] += 1
                if status != 200:
                    bad.append(status)

    def write(me, speak):
        for n in itertools.count():
            if over.is_set():
                break
            c, _, post = speak(w1)
            with c:
                try:
                    post(f"{me}-{n}".encode())          # it may fail: it may not be done twice
                except (TimeoutError, NoAnswer):
                    pass                                # whoever was stopped may have it

    def fail():
        try:
            for server in servers:
                end = trouble(kind, server)
                before = reads[0]
                wait_until(lambda: reads[0] > before + 60, "reads while one server fails", ROUND_S)
                end()
                before = reads[0]
                wait_until(lambda: reads[0] > before + 60, "reads while all are well", ROUND_S)
        finally:
            over.set()
    together(*[lambda me=me, speak=speak: read(me, speak) for me, speak in enumerate([over_h1, over_h2] * 2)],
             lambda: write("h1", over_h1), lambda: write("h2", over_h2), fail, timeout=7 * ROUND_S)
    assert bad == []
    assert slowest[0] < patiently(60)                   # a try's time, not timeouts.response
    posts = [post for server in servers for post in server.posts()]
    assert {post[:2] for post in posts} == {"h1", "h2"} and len(posts) == len(set(posts))


def test_a_failing_server_is_ejected_and_comes_back(origins, forebay, clock):
    good, bad = origins("good"), origins("bad")
    good.on("/*").reply(200, "good", cache_control="no-store")
    bad.on("/*").reply(503, "bad", cache_control="no-store")
    w1 = forebay({"upstreams": {"app": {"servers": [str(good), str(bad)], "ejection": {"errors": 3, "time": "100s"}}}})
    for _ in range(20):
        w1.get("/a").expect(200, "good")
    assert bad.count() == 3
    assert w1.metric("forebay_upstream_ejections_total", server=str(bad)) == 1
    w1.wait_log(r"bad_port is not asked for 100 s: it answers with errors".replace("bad_port", str(bad)))
    clock.advance(101)
    for _ in range(20):
        w1.get("/a").expect(200, "good")
    assert bad.count() == 4                             # back, and one failure was enough
    clock.advance(101)                                  # twice as long, this time
    for _ in range(20):
        w1.get("/a").expect(200, "good")
    assert bad.count() == 4
    clock.advance(100)
    bad.on("/*").reply(200, "well again", cache_control="no-store")
    assert {w1.get("/a").expect(200).text for _ in range(4)} == {"good", "well again"}


def test_a_write_goes_elsewhere_only_when_it_was_not_sent(origins, forebay):
    first, second = origins("o1"), origins("o2")
    for origin in (first, second):
        origin.on("POST /up").hangup()
    w1 = forebay({"upstreams": {"app": {"servers": [str(first), str(second)], "ejection": "off"}}})
    w1.post("/up", b"x").expect(502)
    assert first.count() + second.count() == 1
    second.on("POST /up").reply(200, "thanks")
    first.refuse()
    for _ in range(4):
        w1.post("/up", b"x").expect(200, "thanks")


def test_retries_end_with_their_number_and_their_budget(origins, forebay):
    bad = [origins(f"o{n}") for n in range(4)]
    for origin in bad:
        origin.on("/*").reply(503, "no", cache_control="no-store")
    app = {"servers": [str(o) for o in bad], "retries": {"max": 2, "budget": "0%"}, "ejection": "off"}
    w1 = forebay({"upstreams": {"app": app}})
    began = time.monotonic()
    w1.get("/a").expect(503, "no")
    assert sum(o.count() for o in bad) == 3

    def ask(me):
        with w1.client() as c:
            for n in range(100):
                c.get(f"/{me}/{n}").expect(503)
    together(*[lambda me=me: ask(me) for me in range(4)])
    most = 10 * (time.monotonic() - began + 1)          # ten a second, and not two for each
    assert sum(o.count() for o in bad) <= 401 + most
    assert w1.metric("forebay_upstream_retries_total") == sum(o.count() for o in bad) - 401


def test_more_requests_than_a_server_may_have_are_refused_at_once(origin, forebay):
    gate = origin.on("/*").reply(200, "ok", cache_control="no-store").hold()
    w1 = forebay({"workers": 2, "upstreams": {"app": {"servers": [str(origin)], "connections": {"requests": 2}}}})
    waiting = [w1.client().ask("GET", f"/{n}") for n in range(2)]
    origin.wait_asked(2)
    refused = w1.get("/3").expect(503)
    assert "connection_limit_reached" in refused.headers["Proxy-Status"]
    gate.release()
    for c in waiting:
        c.answer().expect(200)


def test_all_tries_together_have_their_time(origins, forebay, clock):
    both = [origins("o1"), origins("o2")]
    for origin in both:
        origin.on("/*").reply(200, "late").hold()
    w1 = forebay({"upstreams": {"app": {"servers": [str(o) for o in both], "timeouts": {"try": "200s", "total": "300s", "response": "1h"}}}})
    c = w1.client().ask("GET", "/a")
    wait_until(lambda: sum(o.count() for o in both) == 1, "the first try")
    clock.advance(250)
    wait_until(lambda: sum(o.count() for o in both) == 2, "the second try")
    clock.advance(100)
    c.answer().expect(504)
