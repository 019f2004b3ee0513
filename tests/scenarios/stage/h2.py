"""HTTP/2 frame by frame, with every byte in the test's hands.

    c1 = H2(w1.address)
    stream = c1.get("/news"); c1.answer(stream).expect(200, "spring flood")
    c1.frame(PING, payload=bytes(8)); assert c1.next(PING).flags & ACK
    c1.ended() == ENHANCE_YOUR_CALM

Heads are written as literals without tables, and read as Forebay writes them: the static table and literals.
"""

import socket
import ssl
import struct

from stage.client import is_as_wanted, parse_address
from stage.waiting import USUAL_S, deadline_in, left, patiently
from stage.wire import Headers, as_bytes, fields_from_words

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM,
 CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5
STATIC = """:authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206|
:status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding|accept-language|accept-ranges|accept|
access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|content-encoding|content-language|content-length|
content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|
if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range|referer|refresh|retry-after|
server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate""".replace("\n", "").split("|")


def number(first, bits, n):
    most = (1 << bits) - 1
    if n < most:
        return bytes([first | n])
    out, n = [first | most], n - most
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(name, value, first=0):
    name, value = as_bytes(name), as_bytes(value)
    return bytes([first]) + number(0, 7, len(name)) + name + number(0, 7, len(value)) + value


def block(fields):
    return b"".join(field(name, value) for name, value in fields)


def read_number(data, at, bits):
    most = (1 << bits) - 1
    n = data[at] & most
    at += 1
    if n == most:
        shift = 0
        while True:
            n += (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                break
    return n, at


def read_text(data, at):
    assert data[at] < 128, "Forebay writes no Huffman codes"
    n, at = read_number(data, at, 7)
    return data[at:at + n].decode("latin-1"), at + n


def read_block(data):
    fields, at = [], 0
    while at < len(data):
        first = data[at]
        if first & 0xe0 == 0x20:        # the size of the table
            n, at = read_number(data, at, 5)
            assert n == 0
        elif first & 0x80:
            n, at = read_number(data, at, 7)
            name, _, value = STATIC[n - 1].partition(" ")
            fields.append((name, value))
        else:
            assert first & 0xe0 == 0, "Forebay indexes nothing"
            n, at = read_number(data, at, 4)
            name = STATIC[n - 1].partition(" ")[0]
            if n == 0:
                name, at = read_text(data, at)
            value, at = read_text(data, at)
            fields.append((name, value))
    return fields


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    @property
    def ends(self):
        return self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def code(self):
        """Of RST_STREAM or GOAWAY."""
        return struct.unpack("!I", self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])[0]

    @property
    def last(self):
        """Of GOAWAY."""
        return struct.unpack("!I", self.payload[:4])[0]

    @property
    def fields(self):
        return read_block(self.payload)

    def __repr__(self):
        return f"frame {self.kind} flags {self.flags:#x} stream {self.stream} {self.payload[:60]!r}"


class Answer:
    def __init__(self):
        self.status, self.headers, self.trailers, self.body = None, Headers(), Headers(), b""
        self.interim, self.complete, self.reset = [], False, None

    @property
    def text(self):
        return self.body.decode()

    def expect(self, status=None, body=None, **fields):
        assert status is None or self.status == status, f"{self.status}, not {status}\n{self}"
        assert self.complete, f"not whole, reset: {self.reset}\n{self}"
        for (name, _), wanted in zip(fields_from_words({k: "" for k in fields}), fields.values()):
            assert is_as_wanted(self.headers.get(name), wanted), f"{name}: {self.headers.get(name)!r}, not {wanted!r}"
        assert body is None or self.body == as_bytes(body), f"{self.body[:200]!r}, not {body!r}"
        return self

    def __repr__(self):
        return f"{self.status}\n{self.headers!r}\n\n{self.body[:300]!r}"


