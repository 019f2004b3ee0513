"""A real Redis on a free port, that can be stopped in its tracks, killed and brought back.

    redis.cli("XLEN", "forebay:log")        replies as Python values; an error reply raises RedisError
    redis.pause(); redis.resume()           hangs, as a swapping or overloaded server does
    redis.kill(); redis.start()             gone and back on the same port (empty, unless persistent=True)
    Redis(..., tls=(authority, certificate))  speaks TLS only
"""

import shutil
import signal
import socket
import time
from pathlib import Path

from stage.process import Process
from stage.waiting import USUAL_S, deadline_in, patiently, ports, wait_until
from stage.wire import Reader, as_bytes

LONG_S = 60                             # for what takes several connections, and a busy machine


class RedisError(Exception):
    pass


class Redis:
    def __init__(self, directory, *options, persistent=False, name="redis", tls=None):
        assert shutil.which("redis-server"), "redis-server is missing: apt-get install redis-server"
        self.directory, self.name, self.port = Path(directory), name, ports.free()
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if persistent else ["--appendonly", "no"]
        self.authority = tls and tls[0]
        ports_of = ["--port", 0, "--tls-port", self.port, "--tls-cert-file", tls[1].cert, "--tls-key-file", tls[1].key,
                    "--tls-ca-cert-file", tls[0].cert] if tls else ["--port", self.port]
        self.options = [*ports_of, "--bind", "127.0.0.1", "--dir", self.directory, "--save", "", *keep,
                        "--daemonize", "no", *options]
        self.process = self._sock = None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"redis://{self.address}/0"

    def __str__(self):
        return self.url

    def start(self):
        self._forget_connection()
        self.process = Process(self.name, self.command(), self.directory / "redis.log", cwd=self.directory)
        wait_until(self._is_up, lambda: f"redis-server\n{self.process.tail()}", LONG_S)

    def command(self):
        return ["redis-server", *self.options]

    def _is_up(self):
        assert self.process.is_running, f"redis-server ended with {self.process.exit_code}\n{self.process.tail()}"
        try:
            return self.cli("PING") == "PONG"
        except (OSError, RedisError):
            self._forget_connection()
            return False

    def _connect(self):
        self._sock = socket.create_connection(("127.0.0.1", self.port), patiently(USUAL_S))
        if self.authority is not None:
            context = self.authority.client_context(check_hostname=False)
            self._sock = context.wrap_socket(self._sock)
        self._reader = Reader(self._sock)

    def cli(self, *words):
        """One command. Text comes back as str where it is UTF-8, as bytes where not."""
        if self._sock is None:
            self._connect()
        parts = [as_bytes(word if isinstance(word, (str, bytes)) else str(word)) for word in words]
        command = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self._sock.settimeout(patiently(USUAL_S))
        self._sock.sendall(command)
        answer = self._reply(deadline_in(USUAL_S))
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def _reply(self, deadline):
        line = self._reader.until(b"\r\n", deadline)[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else _text(self._reader.exactly(int(rest) + 2, deadline)[:-2])
        assert kind == b"*", f"Redis said {line!r}"
        return None if rest == b"-1" else [self._reply(deadline) for _ in range(int(rest))]

    def _forget_connection(self):
        if self._sock is not None:
            self._sock.close()
        self._sock = None

    def reconnect(self):
        self._forget_connection()

    def keys(self, pattern="*"):
        return sorted(self.cli("KEYS", pattern))

    def flush(self):
        self.cli("FLUSHALL")

    def purges(self, prefix="forebay"):
        """The newest number of the purge log that instances share."""
        return int(self.cli("HGET", f"{{{prefix}}}:log:state", "last") or 0)

    def holds(self, *parts, kind="o"):
        """Whether a short response that is kept here has all these in it."""
        values = [self.cli("GET", key) or "" for key in self.keys(f"*:{kind}:*")]
        return any(all(as_bytes(part) in as_bytes(value) for part in parts) for value in values)

    def limit_memory(self, size, policy="noeviction"):
        self.cli("CONFIG", "SET", "maxmemory-policy", policy)
        self.cli("CONFIG", "SET", "maxmemory", size)

    def drop_clients(self):
        """Closes every connection but ours, as a fail-over or a restart of a proxy between does."""
        self.cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.cli("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")

    def pause(self):
        self.process.pause()

    def resume(self):
        self.process.resume()

    def kill(self):
        self._forget_connection()
        self.process.kill()

    def restart(self):
        self.kill()
        self.start()

    def close(self):
        self._forget_connection()
        if self.process.is_running:
            self.process.resume()
            self.process.signal(signal.SIGKILL)
            self.process.wait_exit()


def let_time_pass(clock, is_back, what):
    """Until is_back(), with steps of the clock past every pause between two attempts. An attempt under way is overdue after such a
    step: each is given some seconds of the machine's own time before the next."""
    stepped_s = time.monotonic()

    def looks():
        nonlocal stepped_s
        if is_back():
            return True
        if time.monotonic() - stepped_s > patiently(2):
            clock.advance(6)
            stepped_s = time.monotonic()
        return False
    wait_until(looks, what, LONG_S)


def caught_up(redis, *instances, prefix="forebay"):
    """All that was purged is in the shared log, and each of these has applied it."""
    for w in instances:
        w.wait_metric("forebay_purgelog_pending", 0)
    last = redis.purges(prefix)
    for w in instances:
        w.wait_metric("forebay_purgelog_applied", lambda applied: applied >= last)


def _text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
