#!/usr/bin/env python3
"""Readers and writers at one shop, every read checked.

Clients ask for products as the world does: few of them often (Zipf), and now and then somebody changes one. Each product has a
version that grows with every change, so each read can be judged: it must not be older than a change that had been
acknowledged, to whichever client, before the read was sent. One that is older is stale, and the run fails.

    sample/app.py --port 3000 --products 10000 --quiet &
    forebay serve -c FILE &
    tests/load/zipf.py --url http://127.0.0.1:8080 --app http://127.0.0.1:3000 --clients 100 --seconds 30

--url may be given several times: each client then uses all these instances in turn. The summary tells how many of the
application's database queries the cache has saved, counted by the application itself. Exit code 0: all is well;
1: stale reads; 2: answers that should not be.
"""

import argparse
import asyncio
import bisect
import itertools
import json
import multiprocessing
import queue
import random
import sys
import time
import traceback
from collections import Counter
from ctypes import c_int64
from urllib.parse import urlsplit

SHOWN_MOST = 10
ANSWER_S = 30
UNTIMED_MOST_S = 3600


class Peer:
    """One keep-alive connection to one instance; reopened when the other side closed it."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.authority = f"{self.host}:{self.port}"
        self.reader = self.writer = None

    async def ask(self, method, target, body=b""):
        """(status, header fields in lower case, body)"""
        if self.writer is None or self.reader.at_eof():
            self.close()
            self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        length = f"Content-Length: {len(body)}\r\n" if method != "GET" else ""
        self.writer.write(f"{method} {target} HTTP/1.1\r\nHost: {self.authority}\r\n{length}\r\n".encode() + body)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer()
        except BaseException:
            self.close()
            raise

    async def _answer(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        fields = {name.lower(): value.strip() for name, _, value in
                  (line.partition(":") for line in head.split("\r\n")[1:] if line)}
        if fields.get("transfer-encoding") == "chunked":
            body = await self._chunks()
        else:
            body = await self.reader.readexactly(int(fields.get("content-length", 0)) if status not in (204, 304) else 0)
        if fields.get("connection", "").lower() == "close":
            self.close()
        return status, fields, body

    async def _chunks(self):
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readuntil(b"\r\n")
        return body

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.writer = None


class Board:
    """The last acknowledged version of each key, seen by all processes.

    Each process writes a table of its own, so that no two ever write the same number; who reads takes the greatest.
    """

    def __init__(self, processes, keys):
        self.tables = [multiprocessing.RawArray(c_int64, keys + 1) for _ in range(processes)]

    def acknowledge(self, process, key, version):
        self.tables[process][key] = max(self.tables[process][key], version)

    def floor(self, key):
        return max(table[key] for table in self.tables)


class Zipf:
    """Ranks 1..n, rank r with a probability in proportion to 1 / r**s."""

    def __init__(self, n, s):
        self.sums = list(itertools.accumulate(1 / r ** s for r in range(1, n + 1)))

    def draw(self, chance):
        return bisect.bisect_left(self.sums, chance.random() * self.sums[-1]) + 1


class Crowd:
    """The clients of one process."""

    def __init__(self, options, number, board):
        self.options, self.number, self.board = options, number, board
        self.zipf = Zipf(options.keys, options.zipf)
        self.counts, self.statuses = Counter(), Counter()
        self.stale, self.errors, self.read_ms, self.write_ms = [], [], [], []

    async def run(self):
        share = self.options.clients // self.options.processes + (self.number < self.options.clients % self.options.processes)
        self.ends = time.monotonic() + self.options.seconds if self.options.seconds else float("inf")
        self.left = self.options.requests // self.options.processes if self.options.requests else float("inf")
        await asyncio.gather(*[self._client(random.Random(f"{self.options.seed}.{self.number}.{n}")) for n in range(share)])
        return self

    async def _client(self, chance):
        peers = [Peer(url) for url in self.options.url]
        for turn in itertools.count(chance.randrange(len(peers))):
            if self.left <= 0 or time.monotonic() >= self.ends:
                break
            self.left -= 1
            await self._once(peers[turn % len(peers)], chance)
        for peer in peers:
            peer.close()

    async def _once(self, peer, chance):
        key = self.zipf.draw(chance)
        writes = chance.random() < self.options.writes
        began = time.monotonic()
        try:
            await (self._write if writes else self._read)(peer, key, chance)
        except (OSError, EOFError, asyncio.TimeoutError, ValueError, KeyError) as trouble:
            self._error(f"{'write' if writes else 'read'} of {key} at {peer.authority}: {trouble!r}")
        (self.write_ms if writes else self.read_ms).append((time.monotonic() - began) * 1000)

    async def _read(self, peer, key, _):
        self.counts["reads"] += 1
        floor = self.board.floor(key)                   # acknowledged before this read is sent
        status, fields, body = await peer.ask("GET", f"/products/{key}")
        cache_status = fields.get("x-cache-status", "none")
        self.statuses[cache_status] += 1
        if status != 200:
            return self._error(f"read of {key} at {peer.authority}: status {status} {body[:100]!r}")
        product = json.loads(body)
        if product["id"] != key:
            return self._error(f"asked for {key} at {peer.authority}, got {product['id']}")
        if product["version"] < floor:
            self.counts["stale"] += 1
            self.stale.append(f"{key} at {peer.authority}: version {product['version']} after {floor} was acknowledged ({cache_status},"
                              f" Age {fields.get('age', '-')})")

    async def _write(self, peer, key, chance):
        self.counts["writes"] += 1
        body = json.dumps({"name": f"Product {key}", "price_cents": chance.randrange(10000), "stock": chance.randrange(100)})
        status, _, answer = await peer.ask("PUT", f"/products/{key}", body.encode())
        if status != 200:
            return self._error(f"write of {key} at {peer.authority}: status {status} {answer[:100]!r}")
        self.board.acknowledge(self.number, key, json.loads(answer)["version"])

    def _error(self, text):
        self.counts["errors"] += 1
        self.errors.append(text)

    def report(self):
        return {"counts": dict(self.counts), "statuses": dict(self.statuses), "stale": self.stale[:SHOWN_MOST],
                "errors": self.errors[:SHOWN_MOST], "read_ms": self.read_ms, "write_ms": self.write_ms}


def be_a_process(options, number, board, reports):
    try:
        reports.put(asyncio.run(Crowd(options, number, board).run()).report())
    except BaseException:
        reports.put(traceback.format_exc())


def ask_once(url, method, target):
    async def ask():
        peer = Peer(url)
        answer = await peer.ask(method, target)
        peer.close()
        return answer
    status, _, body = asyncio.run(ask())
    if status != 200:
        sys.exit(f"zipf.py: {method} {target} at {url} says {status}: is this the sample shop?")
    return json.loads(body)


def percentile(sorted_values, share):
    return round(sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))], 2) if sorted_values else None


def spread(values):
    values = sorted(values)
    return {"p50": percentile(values, .5), "p95": percentile(values, .95), "p99": percentile(values, .99), "max": percentile(values, 1)}


def summary(reports, queries, seconds):
    counts, statuses = Counter(), Counter()
    for report in reports:
        counts.update(report["counts"])
        statuses.update(report["statuses"])
    requests = counts["reads"] + counts["writes"]
    return {
        "requests": requests, "reads": counts["reads"], "writes": counts["writes"], "seconds": round(seconds, 2),
        "requests_per_s": round(requests / seconds), "stale_reads": counts["stale"], "errors": counts["errors"],
        "database_queries": queries, "queries_saved": round(1 - queries / requests, 4) if requests else None,
        "cache_statuses": dict(statuses.most_common()),
        "read_ms": spread(itertools.chain(*(r["read_ms"] for r in reports))),
        "write_ms": spread(itertools.chain(*(r["write_ms"] for r in reports))),
        "stale_examples": list(itertools.chain(*(r["stale"] for r in reports)))[:SHOWN_MOST],
        "error_examples": list(itertools.chain(*(r["errors"] for r in reports)))[:SHOWN_MOST],
    }


def in_words(s):
    ms = "p50 {p50} p95 {p95} p99 {p99} max {max} ms"
    lines = [f"{s['requests']} requests in {s['seconds']} s ({s['requests_per_s']}/s): {s['reads']} reads, {s['writes']} writes",
             f"reads   {ms.format(**s['read_ms'])}", f"writes  {ms.format(**s['write_ms'])}",
             f"cache   {', '.join(f'{name} {n}' for name, n in s['cache_statuses'].items())}",
             f"database queries {s['database_queries']} for {s['requests']} requests: {100 * (s['queries_saved'] or 0):.1f} % saved",
             f"stale reads {s['stale_reads']}, errors {s['errors']}"]
    return "\n".join([*lines, *s["stale_examples"], *s["error_examples"]])


def arguments():
    parser = argparse.ArgumentParser(description="Readers and writers at one shop, every read checked.")
    parser.add_argument("--url", action="append", help="where to ask; may be repeated (default http://127.0.0.1:8080)")
    parser.add_argument("--app", help="the shop itself, for its counts (default: through the first --url)")
    parser.add_argument("--clients", type=int, default=100, help="at once (default %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="they are spread over (default %(default)s)")
    parser.add_argument("--seconds", type=float, help="how long (default 10, unless --requests)")
    parser.add_argument("--requests", type=int, help="how many in all")
    parser.add_argument("--keys", type=int, default=10000, help="products, 1 to this (default %(default)s)")
    parser.add_argument("--writes", type=float, default=.05, metavar="SHARE", help="of the requests (default %(default)s)")
    parser.add_argument("--zipf", type=float, default=1.0, metavar="S", help="exponent (default %(default)s)")
    parser.add_argument("--seed", default="forebay", help="of chance (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    options = parser.parse_args()
    options.url = options.url or ["http://127.0.0.1:8080"]
    options.app = options.app or options.url[0]
    options.processes = max(1, min(options.processes, options.clients))
    if options.seconds is None and options.requests is None:
        options.seconds = 10
    return options


def main():
    options = arguments()
    ask_once(options.app, "GET", f"/products/{options.keys}")           # there are that many
    ask_once(options.app, "POST", "/stats/reset")
    board, reports = Board(options.processes, options.keys), multiprocessing.Queue()
    crowd = [multiprocessing.Process(target=be_a_process, args=(options, n, board, reports)) for n in range(options.processes)]
    began = time.monotonic()
    for process in crowd:
        process.start()
    try:
        told = [reports.get(timeout=(options.seconds or UNTIMED_MOST_S) + 2 * ANSWER_S) for _ in crowd]
    except queue.Empty:
        for process in crowd:
            process.kill()
        sys.exit("zipf.py: a process of ours did not come back")
    seconds = time.monotonic() - began
    for process in crowd:
        process.join()
    for failure in told:
        if isinstance(failure, str):
            sys.exit(failure)
    s = summary(told, ask_once(options.app, "GET", "/stats")["queries"], seconds)
    print(json.dumps(s, indent=2) if options.json else in_words(s))
    return 1 if s["stale_reads"] else 2 if s["errors"] or not s["requests"] else 0


if __name__ == "__main__":
    sys.exit(main())
