"""HTTP/1.1 on the wire, read strictly: what the client and the origin share.

Bytes are kept as they came. What breaks RFC 9112 raises BadMessage: a scenario that can read an answer at all has
thereby checked how it was framed.
"""

import ctypes
import re
import socket
import ssl
import struct

from stage.waiting import USUAL_S, deadline_in, left

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})")
HEAD_MOST = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)


class BadMessage(AssertionError):
    """The peer said something that is not HTTP."""


class Hangup(ConnectionError):
    """The peer closed where a message had to go on. was_reset tells a reset from an orderly end."""

    def __init__(self, text, was_reset=False):
        super().__init__(text)
        self.was_reset = was_reset


class NoAnswer(AssertionError):
    """Nothing came within the bound of time."""


class Headers:
    """Fields in the order and spelling they had on the wire, duplicates included."""

    def __init__(self, fields=()):
        if isinstance(fields, Headers):
            fields = fields.fields
        elif isinstance(fields, dict):
            fields = fields.items()
        self.fields = [(name, str(value)) for name, value in fields]

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        """The value; several lines are joined by a comma, as RFC 9110 section 5.3 allows."""
        values = self.all(name)
        return ", ".join(values) if values else default

    def __getitem__(self, name):
        values = self.all(name)
        assert values, f"no field {name} among {self.names()}"
        return ", ".join(values)

    def __contains__(self, name):
        return bool(self.all(name))

    def __iter__(self):
        return iter(self.fields)

    def __len__(self):
        return len(self.fields)

    def __eq__(self, other):
        return self.fields == Headers(other).fields

    def __repr__(self):
        return "\n".join(f"{name}: {value}" for name, value in self.fields)

    def names(self):
        return [name for name, _ in self.fields]

    def list(self, name):
        """The members of a comma-separated list, from all lines."""
        return [member.strip() for value in self.all(name) for member in value.split(",") if member.strip()]

    def add(self, name, value):
        self.fields.append((name, str(value)))

    def encode(self):
        return b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in self.fields)


def fields_from_words(words):
    """cache_control="no-store" as a field: Cache-Control: no-store."""
    return [(name.strip("_").replace("_", "-").title(), value) for name, value in words.items() if value is not None]


