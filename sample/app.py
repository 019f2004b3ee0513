#!/usr/bin/env python3
"""A small shop to put behind Forebay: it works, and it counts what it costs.

One process, one thread, asyncio, nothing but the standard library. Every product, profile and session is a row in an
SQLite file, and every query is counted: GET /stats tells how many, so that it shows what a cache in front saves.
README.md lists the pages.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import mimetypes
import re
import secrets
import signal
import sqlite3
import struct
import sys
import tempfile
import time
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

HERE = Path(__file__).resolve().parent
HEAD_MOST, BODY_MOST, FRAME_MOST, BIG_MOST = 64 << 10, 16 << 20, 1 << 20, 1 << 30
IDLE_S, DRAIN_S = 600, 3
YEAR_S = 365 * 86400
MINUTE = ("Cache-Control", "public, max-age=60")
PRIVATE = ("Cache-Control", "private, no-store")
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


# The database

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price_cents INTEGER NOT NULL,
	stock INTEGER NOT NULL, version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS profiles (id TEXT PRIMARY KEY, name TEXT NOT NULL, bio TEXT NOT NULL, version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS skills (user_id TEXT NOT NULL, skill TEXT NOT NULL, PRIMARY KEY (user_id, skill));
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, name TEXT NOT NULL, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS last_version (version INTEGER NOT NULL);
"""
KINDS = ("Kettle", "Lantern", "Compass", "Notebook", "Blanket", "Thermos", "Hammock", "Whistle", "Rope", "Mug")
MAKES = ("Alder", "Brook", "Cedar", "Dune", "Ember", "Fjord", "Grove", "Heath", "Inlet", "Juniper", "Kelp")
PEOPLE = (("1", "Ada", "counts on engines"), ("2", "Grace", "found the first bug"), ("3", "Barbara", "substitutes well"))


class Database:
    """An SQLite file whose queries are counted. Versions only ever grow, also over deletions and restarts."""

    def __init__(self, path, products):
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + SCHEMA)
        self.reads = self.writes = 0
        self._fill(products)

    def _fill(self, products):
        if self.connection.execute("SELECT count(*) FROM last_version").fetchone()[0]:
            return
        rows = [(n, f"{MAKES[n % 11]} {KINDS[n % 10]} No. {n}", 500 + n * 37 % 9500, n * 13 % 100) for n in range(1, products + 1)]
        self.connection.execute("BEGIN")
        self.connection.execute("INSERT INTO last_version VALUES (1)")
        self.connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?, 1)", rows)
        self.connection.executemany("INSERT INTO profiles VALUES (?, ?, ?, 1)", PEOPLE)
        self.connection.executemany("INSERT INTO skills VALUES (?, ?)", [("1", "algebra"), ("2", "compilers"), ("3", "types")])
        self.connection.execute("COMMIT")

    def read(self, query, *values):
        self.reads += 1
        return [dict(row) for row in self.connection.execute(query, values)]

    def write(self, query, *values):
        """Runs one change, with :version a new one; returns (rows changed, version)."""
        self.writes += 1
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            version = self.connection.execute("UPDATE last_version SET version = version + 1 RETURNING version").fetchone()[0]
            done = self.connection.execute(query.replace(":version", str(version)), values)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return done.rowcount, version


# Messages

class Refusal(Exception):
    """Ends a request with this status and text."""

    def __init__(self, status, text, *headers, closes=False):
        super().__init__(text)
        self.status, self.text, self.headers, self.closes = status, text, headers, closes


