"""An origin for bodies too large to keep: it gives any number of bytes and counts what it is given.

    bulk = Bulk()
    GET /zeros/4294967296       that many bytes, of which most are 0, by Content-Length; /chunked/N the same in chunks
    PUT, POST /anything         the answer tells how many bytes came, and their CRC-32 where ?crc was asked for
"""

import json
import socket
import tempfile
import threading
import zlib

from stage.waiting import deadline_in, ports
from stage.wire import BadMessage, Hangup, NoAnswer, Reader, framing_of, hang_up, read_head

PIECE = 1 << 20
LONGEST_S = 120


class Bulk:
    def __init__(self):
        self.address = f"127.0.0.1:{ports.free()}"
        host, port = self.address.split(":")
        self.listener = socket.create_server((host, int(port)), backlog=64)
        self.zeros = tempfile.TemporaryFile()
        self.zeros.truncate(1 << 40)
        self.came = []                      # {"bytes": ..., "complete": ...} of each upload, as it ended
        self.asked = []                     # method and target
        self.connections = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __str__(self):
        return self.address

    def on(self, *_):
        raise AssertionError("it has no script")

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        reader = Reader(sock)
        try:
            while reader.buffer or reader.fill(deadline_in(LONGEST_S)):
                _, line, headers = read_head(reader, deadline_in(LONGEST_S))
                method, target, _ = line.split(" ")
                self.asked.append(f"{method} {target}")
                sock.settimeout(LONGEST_S)
                if method == "GET":
                    self._give(sock, target)
                else:
                    self._take(sock, reader, headers, target)
        except (OSError, Hangup, NoAnswer, BadMessage):
            pass                            # a scenario looks at what it got
        finally:
            self.connections.discard(sock)
            hang_up(sock)
            sock.close()

    def _give(self, sock, target):
        kind, _, n = target.strip("/").partition("/")
        left = int(n)
        framing = f"Content-Length: {left}" if kind == "zeros" else "Transfer-Encoding: chunked"
        sock.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\nCache-Control: no-store\r\n\r\n".encode())
        while left > 0:
            step = min(left, 64 * PIECE if kind == "zeros" else PIECE)
            if kind != "zeros":
                sock.sendall(b"%x\r\n" % step)
            sock.sendfile(self.zeros, 0, step)
            if kind != "zeros":
                sock.sendall(b"\r\n")
            left -= step
        if kind != "zeros":
            sock.sendall(b"0\r\n\r\n")

    def _take(self, sock, reader, headers, target):
        if "100-continue" in headers.list("Expect"):
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        came = Came("crc" in target)
        framing, length = framing_of(headers, is_response=False)
        try:
            if framing == "chunked":
                while size := int(reader.until(b"\r\n", deadline_in(LONGEST_S)).split(b";")[0], 16):
                    came.take(sock, reader, size)
                    reader.exactly(2, deadline_in(LONGEST_S))
                reader.until(b"\r\n", deadline_in(LONGEST_S))
            elif framing == "length":
                came.take(sock, reader, length)
            came.told["complete"] = True
        finally:
            self.came.append(came.told)
        text = json.dumps(came.told)
        sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    def close(self):
        self.listener.close()
        for sock in list(self.connections):
            hang_up(sock)
        self.zeros.close()


class Came:
    def __init__(self, with_crc):
        self.told = {"bytes": 0, "complete": False, "crc": 0}
        self.with_crc, self.room = with_crc, memoryview(bytearray(PIECE))

    def take(self, sock, reader, left):
        kept = reader.take(min(left, len(reader.buffer)))
        self._count(kept)
        left -= len(kept)
        while left > 0:
            n = sock.recv_into(self.room, min(left, PIECE))
            if n == 0:
                raise Hangup("the upload was cut short")
            self._count(self.room[:n])
            left -= n

    def _count(self, piece):
        self.told["bytes"] += len(piece)
        if self.with_crc:
            self.told["crc"] = zlib.crc32(piece, self.told["crc"])
