"""Something large that is made as it is asked for, so that 2 GiB cost nobody anything. Each KiB of it tells its version and its
place, so nothing can be mistaken for something else.

    film = Film(2 << 30)
    origin.on("/film").do(film)
    film.piece(1000, 1999)          those bytes
    film.sent, film.parts           bytes given so far; the ranges that were asked for, None for all of it
    film.version = 2                from now on it is another one
"""

import re
import threading

FILL = bytes(1 + n * 7 % 251 for n in range(1008))


class Film:
    def __init__(self, length, *, version=1, ranges=True, etag='"v{}"', fields=(), modified=True):
        self.length, self.version, self.ranges, self.etag = length, version, ranges, etag
        self.modified = modified            # whether it has a Last-Modified
        self.fields = {"Cache-Control": "max-age=60", "Content-Type": "video/mp4", **dict(fields)}
        self.dates = {}
        self.sent, self.parts, self.seen = 0, [], []
        self.before = lambda part: None     # called before each answer
        self.pauses = {}                    # (bytes, Gate): so much of the answer that begins there, then it waits
        self.cut = {}                       # bytes of the next answer that begins there, before the connection breaks
        self.lock = threading.Lock()

    def piece(self, first, last, version=None):
        version = version or self.version
        kibs = b"".join(b"%03d %011d\n" % (version, n) + FILL for n in range(first // 1024, last // 1024 + 1))
        return kibs[first % 1024:first % 1024 + last - first + 1]

    def asked(self, first):
        """How often a part that begins there was asked for."""
        return sum(1 for part in self.parts if part is not None and part[0] == first)

    def modified_at(self, exchange):
        if self.version not in self.dates:
            self.dates[self.version] = exchange.origin.http_date(-7200 + self.version)
        return self.dates[self.version]

    def head_of(self, exchange):
        fields = dict(self.fields)
        if self.etag:
            fields["ETag"] = self.etag.format(self.version)
        if self.modified:
            fields["Last-Modified"] = self.modified_at(exchange)
        if self.ranges:
            fields["Accept-Ranges"] = "bytes"
        return fields

    def __call__(self, exchange):
        headers = exchange.request.headers
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range") or "") if self.ranges else None
        part = (int(wanted[1]), min(int(wanted[2] or self.length), self.length - 1)) if wanted else None
        with self.lock:
            self.parts.append(part)
            self.seen.append(headers)
        self.before(part)
        fields = self.head_of(exchange)
        if fields.get("ETag") and fields["ETag"] in headers.list("If-None-Match"):
            exchange.head(304, fields)
            return exchange.end()
        if part and part[0] >= self.length:
            exchange.head(416, {"Content-Range": f"bytes */{self.length}", "Content-Length": "0"})
            return exchange.end()
        first, last = part or (0, self.length - 1)
        fields["Content-Length"] = str(last - first + 1)
        if part:
            fields["Content-Range"] = f"bytes {first}-{last}/{self.length}"
        version = self.version
        exchange.head(206 if part else 200, fields)
        if exchange.request.method == "HEAD":
            return exchange.end()
        cut = self.cut.pop(first, None)
        pause, gate = self.pauses.pop(first, (None, None))
        for at in range(first, last + 1 if cut is None else first + cut, 1 << 18):
            data = self.piece(at, min(at + (1 << 18) - 1, last if cut is None else first + cut - 1), version)
            if pause is not None and at - first >= pause:
                gate.pass_through()
            with self.lock:
                self.sent += len(data)      # before somebody can have them
            exchange.send(data)
        return exchange.end("keep" if cut is None else "close")
