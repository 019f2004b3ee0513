#!/usr/bin/python3
"""What lies between an instance and Redis: relay.py PORT TARGET_PORT. Told by lines on standard input what the network does.

hold up|down|both|some MS   what goes to Redis, comes from it, both, or either way on each connection by chance, is kept for so long, in order, and comes then
late MS                     answers come a second late, now and then on some connections after so long; what is said half a second from now is kept for so long, too
slow MS                     each piece takes so long; 0 ends it
cut                         all connections are reset
refuse MS                   and no new ones are to be had for so long
"""

import asyncio
import random
import sys

port, target = int(sys.argv[1]), int(sys.argv[2])
now = None
slow_s = 0.0
refuse_until = 0.0
pipes = set()


class Pipe:
    """One direction of one connection."""

    def __init__(self, way, reader, writer):
        self.way, self.reader, self.writer = way, reader, writer
        self.held_until = 0.0

    async def run(self):
        pipes.add(self)
        try:
            while data := await self.reader.read(65536):
                if slow_s:
                    await asyncio.sleep(slow_s * random.uniform(0.2, 1))
                while (left := self.held_until - now()) > 0:
                    await asyncio.sleep(left)
                self.writer.write(data)
                await self.writer.drain()
        except ConnectionError:
            pass
        finally:
            pipes.discard(self)
            self.writer.close()


async def connect(reader, writer):
    if now() < refuse_until:
        writer.transport.abort()
        return
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(Pipe("up", reader, far_writer).run(), Pipe("down", far_reader, writer).run())


def hold_up(long_s):
    for pipe in pipes:
        if pipe.way == "up":
            pipe.held_until = max(pipe.held_until, now() + long_s)


def obey(words):
    global slow_s, refuse_until
    if words[0] == "hold":
        for pipe in pipes:
            ms = int(words[2])
            if words[1] == "some":
                ms = random.choice([0, ms / 2, ms])
            if words[1] in ("both", "some", pipe.way):
                pipe.held_until = max(pipe.held_until, now() + ms / 1000)
    elif words[0] == "late":
        long_s, is_mixed = int(words[1]) / 1000, random.random() < 0.3
        for pipe in pipes:
            if pipe.way == "down":
                pipe.held_until = max(pipe.held_until, now() + (long_s if is_mixed and random.random() < 0.5 else random.uniform(0.7, 1.3)))
        asyncio.get_running_loop().call_later(0.55, hold_up, long_s)
    elif words[0] == "slow":
        slow_s = int(words[1]) / 1000
    elif words[0] in ("cut", "refuse"):
        if words[0] == "refuse":
            refuse_until = now() + int(words[1]) / 1000
        for pipe in list(pipes):
            pipe.writer.transport.abort()


async def main():
    global now
    loop = asyncio.get_running_loop()
    now = loop.time
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    await asyncio.start_server(connect, "127.0.0.1", port, backlog=512)
    while line := await orders.readline():
        obey(line.decode().split())


asyncio.run(main())
