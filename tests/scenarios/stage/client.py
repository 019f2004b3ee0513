"""The client: one connection, used again while it stands, with every byte in the test's hands.

    c1.get("/news").expect(200, body="spring flood", x_cache_status="HIT")
    c1.ask("GET", "/slow"); ...; c1.answer().expect(200)          # two clients at once without threads
    c1.send(b"GET / HTTP/1.1\\r\\nHost: a\\r\\nHost: b\\r\\n\\r\\n"); c1.answer().expect(400)
    with c1.begin("GET", "/events") as r: r.stream.until(b"data: 2")   # a body as it arrives
"""

import json as jsonlib
import re
import socket
import ssl
import threading

from stage.waiting import USUAL_S, deadline_in, patiently, wait_until
from stage.wire import (BadMessage, Body, Hangup, Headers, NoAnswer, Reader, as_bytes, chunk, fields_from_words, framing_of,
                        hang_up, last_chunk, read_head, reset)

STATUS_LINE = re.compile(r"(HTTP/1\.[01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
ABSENT = None                           # expect(x_powered_by=ABSENT)


class Response:
    """An answer. With complete false its body was cut short, and ended says how."""

    def __init__(self, raw_head, start_line, headers, asked):
        line = STATUS_LINE.fullmatch(start_line)
        if not line:
            raise BadMessage(f"not a status line: {start_line!r}")
        self.version, self.status, self.reason = line[1], int(line[2]), line[3]
        self.raw_head, self.headers, self.asked = raw_head, headers, asked
        self.interim = []               # the 1xx responses before it
        self.stream = None
        self.kept_open = None           # whether the connection could be used again

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

    @property
    def ended(self):
        return self.stream.ended

    @property
    def cache_status(self):
        return self.headers.get("X-Cache-Status")

    def json(self):
        return jsonlib.loads(self.body)

    def expect(self, status=None, body=None, **fields):
        """Fails unless everything named is so: words are fields; a compiled pattern is searched; None means absent."""
        assert status is None or self.status == status, f"{self.status}, not {status}\n{self}"
        if self.stream.ended:
            assert self.complete, f"the body was cut short ({self.ended})\n{self}"
        for (name, _), wanted in zip(fields_from_words({k: "" for k in fields}), fields.values()):
            value = self.headers.get(name)
            assert is_as_wanted(value, wanted), f"{name}: {value!r}, not {wanted!r}\n{self}"
        if body is not None:
            wanted = body if isinstance(body, re.Pattern) else as_bytes(body)
            value = self.text if isinstance(body, re.Pattern) and isinstance(body.pattern, str) else self.body
            assert is_as_wanted(value, wanted), f"body {self.body[:500]!r}, not {body!r}\n{self}"
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __str__(self):
        return f"{self.asked} -> {self.version} {self.status} {self.reason}\n{self.headers!r}\n\n{self.body[:500]!r}"

    __repr__ = __str__


def is_as_wanted(value, wanted):
    if wanted is ABSENT or value is None:
        return wanted is value
    if isinstance(wanted, re.Pattern):
        return wanted.search(value) is not None
    return value == (str(wanted) if isinstance(value, str) else wanted)


def parse_address(address):
    """(family, what connect() wants, authority) of "host:port", "[::1]:port", "unix:/path", a port or a pair."""
    if isinstance(address, int):
        address = f"127.0.0.1:{address}"
    if isinstance(address, tuple):
        address = f"{address[0]}:{address[1]}"
    address = str(address)
    if address.startswith("unix:"):
        return socket.AF_UNIX, address[len("unix:"):], "localhost"
    host, _, port = address.rpartition(":")
    if host.startswith("["):
        return socket.AF_INET6, (host.strip("[]"), int(port)), address
    return socket.AF_INET, (host, int(port)), address


class Client:
    def __init__(self, address, *, tls=None, server_name=None, host=None, source=None, prologue=b"", timeout=USUAL_S):
        """tls is an ssl.SSLContext; source an address to come from (127.0.0.2); prologue is sent first on each
        connection (a PROXY protocol header)."""
        self.family, self.peer, authority = parse_address(address)
        self.tls, self.server_name, self.source, self.prologue = tls, server_name, source, prologue
        self.host = host or server_name or authority
        self.timeout = timeout
        self.sock = self.reader = None
        self.connections = 0            # opened so far
        self._awaited = []              # requests sent and not answered yet

    # a request and its answer

    def request(self, method, target, body=None, headers=(), **words):
        self.ask(method, target, body, headers, **words)
        return self.answer()

    def get(self, target, headers=(), **words):
        return self.request("GET", target, headers=headers, **words)

    def head(self, target, headers=(), **words):
        return self.request("HEAD", target, headers=headers, **words)

    def post(self, target, body=b"", headers=(), **words):
        return self.request("POST", target, body, headers, **words)

    def put(self, target, body=b"", headers=(), **words):
        return self.request("PUT", target, body, headers, **words)

    def patch(self, target, body=b"", headers=(), **words):
        return self.request("PATCH", target, body, headers, **words)

    def delete(self, target, headers=(), **words):
        return self.request("DELETE", target, headers=headers, **words)

    def options(self, target, headers=(), **words):
        return self.request("OPTIONS", target, headers=headers, **words)

    def pipeline(self, *lines):
        """pipeline("GET /a", "GET /b"): all sent in one write, the answers in order."""
        pairs = [line.split(" ", 1) for line in lines]
        self._be_connected()
        self.send(b"".join(self.render(method, target) for method, target in pairs))
        self._awaited = [f"{method} {target}" for method, target in pairs]
        return [self.answer() for _ in pairs]

    # the same in two halves

    def ask(self, method, target, body=None, headers=(), *, json=None, chunked=False, trailers=(), version="HTTP/1.1", **words):
        """Sends a request. A list as body goes out in chunks, one write each."""
        if json is not None:
            body, headers = jsonlib.dumps(json), [*Headers(headers), ("Content-Type", "application/json")]
        pieces = [as_bytes(piece) for piece in body] if isinstance(body, list) else None
        if pieces is None and chunked:
            pieces = [as_bytes(body or b"")]
        self._be_connected()
        self._awaited.append(f"{method} {target}")
        fields = [*Headers(headers), *fields_from_words(words)]
        if pieces is None:
            self.send(self.render(method, target, body, fields, version))
            return self
        self.send(self.render(method, target, None, [*fields, ("Transfer-Encoding", "chunked")], version))
        for piece in pieces:
            self.send(chunk(piece))
        self.send(last_chunk(trailers))
        return self

    def render(self, method, target, body=None, headers=(), version="HTTP/1.1"):
        headers = Headers(headers)
        head = Headers([] if "Host" in headers else [("Host", self.host)])
        for name, value in headers:
            if value != "None":
                head.add(name, value)
        if body is not None and "Content-Length" not in headers:
            head.add("Content-Length", len(as_bytes(body)))
        return f"{method} {target} {version}\r\n".encode("latin-1") + head.encode() + b"\r\n" + as_bytes(body or b"")

    def answer(self, timeout=None):
        """The next response, read to the end of its body."""
        response = self.begin_answer(timeout)
        response.stream.rest(deadline_in(timeout or self.timeout))
        self._finish(response)
        return response

    def begin(self, method, target, body=None, headers=(), **words):
        """Sends a request and reads the head of its answer; the body is in .stream, piece by piece."""
        self.ask(method, target, body, headers, **words)
        return self.begin_answer()

    def begin_answer(self, timeout=None):
        deadline = deadline_in(timeout or self.timeout)
        asked = self._awaited.pop(0) if self._awaited else "?"
        interim = []
        while True:
            response = Response(*read_head(self.reader, deadline), asked)
            if not 100 <= response.status < 200 or response.status == 101:
                break
            interim.append(response)
            response.stream = Body(self.reader, "none")
        response.interim = interim
        response.stream = Body(self.reader, *self._framing(response, asked.split(" ")[0]))
        return response

    def finish(self, response, timeout=None):
        """Reads what is left of a response that begin() began."""
        response.stream.rest(deadline_in(timeout or self.timeout))
        self._finish(response)
        return response

    @staticmethod
    def _framing(response, method):
        if method == "HEAD" or response.status in (101, 204, 304):
            return "none", 0
        return framing_of(response.headers, is_response=True)

    def _finish(self, response):
        says_close = "close" in [option.lower() for option in response.headers.list("Connection")]
        if response.version == "HTTP/1.0" or says_close or response.stream.framing == "close" or not response.complete:
            wait_closed = response.stream.framing == "close" or not response.complete
            response.kept_open = False
            if wait_closed:
                self.close()
            return
        response.kept_open = not self.reader.is_closed()

    # bytes

    def connect(self):
        self.close()
        self.sock = socket.socket(self.family)
        self.sock.settimeout(patiently(self.timeout))
        if self.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.source:
            self.sock.bind((self.source, 0))
        self.sock.connect(self.peer)
        if self.prologue:
            self.sock.sendall(self.prologue)
        if self.tls is not None:
            self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.server_name or self.peer[0])
        self.reader = Reader(self.sock)
        self.connections += 1
        self._awaited = []
        return self

    def send(self, data):
        """These bytes as they are, over the standing connection or a new one."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(patiently(self.timeout))
        self.sock.sendall(as_bytes(data))
        return self

    def send_what_fits(self, data, stalled_s=0.3):
        """Sends until the other side takes no more; returns how much it took."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(patiently(stalled_s))
        sent = 0
        try:
            while sent < len(data):
                sent += self.sock.send(data[sent:sent + 65536])
        except (socket.timeout, ssl.SSLWantWriteError):
            pass
        return sent

    def read_to_end(self, timeout=None):
        """Everything until the other side closes."""
        return self.reader.to_end(deadline_in(timeout or self.timeout))

    def read(self, n, timeout=None):
        return self.reader.exactly(n, deadline_in(timeout or self.timeout))

    def read_until(self, mark, timeout=None):
        return self.reader.until(as_bytes(mark), deadline_in(timeout or self.timeout))

    def wait_closed(self, timeout=USUAL_S):
        """Until the other side closes this connection; what it still said is returned."""
        wait_until(lambda: self.sock is None or self.reader.is_closed(), "the connection to be closed", timeout)
        return bytes(self.reader.buffer) if self.reader else b""

    @property
    def is_open(self):
        return self.sock is not None and not self.reader.is_closed()

    def shut_write(self):
        """No more from us, but still listening."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        if self.sock is not None:
            hang_up(self.sock)
            self.sock.close()
        self.sock = None

    def reset(self):
        if self.sock is not None:
            reset(self.sock)
            self.sock.close()
        self.sock = None

    def _be_connected(self):
        """As browsers do: a connection that was closed while idle is replaced before the next request."""
        if self.sock is None or (not self._awaited and self.reader.is_closed()):
            self.connect()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def together(*plays, timeout=60):
    """Runs plays at the same time, each in its thread; returns what they returned, in order, or raises what one raised."""
    results, errors = [None] * len(plays), []
    start = threading.Barrier(len(plays))

    def run(i, play):
        try:
            start.wait(patiently(timeout))
            results[i] = play()
        except BaseException as error:  # handed to the test below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i, play), daemon=True) for i, play in enumerate(plays)]
    for thread in threads:
        thread.start()
    deadline = deadline_in(timeout)
    for thread in threads:
        thread.join(max(0, deadline - deadline_in(0)))
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), f"not done after {timeout} s"
    return results


__all__ = ["ABSENT", "Client", "Response", "together", "Hangup", "NoAnswer", "BadMessage"]