class H2:
    def __init__(self, address, *, tls=None, settings=(), preface=True, updates=True, timeout=USUAL_S, receive_bytes=None,
                 prologue=b""):
        """updates: windows are opened again as data comes. tls: a context that offers h2. prologue is sent
        before all (a PROXY header)."""
        family, peer, self.authority = parse_address(address)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if receive_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.sock.settimeout(patiently(timeout))
        self.sock.connect(peer)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(prologue)
        self.scheme = "http"
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
            self.scheme = "https"
        self.timeout, self.updates = timeout, updates
        self.buffer, self.frames, self.next_id, self.goaway = b"", [], 1, None
        self.settings = {}
        if preface:
            self.send(PREFACE)
            self.frame(SETTINGS, payload=b"".join(struct.pack("!HI", *setting) for setting in settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # out

    def send(self, data):
        self.sock.sendall(data)

    def render(self, kind, flags=0, stream=0, payload=b""):
        return struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + payload

    def frame(self, kind, flags=0, stream=0, payload=b""):
        self.send(self.render(kind, flags, stream, payload))

    def head(self, method="GET", path="/", headers=(), **pseudo):
        wanted = {"method": method, "scheme": self.scheme, "authority": self.authority, "path": path, **pseudo}
        return [(f":{name}", value) for name, value in wanted.items() if value is not None] + list(headers)

    def open(self, fields, end=True):
        """HEADERS on a new stream."""
        stream, self.next_id = self.next_id, self.next_id + 2
        self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(fields))
        return stream

    def get(self, path, headers=(), **pseudo):
        return self.open(self.head("GET", path, headers, **pseudo))

    def post(self, path, body=b"", headers=()):
        stream = self.open(self.head("POST", path, headers), end=False)
        self.data(stream, body, end=True)
        return stream

    def data(self, stream, payload=b"", end=False):
        """Within one frame: no more than 16384 bytes."""
        self.frame(DATA, END_STREAM if end else 0, stream, as_bytes(payload))

    def window(self, more, stream=0):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack("!I", more))

    def reset(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack("!I", code))

    # in

    def _fill(self, n, deadline):
        while len(self.buffer) < n:
            self.sock.settimeout(left(deadline))
            data = self.sock.recv(65536)
            if not data:
                raise EOFError("the connection has ended")
            self.buffer += data

    def read(self, timeout=None):
        """The next frame; settings and pings are answered."""
        deadline = deadline_in(timeout or self.timeout)
        self._fill(9, deadline)
        n = int.from_bytes(self.buffer[:3], "big")
        self._fill(9 + n, deadline)
        frame = Frame(self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff, self.buffer[9:9 + n])
        self.buffer = self.buffer[9 + n:]
        if frame.kind == SETTINGS and not frame.flags & ACK:
            self.settings = dict(struct.unpack("!HI", frame.payload[i:i + 6]) for i in range(0, n, 6))
            self.frame(SETTINGS, ACK)
        if frame.kind == PING and not frame.flags & ACK:
            self.frame(PING, ACK, 0, frame.payload)
        if frame.kind == GOAWAY:
            self.goaway = frame
        if frame.kind == DATA and n > 0 and self.updates:
            self.window(n)
            if not frame.flags & END_STREAM:
                self.window(n, frame.stream)
        return frame

    def next(self, *kinds, stream=None, timeout=None):
        """The next frame of one of these kinds; what comes before it is kept for answer()."""
        for i, frame in enumerate(self.frames):
            if frame.kind in kinds and stream in (None, frame.stream):
                return self.frames.pop(i)
        while True:
            frame = self.read(timeout)
            if frame.kind in kinds and stream in (None, frame.stream):
                return frame
            self.frames.append(frame)

    def answer(self, stream, timeout=None):
        """The whole answer on that stream, or what there is of it when it is reset."""
        answer = Answer()
        while not answer.complete:
            frame = self.next(DATA, HEADERS, RST_STREAM, stream=stream, timeout=timeout)
            if frame.kind == RST_STREAM:
                answer.reset = frame.code
                return answer
            if frame.kind == DATA:
                answer.body += frame.payload
            else:
                self._take_head(answer, frame)
            answer.complete = frame.ends
        return answer

    def _take_head(self, answer, frame):
        while not frame.flags & END_HEADERS:
            more = self.read()
            assert more.kind == CONTINUATION and more.stream == frame.stream, more
            frame.payload += more.payload
            frame.flags |= more.flags & END_HEADERS
        fields = dict(frame.fields)
        assert all(name == name.lower() for name in fields), fields
        if ":status" not in fields:
            answer.trailers = Headers(frame.fields)
            return
        status = int(fields[":status"])
        if status < 200:
            answer.interim.append((status, Headers(frame.fields)))
        else:
            answer.status, answer.headers = status, Headers(frame.fields)

    def ended(self, timeout=None):
        """The code of the GOAWAY with which the server ends the connection; None when there was none."""
        try:
            while True:
                self.frames.append(self.read(timeout))
        except (EOFError, ConnectionError, ssl.SSLError):
            return self.goaway.code if self.goaway else None


class Served(H2):
    """The other end: a connection that Forebay has made to a server, frame by frame. Requests are known by their streams alone."""

    def __init__(self, sock, settings=(), timeout=USUAL_S, updates=True):
        self.sock, self.timeout, self.updates = sock, timeout, updates
        self.buffer, self.frames, self.next_id, self.goaway, self.settings = b"", [], 2, None, {}
        self._fill(len(PREFACE), deadline_in(timeout))
        assert self.buffer.startswith(PREFACE), self.buffer
        self.buffer = self.buffer[len(PREFACE):]
        self.frame(SETTINGS, payload=b"".join(struct.pack("!HI", *setting) for setting in settings))

    def request(self, timeout=None):
        """The stream of the next request."""
        return self.next(HEADERS, timeout=timeout).stream

    def head_of(self, stream, fields=(), status="200", end=False):
        self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block([(":status", status), *fields]))

    def reply(self, stream, body=b"", fields=(), status="200"):
        self.head_of(stream, fields, status, end=not body)
        if body:
            self.data(stream, body, end=True)

    def go(self, last, code=NO_ERROR):
        self.frame(GOAWAY, 0, 0, struct.pack("!II", last, code))


class Server:
    """Listens; each connection is taken by hand."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.sock.getsockname()[1]

    def accept(self, **how):
        return Served(self.accept_raw(), **how)

    def accept_raw(self):
        self.sock.settimeout(patiently(USUAL_S))
        sock, _ = self.sock.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def close(self):
        self.sock.close()

    def on(self, *_):
        raise AssertionError("it has no script")

    def __str__(self):
        return self.address
