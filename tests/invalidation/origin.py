#!/usr/bin/python3
"""The origin of the invalidation checker: origin.py PORT. Each key has a version; a PUT makes the next one.

GET /k/ID   the version as it was when the request arrived: "ID VERSION". What X-Late says in ms passes before the answer goes out, so
            that writes overtake reads.
PUT /k/ID   the next version, which counts from now on, whatever becomes of the answer. X-Do: ok; fail (500, though it was done); reset; late (the answer).
GET /peek/ID  the version now, never stored.
"""

import asyncio
import sys

LIFE = "max-age=600, stale-while-revalidate=600"
versions = {}


def answer(status, body, *fields):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(head).encode() + body.encode()


async def serve_one(method, target, fields, writer):
    kind, key = target[1:].split("/", 1)
    if method == "PUT":
        versions[key] = versions.get(key, 0) + 1
    text = f"{key} {versions.get(key, 0)}"
    if kind == "peek":
        writer.write(answer("200 OK", text, "Cache-Control: no-store"))
    elif method in ("GET", "HEAD"):
        if "x-late" in fields:
            await asyncio.sleep(int(fields["x-late"]) / 1000)
        writer.write(answer("200 OK", text, f"Cache-Control: {LIFE}", f"Cache-Tag: k{key}, group{int(key) % 8}", f'ETag: "{text.split()[1]}"'))
    else:
        what = fields.get("x-do", "ok")
        if what == "reset":
            writer.transport.abort()
            return
        if what == "late":
            await asyncio.sleep(0.03)
        writer.write(answer("500 Failed" if what == "fail" else "200 OK", text))


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
            await reader.readexactly(int(fields.get("content-length", 0)))
            await serve_one(method, target, fields, writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=512)
    await server.serve_forever()


asyncio.run(main())