class Reader:
    """A socket read through a buffer, each call with a deadline."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()
        self.saw_end = False
        self.was_reset = False

    def fill(self, deadline):
        """Takes what is there, waiting for at least a byte. False at the end."""
        if self.saw_end:
            return False
        if left(deadline) <= 0:
            raise NoAnswer(f"nothing more came; so far {bytes(self.buffer[:200])!r}")
        self.sock.settimeout(left(deadline))
        try:
            data = self.sock.recv(65536)
        except (socket.timeout, ssl.SSLWantReadError):
            raise NoAnswer(f"nothing more came; so far {bytes(self.buffer[:200])!r}") from None
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            self.was_reset, data = True, b""
        except OSError:                 # closed under us at the end of the play
            data = b""
        self.buffer += data
        self.saw_end = not data
        return bool(data)

    def take(self, n):
        data = bytes(self.buffer[:n])
        del self.buffer[:n]
        return data

    def until(self, mark, deadline, most=HEAD_MOST):
        seen = 0
        while True:
            at = self.buffer.find(mark, seen)
            if at >= 0:
                return self.take(at + len(mark))
            if len(self.buffer) > most:
                raise BadMessage(f"no {mark!r} within {most} bytes")
            seen = max(0, len(self.buffer) - len(mark) + 1)
            if not self.fill(deadline):
                raise Hangup(f"closed before {mark!r}; got {bytes(self.buffer[:200])!r}", self.was_reset)

    def exactly(self, n, deadline):
        while len(self.buffer) < n:
            if not self.fill(deadline):
                raise Hangup(f"closed after {len(self.buffer)} of {n} bytes", self.was_reset)
        return self.take(n)

    def to_end(self, deadline):
        while self.fill(deadline):
            pass
        return self.take(len(self.buffer))

    def is_closed(self):
        """Whether the peer has closed; what it sent before that is kept."""
        if self.saw_end:
            return True
        try:
            self.sock.settimeout(0)
            data = self.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            self.was_reset, data = True, b""
        self.buffer += data
        self.saw_end = not data
        return self.saw_end


def parse_fields(lines):
    headers = Headers()
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(value):
            raise BadMessage(f"not a field: {line!r}")
        headers.add(name.decode("latin-1"), value.strip(b" \t").decode("latin-1"))
    return headers


def read_head(reader, deadline):
    """(raw bytes, start line, Headers). Hangup with nothing read means: closed between messages."""
    raw = reader.until(b"\r\n\r\n", deadline)
    lines = raw[:-4].split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise BadMessage(f"bare CR, LF or NUL in a head: {line!r}")
    return raw, lines[0].decode("latin-1"), parse_fields(lines[1:])


class Body:
    """A body as it arrives: pieces decoded from their framing, one by one or all at once.

    framing is "none", "length", "chunked" or "close". complete becomes true only at a proper end; an aborted body leaves
    it false, and ended says how: "whole", "closed early" or "reset".
    """

    def __init__(self, reader, framing, length=0):
        self.reader, self.framing, self.remaining = reader, framing, length
        self.data = bytearray()
        self.chunks = []                # sizes, in order, for those who look at the framing itself
        self.trailers = Headers()
        self.ended = None
        if framing == "none" or (framing == "length" and length == 0):
            self.ended = "whole"

    @property
    def complete(self):
        return self.ended == "whole"

    def piece(self, deadline):
        """The next bytes, b"" at the end."""
        if self.ended:
            return b""
        try:
            data = getattr(self, "_piece_" + self.framing)(deadline)
        except Hangup as gone:
            self.ended = "reset" if gone.was_reset else "closed early"
            return b""
        self.data += data
        return data

    def _piece_length(self, deadline):
        if not self.reader.buffer and not self.reader.fill(deadline):
            raise Hangup("closed in a body", self.reader.was_reset)
        data = self.reader.take(self.remaining)
        self.remaining -= len(data)
        if self.remaining == 0:
            self.ended = "whole"
        return data

    def _piece_close(self, deadline):
        if not self.reader.buffer and not self.reader.fill(deadline):
            self.ended = "reset" if self.reader.was_reset else "whole"
        return self.reader.take(len(self.reader.buffer))

    def _piece_chunked(self, deadline):
        if self.remaining == 0 and not self._next_chunk(deadline):
            return b""
        data = self._piece_of_chunk(deadline)
        if self.remaining == 0 and self.reader.exactly(2, deadline) != b"\r\n":
            raise BadMessage("a chunk does not end where its size says")
        return data

    def _piece_of_chunk(self, deadline):
        if not self.reader.buffer and not self.reader.fill(deadline):
            raise Hangup("closed in a chunk", self.reader.was_reset)
        data = self.reader.take(self.remaining)
        self.remaining -= len(data)
        return data

    def _next_chunk(self, deadline):
        line = self.reader.until(b"\r\n", deadline)[:-2]
        size = CHUNK_SIZE.fullmatch(line)
        if not size:
            raise BadMessage(f"not a chunk size: {line!r}")
        self.remaining = int(size[1], 16)
        if self.remaining:
            self.chunks.append(self.remaining)
            return True
        lines = []
        while line := self.reader.until(b"\r\n", deadline)[:-2]:
            lines.append(line)
        self.trailers = parse_fields(lines)
        self.ended = "whole"
        return False

    def until(self, mark, timeout=USUAL_S):
        """Reads on until mark has been seen; returns everything so far."""
        deadline = deadline_in(timeout)
        while mark not in self.data:
            if not self.piece(deadline):
                raise Hangup(f"{self.ended} before {mark!r}; got {bytes(self.data[-200:])!r}")
        return bytes(self.data)

    def at_least(self, n, timeout=USUAL_S):
        deadline = deadline_in(timeout)
        while len(self.data) < n:
            if not self.piece(deadline):
                raise Hangup(f"{self.ended} after {len(self.data)} of {n} bytes")
        return bytes(self.data)

    def rest(self, deadline):
        while self.piece(deadline):
            pass
        return bytes(self.data)


def framing_of(headers, is_response):
    """(framing, length) by RFC 9112 section 6.3; what is ambiguous there is bad here."""
    codings, lengths = headers.list("Transfer-Encoding"), headers.all("Content-Length")
    if codings:
        if lengths:
            raise BadMessage("both Transfer-Encoding and Content-Length")
        if [c.lower() for c in codings] != ["chunked"]:
            raise BadMessage(f"Transfer-Encoding: {codings}")
        return "chunked", 0
    if lengths:
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]+", lengths[0]):
            raise BadMessage(f"Content-Length: {lengths}")
        return "length", int(lengths[0])
    return ("close", 0) if is_response else ("none", 0)


def as_bytes(text):
    return text.encode() if isinstance(text, str) else bytes(text)


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers=()):
    return b"0\r\n" + Headers(trailers).encode() + b"\r\n"


def hang_up(sock):
    """An orderly end, which also wakes the thread that reads or writes here. That thread closes the socket: a descriptor
    closed under another thread's system call may by then be somebody else's."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def reset(sock):
    """The same with a RST, as a crashed peer does it."""
    unspecified = (ctypes.c_char * 16)()        # connect() to AF_UNSPEC dissolves the association
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            libc.connect(sock.fileno(), unspecified, 16)
    except OSError:
        pass
    hang_up(sock)
