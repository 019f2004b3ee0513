"""The origin: answers as its script says, remembers what it was asked, and fails the scenario when it was asked for
something the script has no line for.

    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10").reply(503)
    origin.on("POST /orders").hangup()
    with origin.on("GET /slow").hold() as gate: ...          # asked and counted, unanswered until released

A rule's answers are given in order, the last one for ever. Of several rules that match, the newest wins, so that a play
can change the script as it goes on. Paths are compared with the query left out, unless the rule has one; "/a/*" is a
prefix; without a method any will do.

It is a thread per connection over plain sockets, because it has to do what no decent server does: cut bodies short, send
any bytes at all, trickle, reset, close an idle connection, stop accepting.
"""

import base64
import hashlib
import json as jsonlib
import socket
import tempfile
import threading
import time
import traceback
from email.utils import formatdate
from pathlib import Path

from stage.gate import LONGEST_S, Gate
from stage.waiting import USUAL_S, deadline_in, patiently, ports, wait_until
from stage.wire import (BadMessage, Body, Hangup, Headers, NoAnswer, Reader, as_bytes, chunk, fields_from_words, framing_of,
                        hang_up, last_chunk, read_head, reset)

REASONS = {100: "Continue", 101: "Switching Protocols", 103: "Early Hints", 200: "OK", 201: "Created", 204: "No Content",
           206: "Partial Content", 301: "Moved Permanently", 302: "Found", 304: "Not Modified", 400: "Bad Request",
           401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 410: "Gone", 412: "Precondition Failed",
           416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
           503: "Service Unavailable", 504: "Gateway Timeout"}