class Request:
    def __init__(self, method, target, version, headers):
        self.method, self.target, self.version, self.headers = method, target, version, headers
        parts = urlsplit(target if target.startswith("/") else "/" + target.partition("//")[2].partition("/")[2])
        self.path = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.body = b""

    def header(self, name, default=""):
        return self.headers.get(name.lower(), default)

    def number(self, name, default, least, most):
        try:
            return min(max(float(self.query.get(name, default)), least), most)
        except ValueError:
            raise Refusal(400, f"{name} must be a number") from None

    def cookie(self, name):
        pairs = [pair.strip().partition("=") for pair in self.header("cookie").split(";")]
        return next((value for key, _, value in pairs if key == name), "")

    def fields(self):
        """The members of a JSON object or an HTML form."""
        if self.header("content-type").startswith("application/x-www-form-urlencoded"):
            return {name: values[-1] for name, values in parse_qs(self.body.decode("utf-8", "replace")).items()}
        try:
            fields = json.loads(self.body or b"{}")
        except ValueError:
            raise Refusal(400, "the body is not JSON") from None
        if not isinstance(fields, dict):
            raise Refusal(400, "the body is not a JSON object")
        return fields

    @property
    def keeps_alive(self):
        options = [option.strip().lower() for option in self.header("connection").split(",")]
        return "close" not in options and (self.version == "HTTP/1.1" or "keep-alive" in options)


class Response:
    """body is bytes, or an asynchronous generator of bytes: then length says how many, or they go out in chunks."""

    def __init__(self, status=200, body=b"", kind=TEXT, *headers, length=None, closes=False):
        self.status, self.body, self.closes = status, body.encode() if isinstance(body, str) else body, closes
        self.is_stream = not isinstance(self.body, bytes)
        self.length = length if self.is_stream else len(self.body)
        self.headers = [("Content-Type", kind), *headers]

    @property
    def has_content(self):
        return self.status not in (204, 304)

    def head(self, is_chunked, keeps_alive):
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in self.headers if self.has_content or name != "Content-Type"]
        if is_chunked:
            lines.append("Transfer-Encoding: chunked")
        elif self.length is not None and self.has_content:
            lines.append(f"Content-Length: {self.length}")
        if not keeps_alive:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def as_json(value, *headers, status=200):
    return Response(status, json.dumps(value) + "\n", "application/json", *headers)


def validated(request, etag, response):
    """The response under its entity tag, or 304 where the client has it already."""
    known = [tag.strip().removeprefix("W/") for tag in request.header("if-none-match").split(",")]
    headers = [*response.headers, ("ETag", etag)]
    if etag in known or "*" in known:
        response = Response(304)
    response.headers = headers
    return response