class Request:
    """One request as it arrived. body grows while it is read; complete says whether it ended as it should."""

    def __init__(self, raw_head, start_line, headers, connection):
        parts = start_line.split(" ")
        if len(parts) != 3 or parts[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise BadMessage(f"not a request line: {start_line!r}")
        self.method, self.target, self.version = parts
        self.path, _, self.query = self.target.partition("?")
        self.raw_head, self.headers = raw_head, headers
        self.connection = connection                # which of the origin's connections, from 1
        self.stream = None

    @property
    def body(self):
        return bytes(self.stream.data)

    @property
    def text(self):
        return self.body.decode()

    @property
    def trailers(self):
        return self.stream.trailers

    @property
    def complete(self):
        return self.stream.complete

    def json(self):
        return jsonlib.loads(self.body)

    def __repr__(self):
        return f"{self.method} {self.target}"


class Rule:
    """A line of the script: what it matches, and its answers in order."""

    def __init__(self, origin, what, times=None):
        method, space, target = what.partition(" ")
        self.method, self.target = (method, target) if space else ("*", what)
        self.origin, self.what, self.times = origin, what, times
        self.answers, self.asked = [], 0
        self.gate = Gate(is_open=True)
        self.before_body = Gate(is_open=True)
        self.answers_early = False

    def matches(self, request):
        if self.method not in ("*", request.method):
            return False
        asked = request.target if "?" in self.target else request.path
        if self.target.endswith("*"):
            return asked.startswith(self.target[:-1])
        return asked == self.target

    def reply(self, status=200, body=b"", headers=(), **words):
        """A response. See Reply for the rest of what it can do."""
        self.answers.append(Reply(status, body, headers, **words))
        return self

    def raw(self, data, then="close"):
        """These bytes and no others; then "close", "reset" or "keep"."""
        def play(exchange):
            exchange.send(as_bytes(data))
            exchange.end(then)
        return self.do(play)

    def hangup(self, then="close"):
        """Takes the request and goes without a word."""
        return self.do(lambda exchange: exchange.end(then))

    def upgrade(self, protocol="websocket", headers=()):
        """101, and from then on every byte comes back."""
        def play(exchange):
            fields = Headers([("Upgrade", protocol), ("Connection", "Upgrade"), *Headers(headers)])
            if key := exchange.request.headers.get("Sec-WebSocket-Key"):
                digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
                fields.add("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
            exchange.send(b"HTTP/1.1 101 Switching Protocols\r\n" + fields.encode() + b"\r\n")
            exchange.echo()
        return self.do(play)

    def do(self, play):
        """play(exchange) writes the answer itself."""
        self.answers.append(play)
        return self

    def hold(self):
        """From now on requests are taken and counted, but not answered until release()."""
        self.gate.hold()
        return self.gate

    def hold_body(self):
        """From now on request bodies are left unread until release()."""
        self.before_body.hold()
        return self.before_body

    def early(self):
        """Answers before it reads the request's body; with hold_body() that stays unread until released."""
        self.answers_early = True
        return self

    def next_answer(self):
        assert self.answers, f"the script says nothing after on({self.what!r})"
        return self.answers[min(self.asked, len(self.answers)) - 1]


class Reply:
    """status, body and fields, and how they travel.

    body        bytes, text, or a list of steps: bytes are sent, a Gate is waited for, a callable is called
    json        instead of body
    headers     exact list or dict; words are fields too: cache_control="no-store", etag='"1"'
    framing     "length", "chunked" or "close" (default: length, chunked for steps, none where there is no body)
    length      a Content-Length that may be a lie
    date        False: no Date; text: this Date. The default follows the clock of the stage
    interim     [(103, {"Link": ...}), ...] sent first
    trailers    after a chunked body
    cut         send only this many bytes of the body, then `then`
    then        "keep", "close" or "reset"
    revalidates a request whose If-None-Match has our ETag is answered with 304
    """

    def __init__(self, status=200, body=b"", headers=(), *, json=None, framing=None, length=None, date=None, interim=(),
                 trailers=(), cut=None, then="keep", reason=None, version="HTTP/1.1", revalidates=False, **words):
        if json is not None:
            body, headers = jsonlib.dumps(json), [("Content-Type", "application/json"), *Headers(headers)]
        self.status, self.reason, self.version = status, reason or REASONS.get(status, "Unknown"), version
        self.steps = body if isinstance(body, list) else [as_bytes(body)]
        self.headers = Headers([*Headers(headers), *fields_from_words(words)])
        self.framing = framing or ("chunked" if isinstance(body, list) else "length")
        self.length, self.date, self.interim, self.trailers = length, date, interim, trailers
        self.cut, self.then, self.revalidates = cut, then, revalidates

    def __call__(self, exchange):
        for status, headers in self.interim:
            exchange.interim(status, headers)
        if self.revalidates and self._is_current(exchange.request):
            exchange.head(304, self.headers, date=self.date)
            return exchange.end(self.then)
        has_body = exchange.request.method != "HEAD" and self.status not in (204, 304)
        exchange.head(self.status, self._framed(), reason=self.reason, version=self.version, date=self.date)
        if has_body:
            self._send_body(exchange)
        exchange.end("close" if self.framing == "close" and self.then == "keep" else self.then)

    def _is_current(self, request):
        return self.headers.get("ETag") in request.headers.list("If-None-Match")

    def _framed(self):
        headers = Headers(self.headers)
        if self.length is not None:
            headers.add("Content-Length", self.length)
        elif self.status in (204, 304) or "Content-Length" in headers or "Transfer-Encoding" in headers:
            pass
        elif self.framing == "chunked":
            headers.add("Transfer-Encoding", "chunked")
        elif self.framing == "length":
            headers.add("Content-Length", sum(len(as_bytes(s)) for s in self.steps if isinstance(s, (bytes, str))))
        return headers

    def _send_body(self, exchange):
        left = self.cut if self.cut is not None else float("inf")
        for step in self.steps:
            if isinstance(step, Gate):
                step.pass_through()
            elif callable(step):
                step()
            elif left > 0:
                data = as_bytes(step)
                data = data if len(data) <= left else data[:left]
                left -= len(data)
                exchange.send(chunk(data) if self.framing == "chunked" else data)
        if self.framing == "chunked" and self.cut is None:
            exchange.send(last_chunk(self.trailers))


class Exchange:
    """What a hand-written answer works with: the request, and the connection to write on."""

    def __init__(self, connection, request):
        self.connection, self.request, self.origin = connection, request, connection.origin
        self.wants_more = True

    def send(self, data):
        self.connection.send(as_bytes(data))

    def interim(self, status, headers=()):
        self.send(f"HTTP/1.1 {status} {REASONS.get(status, 'Interim')}\r\n".encode() + Headers(headers).encode() + b"\r\n")

    def head(self, status, headers=(), *, reason=None, version="HTTP/1.1", date=None):
        headers = Headers(headers)
        if date is not False and "Date" not in headers:
            headers.add("Date", date or self.origin.http_date())
        line = f"{version} {status} {reason or REASONS.get(status, 'Unknown')}\r\n".encode("latin-1")
        self.send(line + headers.encode() + b"\r\n")

    def chunk(self, data):
        self.send(chunk(as_bytes(data)))

    def last_chunk(self, trailers=()):
        self.send(last_chunk(trailers))

    def read_body(self):
        return self.request.stream.rest(deadline_in(LONGEST_S))

    def echo(self):
        reader = self.connection.reader
        while reader.buffer or reader.fill(deadline_in(LONGEST_S)):
            self.send(reader.take(len(reader.buffer)))
        self.wants_more = False

    def wait_closed(self, timeout=USUAL_S):
        """Until the other side has closed this connection."""
        self.connection.reader.to_end(deadline_in(timeout))

    def end(self, then="keep"):
        if then == "keep" and self.request.version == "HTTP/1.1" and "close" not in self.request.headers.list("Connection"):
            return
        self.wants_more = False
        self.connection.end(with_reset=then == "reset")


class Connection:
    def __init__(self, origin, sock, number):
        self.origin, self.sock, self.number = origin, sock, number
        self.reader = Reader(sock)
        self.served = 0                 # requests on this connection
        self.sent = 0                   # bytes the kernel has taken
        self.busy = False
        self.is_over = False

    def send(self, data):
        self.sock.settimeout(patiently(LONGEST_S))
        for at in range(0, len(data), 65536):
            piece = data[at:at + 65536]
            self.sock.sendall(piece)
            self.sent += len(piece)

    def end(self, with_reset=False):
        self.is_over = True
        (reset if with_reset else hang_up)(self.sock)

    def run(self):
        try:
            if self.origin.tls is not None:
                self.sock = self.origin.tls.wrap_socket(self.sock, server_side=True)
                self.reader = Reader(self.sock)
            while not self.is_over and self._serve_one():
                pass
        except (Hangup, NoAnswer, OSError):
            pass                        # peers hang up; a scenario looks at what it got, not at this
        except BadMessage as bad:
            self.origin.faults.append(f"sent the origin bad HTTP: {bad}")
        except Exception:               # a mistake in a script must fail its test, not vanish with a thread
            self.origin.faults.append(traceback.format_exc())
        finally:
            self.end()
            self.sock.close()
            self.origin.connection_over(self)

    def _serve_one(self):
        if not self.reader.buffer and not self.reader.fill(deadline_in(10 * LONGEST_S)):
            return False
        self.busy = True
        raw, line, headers = read_head(self.reader, deadline_in(LONGEST_S))
        request = Request(raw, line, headers, self.number)
        framing, length = framing_of(headers, is_response=False)
        request.stream = Body(self.reader, framing, length)
        self.served += 1
        exchange = Exchange(self, request)
        self.origin.answer(exchange)
        self.busy = False
        return exchange.wants_more and request.complete


class Listener:
    """A listening socket that can turn callers away and come back on the same port."""

    def __init__(self, origin, family, address):
        self.origin, self.family, self.address = origin, family, address
        self.sock = None
        self.open()

    def open(self):
        self._bind()
        self.sock.listen(1024)
        self.thread = threading.Thread(target=self._accept, args=(self.sock,), daemon=True)
        self.thread.start()

    def _bind(self):
        if self.sock is not None:
            self.close()
        self.sock = socket.socket(self.family)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.family == socket.AF_UNIX:
            Path(self.address).unlink(missing_ok=True)
        self.sock.bind(self.address)
        self.address = self.sock.getsockname()

    def refuse(self):
        """Keeps the port, but whoever connects is refused."""
        self._bind()

    def _accept(self, sock):
        while True:
            try:
                peer, _ = sock.accept()
            except OSError:
                return sock.close()
            self.origin.connection_begins(peer)

    def close(self):
        hang_up(self.sock)
        self.thread.join(patiently(USUAL_S))
        self.sock.close()

    def __str__(self):
        if self.family == socket.AF_UNIX:
            return f"unix:{self.address}"
        host = f"[{self.address[0]}]" if self.family == socket.AF_INET6 else self.address[0]
        return f"{host}:{self.address[1]}"


class Origin:
    def __init__(self, clock=None, tls=None, name="origin"):
        self.clock, self.tls, self.name = clock, tls, name
        self.requests = []              # in the order their heads came in
        self.faults = []                # what must fail the scenario
        self.connections = 0            # accepted so far
        self.live = []
        self._rules = []
        self._lock = threading.Lock()
        self._directory = None
        self.listeners = []
        self.address = self.listen("127.0.0.1")

    # what a scenario says

    def on(self, what, times=None):
        """A line of the script. With times, the origin must be asked exactly that often by the end."""
        rule = Rule(self, what, times)
        with self._lock:
            self._rules.insert(0, rule)
        return rule

    def hold(self):
        """Holds every answer of the script so far."""
        gate = Gate()
        for rule in self._rules:
            rule.gate = gate
        return gate

    def listen(self, host, port=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listeners.append(Listener(self, family, (host, port or ports.free())))
        return str(self.listeners[-1])

    def listen_unix(self):
        self._directory = self._directory or tempfile.TemporaryDirectory(prefix="forebay-origin-")
        path = f"{self._directory.name}/{len(self.listeners)}.sock"
        self.listeners.append(Listener(self, socket.AF_UNIX, path))
        return str(self.listeners[-1])

    def refuse(self):
        """From here on nobody answers: connections are refused, those that stand are closed."""
        for listener in self.listeners:
            listener.refuse()
        self.drop_connections()

    def accept(self):
        """There again, on the same ports."""
        for listener in self.listeners:
            listener.open()

    def drop_connections(self, with_reset=False):
        for connection in list(self.live):
            connection.end(with_reset)

    def drop_idle(self, n=1, with_reset=False):
        """Closes the connections that wait for a request, once there are at least n of them."""
        def idle():
            return [connection for connection in list(self.live) if not connection.busy and not connection.is_over]
        wait_until(lambda: len(idle()) >= n, lambda: f"{n} idle connections at {self.name}")
        for connection in idle():
            connection.end(with_reset)

    # what a scenario asks

    def asked(self, what=None):
        """The requests so far that a rule for `what` would match."""
        if what is None:
            return list(self.requests)
        rule = Rule(self, what)
        return [request for request in list(self.requests) if rule.matches(request)]

    def count(self, what=None):
        return len(self.asked(what))

    def last(self, what=None):
        requests = self.asked(what)
        assert requests, f"{self.name} was never asked for {what or 'anything'}; it was asked: {self.requests}"
        return requests[-1]

    def wait_asked(self, n=1, what=None, timeout=USUAL_S):
        wait_until(lambda: self.count(what) >= n,
                   lambda: f"{n} requests {what or ''} at {self.name}; it was asked: {self.requests}", timeout)
        return self.asked(what)

    def wait_connections(self, n, timeout=USUAL_S):
        """Until exactly n connections stand."""
        wait_until(lambda: len(self.live) == n, lambda: f"{n} connections at {self.name}, not {len(self.live)}", timeout)

    def http_date(self, shift_s=0):
        """The stage's time, shifted, as Date, Last-Modified and Expires have it."""
        return formatdate((self.clock.wall() if self.clock else time.time()) + shift_s, usegmt=True)

    def __str__(self):
        return self.address

    # how it works

    def connection_begins(self, sock):
        with self._lock:
            self.connections += 1
            connection = Connection(self, sock, self.connections)
            self.live.append(connection)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.thread = threading.Thread(target=connection.run, daemon=True)
        connection.thread.start()

    def connection_over(self, connection):
        with self._lock:
            if connection in self.live:
                self.live.remove(connection)

    def answer(self, exchange):
        request = exchange.request
        rule, play = self._cast(request)
        if rule is None:
            self.faults.append(f"asked for {request}, for which the script has no line")
            exchange.read_body()
            Reply(500, "the script has no line for this\n")(exchange)
            return
        if not rule.answers_early:
            rule.before_body.pass_through()
            if request.headers.get("Expect", "").lower() == "100-continue":
                exchange.interim(100)
            exchange.read_body()
            if not request.complete:
                exchange.wants_more = False
                return
        rule.gate.pass_through()
        play(exchange)
        if rule.answers_early and exchange.wants_more:
            rule.before_body.pass_through()
            exchange.read_body()

    def _cast(self, request):
        """The rule for a request and the answer whose turn it is."""
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if rule.matches(request):
                    rule.asked += 1
                    return rule, rule.next_answer()
        return None, None

    def open_gates(self):
        for rule in self._rules:
            rule.gate.release()
            rule.before_body.release()
            for answer in rule.answers:
                for step in getattr(answer, "steps", ()):
                    if isinstance(step, Gate):
                        step.release()

    def close(self):
        """Takes the stage down; what went wrong comes back as a list of sentences."""
        self.open_gates()
        for listener in self.listeners:
            listener.close()
        threads = [connection.thread for connection in list(self.live)]
        self.drop_connections()
        for thread in threads:
            thread.join(patiently(USUAL_S))
        if self._directory:
            self._directory.cleanup()
        for rule in self._rules:
            if rule.times is not None and rule.asked != rule.times:
                self.faults.append(f"asked {rule.asked} times for {rule.what}, not {rule.times}")
        return [f"{self.name}: {fault}" for fault in self.faults]