async def read_request(reader):
    """The next request with its body, or None when the client has left."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise Refusal(431, "the head is too large", closes=True) from None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    if not (parts := re.fullmatch(r"([A-Z]+) ([^ ]+) (HTTP/1\.[01])", first)):
        raise Refusal(400, "not a request line", closes=True)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Refusal(400, "not a header field", closes=True)
        name = name.lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return Request(*parts.groups(), headers)


async def read_body(request, reader, writer):
    if request.header("expect").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if request.header("transfer-encoding").lower() == "chunked":
        return await read_chunks(reader)
    length = request.header("content-length", "0")
    if not re.fullmatch("[0-9]{1,15}", length) or request.header("transfer-encoding"):
        raise Refusal(400, "where does this body end?", closes=True)
    if int(length) > BODY_MOST:
        raise Refusal(413, "too large", closes=True)
    return await reader.readexactly(int(length))


async def read_chunks(reader):
    body = bytearray()
    while True:
        size = re.match(rb"([0-9A-Fa-f]{1,8})[\r; \t]", await reader.readuntil(b"\r\n"))
        if not size:
            raise Refusal(400, "not a chunk", closes=True)
        if int(size[1], 16) == 0:
            break
        body += (await reader.readexactly(int(size[1], 16) + 2))[:-2]
        if len(body) > BODY_MOST:
            raise Refusal(413, "too large", closes=True)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)


# The shop

ROUTES = []


def route(what):
    """route("GET /products/{id}"): the handler is called with what stands in the braces."""
    methods, path = what.split(" ")
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))

    def add(handler):
        ROUTES.append((methods.split("|"), pattern, handler))
        return handler
    return add


class Shop:
    def __init__(self, database):
        self.db = database
        self.since, self.requests, self.connections = time.time(), 0, 0
        self.assets = {path.name: path.read_bytes() for path in (HERE / "static").iterdir()}
        self.page = (HERE / "index.html").read_bytes()

    async def answer(self, request):
        allowed = []
        method = "GET" if request.method == "HEAD" else request.method
        for methods, pattern, handler in ROUTES:
            if found := pattern.fullmatch(request.path):
                if method in methods:
                    return await handler(self, request, **{name: unquote(value) for name, value in found.groupdict().items()})
                allowed += methods
        if allowed:
            raise Refusal(405, "not in this way", ("Allow", ", ".join(allowed)))
        raise Refusal(404, "no such page")

    @route("GET /")
    async def front_page(self, request):
        etag = '"%s"' % hashlib.sha256(self.page).hexdigest()[:16]
        return validated(request, etag, Response(200, self.page, HTML, MINUTE))

    @route("GET /static/{name}")
    async def asset(self, request, name):
        if name not in self.assets:
            raise Refusal(404, "no such file")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        etag = '"%s"' % hashlib.sha256(self.assets[name]).hexdigest()[:16]
        life = ("Cache-Control", f"public, max-age={YEAR_S}, immutable")
        return validated(request, etag, Response(200, self.assets[name], kind, life))

    @route("GET /products")
    async def product_list(self, request):
        limit = int(request.number("limit", 50, 1, 1000))
        rows = self.db.read("SELECT * FROM products WHERE name LIKE ? ORDER BY id LIMIT ?", f"%{request.query.get('q', '')}%", limit)
        response = as_json({"products": rows}, MINUTE)
        return validated(request, '"%s"' % hashlib.sha256(response.body).hexdigest()[:16], response)

    @route("GET /products/{id}")
    async def product(self, request, id):
        row = self._product(id)
        return validated(request, f'"{row["id"]}.{row["version"]}"', as_json(row, MINUTE))

    def _product(self, id):
        rows = self.db.read("SELECT * FROM products WHERE id = ?", whole_number(id))
        if not rows:
            raise Refusal(404, "no such product")
        return rows[0]

    @route("POST /products")
    async def add_product(self, request):
        fields = product_fields(request.fields(), "New product", 0, 0)
        self.db.write("INSERT INTO products (name, price_cents, stock, version) VALUES (?, ?, ?, :version)", *fields)
        id = self.db.read("SELECT last_insert_rowid() AS id")[0]["id"]
        return as_json(self._product(id), ("Location", f"/products/{id}"), status=201)

    @route("PUT /products/{id}")
    async def put_product(self, request, id):
        fields = product_fields(request.fields(), "New product", 0, 0)
        _, version = self.db.write("INSERT INTO products VALUES (?, ?, ?, ?, :version) ON CONFLICT (id) DO UPDATE SET"
                                   " name = excluded.name, price_cents = excluded.price_cents, stock = excluded.stock,"
                                   " version = excluded.version", whole_number(id), *fields)
        return as_json({"id": whole_number(id), "name": fields[0], "price_cents": fields[1], "stock": fields[2], "version": version})

    @route("POST|PATCH /products/{id}")
    async def change_product(self, request, id):
        old = self._product(id)
        fields = product_fields(request.fields(), old["name"], old["price_cents"], old["stock"])
        self.db.write("UPDATE products SET name = ?, price_cents = ?, stock = ?, version = :version WHERE id = ?", *fields, old["id"])
        return as_json(self._product(id))

    @route("DELETE /products/{id}")
    async def delete_product(self, request, id):
        gone, _ = self.db.write("DELETE FROM products WHERE id = ?", whole_number(id))
        if not gone:
            raise Refusal(404, "no such product")
        return Response(204)

    @route("GET /profile/{id}")
    async def profile(self, request, id):
        """The same for everybody, and it says nothing about caching: that is left to the one in front."""
        rows = self.db.read("SELECT * FROM profiles WHERE id = ?", id)
        if not rows:
            raise Refusal(404, "nobody of that name")
        return as_json(rows[0])

    @route("PUT|PATCH /profile/{id}")
    async def change_profile(self, request, id):
        fields = request.fields()
        old = (self.db.read("SELECT * FROM profiles WHERE id = ?", id) or [{"name": "Somebody", "bio": ""}])[0]
        name, bio = (str(fields.get(key, old[key])) for key in ("name", "bio"))
        _, version = self.db.write("INSERT INTO profiles VALUES (?, ?, ?, :version) ON CONFLICT (id) DO UPDATE SET"
                                   " name = excluded.name, bio = excluded.bio, version = excluded.version", id, name, bio)
        for skill in fields.get("skills", []):
            self.db.write("INSERT OR IGNORE INTO skills VALUES (?, ?)", id, str(skill))
        return as_json({"id": id, "name": name, "bio": bio, "version": version})

    @route("DELETE /profile/{id}")
    async def delete_profile(self, request, id):
        self.db.write("DELETE FROM profiles WHERE id = ?", id)
        self.db.write("DELETE FROM skills WHERE user_id = ?", id)
        return Response(204)

    @route("GET /users/{id}/skills")
    async def skills(self, request, id):
        rows = self.db.read("SELECT skill FROM skills WHERE user_id = ? ORDER BY skill", id)
        return as_json({"id": id, "skills": [row["skill"] for row in rows]})

    @route("POST /login")
    async def login(self, request):
        fields = request.fields()
        if fields.get("password") != "open sesame":
            raise Refusal(401, "the password is: open sesame", PRIVATE)
        token, name = secrets.token_urlsafe(16), str(fields.get("name", "guest"))
        self.db.write("INSERT INTO sessions VALUES (?, ?, ?)", token, name, time.time())
        cookie = ("Set-Cookie", f"session={token}; Path=/; HttpOnly; SameSite=Lax")
        return as_json({"welcome": name}, cookie, PRIVATE)

    @route("POST /logout")
    async def logout(self, request):
        self.db.write("DELETE FROM sessions WHERE token = ?", request.cookie("session"))
        return Response(204, b"", TEXT, ("Set-Cookie", "session=; Path=/; Max-Age=0"), PRIVATE)

    @route("GET /account")
    async def account(self, request):
        rows = self.db.read("SELECT name, since FROM sessions WHERE token = ?", request.cookie("session"))
        if not rows:
            raise Refusal(401, "log in first: POST /login", PRIVATE)
        return as_json({"name": rows[0]["name"], "since": formatdate(rows[0]["since"], usegmt=True)}, PRIVATE)

    @route("GET /events")
    async def events(self, request):
        """?every=SECONDS&count=N, for ever without a count."""
        every_s, count = request.number("every", 1, 0.01, 60), request.number("count", float("inf"), 0, float("inf"))

        async def tell():
            n = 0
            while n < count:
                n += 1
                yield f"id: {n}\ndata: {formatdate(usegmt=True)}\n\n".encode()
                if n < count:
                    await asyncio.sleep(every_s)
        return Response(200, tell(), "text/event-stream", ("Cache-Control", "no-store"))

    @route("GET /slow")
    async def slow(self, request):
        """?seconds=N: worth asking for once only."""
        seconds = request.number("seconds", 2, 0, 60)
        await asyncio.sleep(seconds)
        return as_json({"slept": seconds, "at": formatdate(usegmt=True)}, ("Cache-Control", "public, max-age=10"))

    @route("GET /big")
    async def big(self, request):
        """?bytes=N of text that compresses."""
        length = int(request.number("bytes", 1 << 20, 0, BIG_MOST))
        block = "".join(f"{n:06} the forebay holds water for the turbine\n" for n in range(1500)).encode()

        async def blocks():
            for at in range(0, length, len(block)):
                yield block[:length - at]
        return Response(200, blocks(), TEXT, MINUTE, length=length)

    @route("POST|PUT|PATCH /echo")
    async def echo(self, request):
        return Response(200, request.body, request.header("content-type", "application/octet-stream"), ("Cache-Control", "no-store"))

    @route("GET /status/{code}")
    async def status(self, request, code):
        if not code.isdigit() or int(code) not in range(200, 600) or int(code) not in list(HTTPStatus):
            raise Refusal(400, "no such status")
        return Response(int(code), HTTPStatus(int(code)).phrase + "\n")

    @route("GET /health")
    async def health(self, request):
        self.db.connection.execute("SELECT 1")          # not counted: nobody asked for it
        return as_json({"status": "healthy"}, ("Cache-Control", "no-store"))

    @route("GET /health/ready")
    async def ready(self, request):
        return await self.health(request)

    @route("GET /stats")
    async def stats(self, request):
        counted = {"queries": self.db.reads + self.db.writes, "reads": self.db.reads, "writes": self.db.writes,
                   "requests": self.requests, "connections": self.connections, "seconds": round(time.time() - self.since, 3)}
        return as_json(counted, ("Cache-Control", "no-store"))

    @route("POST /stats/reset")
    async def reset_stats(self, request):
        self.db.reads = self.db.writes = self.requests = 0
        self.since = time.time()
        return await self.stats(request)

    @route("GET /ws")
    async def websocket(self, request):
        """Says everything back. The connection is handed over by serve()."""
        key = request.header("sec-websocket-key")
        if request.header("upgrade").lower() != "websocket" or not key or request.header("sec-websocket-version") != "13":
            raise Refusal(426, "speak WebSocket here", ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        accept = base64.b64encode(digest).decode()
        return (f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept}\r\n\r\n").encode()


def whole_number(text):
    if not re.fullmatch("[0-9]{1,15}", str(text)):
        raise Refusal(404, "products have numbers")
    return int(text)


def product_fields(fields, name, price_cents, stock):
    try:
        return str(fields.get("name", name)), int(fields.get("price_cents", price_cents)), int(fields.get("stock", stock))
    except (TypeError, ValueError):
        raise Refusal(400, "price_cents and stock are whole numbers") from None


# WebSocket, RFC 6455

CONTINUATION, TEXT_FRAME, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PROTOCOL_ERROR, TOO_BIG = 1002, 1009


async def echo_frames(reader, writer):
    """Messages come back whole, whatever their fragments; pings are answered; ends with the close handshake."""
    kind, message = None, b""
    while True:
        final, opcode, data = await read_frame(reader)
        if opcode == CLOSE:
            return write_frame(writer, CLOSE, data[:2])
        if opcode == PING:
            write_frame(writer, PONG, data)
        elif opcode in (TEXT_FRAME, BINARY, CONTINUATION):
            if (opcode == CONTINUATION) != (kind is not None):
                return write_frame(writer, CLOSE, struct.pack("!H", PROTOCOL_ERROR))
            kind, message = kind or opcode, message + data
            if len(message) > FRAME_MOST:
                return write_frame(writer, CLOSE, struct.pack("!H", TOO_BIG))
            if final:
                write_frame(writer, kind, message)
                kind, message = None, b""
        await writer.drain()


async def read_frame(reader):
    """(is final, opcode, data); what breaks the protocol or is too big comes as our own CLOSE."""
    first, second = await reader.readexactly(2)
    length = second & 0x7f
    if length == 126:
        length, = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        length, = struct.unpack("!Q", await reader.readexactly(8))
    if not second & 0x80 or first & 0x70 or (first & 0x08 and (length > 125 or not first & 0x80)):
        return True, CLOSE, struct.pack("!H", PROTOCOL_ERROR)
    if length > FRAME_MOST:
        return True, CLOSE, struct.pack("!H", TOO_BIG)
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    keys = (mask * (length // 4 + 1))[:length]
    return bool(first & 0x80), first & 0x0f, (int.from_bytes(data, "big") ^ int.from_bytes(keys, "big")).to_bytes(length, "big")


def write_frame(writer, opcode, data):
    size = len(data)
    length = bytes([size]) if size < 126 else struct.pack("!BH", 126, size) if size < 1 << 16 else struct.pack("!BQ", 127, size)
    writer.write(bytes([0x80 | opcode]) + length + data)


# Connections

async def pour(stream, writer, is_chunked):
    async for piece in stream:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        await writer.drain()
    if is_chunked:
        writer.write(b"0\r\n\r\n")


class Server:
    def __init__(self, shop, quiet):
        self.shop, self.quiet = shop, quiet
        self.idle, self.busy = set(), set()             # the tasks of connections between and within requests
        self.is_stopping = False

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        self.idle.add(task)
        self.shop.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            while await self._serve_one(task, reader, writer):
                pass
        self.shop.connections -= 1
        self.idle.discard(task)
        self.busy.discard(task)
        writer.close()

    async def _serve_one(self, task, reader, writer):
        """One request; whether there may be another on this connection."""
        request = None
        try:
            async with asyncio.timeout(IDLE_S):
                request = await read_request(reader)
            if request is None:
                return False
            self.idle.discard(task)
            self.busy.add(task)
            self.shop.requests += 1
            async with asyncio.timeout(IDLE_S):
                request.body = await read_body(request, reader, writer)
            response = await self.shop.answer(request)
        except Refusal as no:
            response = Response(no.status, no.text + "\n", TEXT, *no.headers, closes=no.closes)
        except sqlite3.Error as trouble:
            response = Response(500, f"the database says: {trouble}\n", TEXT, PRIVATE)
        if isinstance(response, bytes):                 # 101: from here on it is not HTTP
            writer.write(response)
            await echo_frames(reader, writer)
            return False
        goes_on = await self._send(request, response, writer)
        self.busy.discard(task)
        self.idle.add(task)
        return goes_on and not self.is_stopping

    async def _send(self, request, response, writer):
        """Whether the connection may be used again."""
        if not self.quiet:
            print(f"{request.method} {request.target} {response.status}" if request else response.status, flush=True)
        is_chunked = response.length is None and request.version == "HTTP/1.1"
        ends_by_close = response.length is None and not is_chunked
        keeps_alive = request is not None and request.keeps_alive and not (response.closes or ends_by_close or self.is_stopping)
        head = response.head(is_chunked, keeps_alive)
        if not response.has_content or (request is not None and request.method == "HEAD"):
            writer.write(head)
        elif not response.is_stream:
            writer.write(head + response.body)
        else:
            writer.write(head)
            await pour(response.body, writer, is_chunked)
        await writer.drain()
        return keeps_alive

    async def stop(self):
        """Idle connections go at once, busy ones when they are done or after DRAIN_S."""
        self.is_stopping = True
        for task in self.idle:
            task.cancel()
        if self.busy:
            await asyncio.wait(self.busy, timeout=DRAIN_S)
        for task in [*self.busy]:
            task.cancel()
        await asyncio.gather(*self.idle, *self.busy, return_exceptions=True)


async def run(options, database):
    server = Server(Shop(database), options.quiet)
    if options.unix:
        Path(options.unix).unlink(missing_ok=True)
        listener = await asyncio.start_unix_server(server.serve, options.unix, limit=HEAD_MOST, backlog=1024)
        where = f"unix:{options.unix}"
    else:
        listener = await asyncio.start_server(server.serve, options.host, options.port, limit=HEAD_MOST, backlog=1024)
        where = "http://%s:%d" % listener.sockets[0].getsockname()[:2]
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(f"sample shop listening on {where}, {options.products} products in {options.db}", flush=True)
    await stopped.wait()
    listener.close()
    await server.stop()
    if options.unix:
        Path(options.unix).unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description="A small shop to put behind Forebay.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="0 takes a free one (default %(default)s)")
    parser.add_argument("--unix", metavar="PATH", help="listen on a unix socket instead")
    parser.add_argument("--db", metavar="FILE", help="the SQLite file (default: a temporary one)")
    parser.add_argument("--products", type=int, default=1000, metavar="N", help="how many a new file is filled with (default %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no line per request")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="forebay-sample-") as directory:
        options.db = options.db or f"{directory}/shop.sqlite"
        try:
            asyncio.run(run(options, Database(options.db, options.products)))
        except OSError as trouble:
            sys.exit(f"app.py: {trouble}")


if __name__ == "__main__":
    main()
