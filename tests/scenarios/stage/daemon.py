"""Forebay on the stage: the real binary, its configuration as the scenario words it, and ways to look at it.

    w1 = forebay('''
        cache: {redis: {url: "@redis@"}}
        routes:
          - match: GET /news
            cache: {ttl: 10s}
    ''', app=o1, redis=redis)

@name@ stands for the address of a member of the cast given by that name; @PORT@, @ADMIN@, @DIR@ for the daemon's own port,
its admin port and its directory; @PORT2@, @TLS@ and any other word in capitals for one more free port. What the text leaves out is
added: listen, admin, workers, log, routes, and upstreams from the origins of the cast.
"""

import functools
import json
import os
import re
import signal
import subprocess
import textwrap
from pathlib import Path

from stage.client import Client
from stage.metrics import Metrics
from stage.process import Process
from stage.waiting import USUAL_S, patiently, ports, wait_until

ROOT = Path(__file__).resolve().parents[3]
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer|SUMMARY: \w+Sanitizer")
START_S, STOP_S = 60, 60


@functools.cache
def _is_sanitized(path):
    code = Path(path).read_bytes()
    return b"__asan_init" in code or b"__tsan_init" in code


def binary():
    return os.environ.get("FOREBAY_BIN") or str(ROOT / "build" / "forebay-test")


def is_sanitized():
    """Then it needs more time and memory than the same without."""
    return _is_sanitized(binary())


class Forebay:
    def __init__(self, clock, directory, config=None, *, name="forebay", env=None, args=(), ready="/health", **cast):
        self.clock, self.directory, self.name, self.binary = clock, Path(directory), name, binary()
        self.cast, self.args, self.ready = cast, [str(arg) for arg in args], ready
        self.ports = {"PORT": ports.free(), "ADMIN": ports.free()}
        self.config_path = self.directory / "forebay.yaml"
        self.access_path = self.directory / "access.log"
        self.env = self._environment(env or {})
        self.process, self.clients = None, []
        self.faults = []
        self.configure(config)

    # its configuration

    def configure(self, config):
        """Writes the file; a running daemon learns of it by reload()."""
        self.config_path.write_text(self._completed(config))

    def _completed(self, config):
        if isinstance(config, dict):
            return self._filled_in(json.dumps({**self._missing_from(config.__contains__), **config}, indent=2))
        text = textwrap.dedent(config or "").strip("\n")
        missing = self._missing_from(lambda key: re.search(rf"^{key}\s*:", text, re.M))
        lines = [f"{key}: {json.dumps(value)}" for key, value in missing.items()]
        return self._filled_in("\n".join([*lines, text, ""]))

    def _missing_from(self, has):
        origins = {name: {"servers": [str(member)]} for name, member in self.cast.items() if hasattr(member, "on")}
        usual = {"workers": 2, "listen": "127.0.0.1:@PORT@", "admin": {"address": "127.0.0.1:@ADMIN@"},
                 "log": {"level": "info", "access": {"path": "@DIR@/access.log", "format": "json"}},
                 "upstreams": origins, "routes": [{"match": "/**"}]}
        return {key: value for key, value in usual.items() if not has(key)}

    def _filled_in(self, text):
        def fill(word):
            name = word[1]
            if name == "DIR":
                return str(self.directory)
            if name in self.cast:
                return str(self.cast[name])
            assert name.isupper() or name[0].isupper(), f"@{name}@ is nobody of the cast: {sorted(self.cast)}"
            return str(self.port(name))
        return re.sub(r"@(\w+)@", fill, text)

    def port(self, name="PORT"):
        if name not in self.ports:
            self.ports[name] = ports.free()
        return self.ports[name]

    @property
    def address(self):
        return f"127.0.0.1:{self.ports['PORT']}"

    def __str__(self):
        return self.address

    def _environment(self, extra):
        own = {"FOREBAY_TEST_CLOCK": self.clock.path, "TZ": "UTC", "HOME": str(self.directory),
               "STATE_DIRECTORY": str(self.directory), "RUNTIME_DIRECTORY": str(self.directory),
               "CACHE_DIRECTORY": str(self.directory), "XDG_RUNTIME_DIR": str(self.directory), "TMPDIR": str(self.directory)}
        sanitizers = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1",
                      "TSAN_OPTIONS": f"exitcode=66:second_deadlock_stack=1:suppressions={ROOT}/tests/scenarios/stage/tsan.supp"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("FOREBAY_")}
        return {**sanitizers, **kept, **own, **{key: str(value) for key, value in extra.items()}}

    # its life

    def start(self):
        assert Path(self.binary).exists(), f"{self.binary} is not built: make {os.path.relpath(self.binary, ROOT)}"
        self.process = Process(self.name, [self.binary, "serve", "-c", self.config_path, *self.args],
                               self.directory / "stderr.log", self.env, self.directory)
        if self not in self.clock.daemons:
            self.clock.daemons.append(self)
        try:
            wait_until(self._is_ready, lambda: f"{self.name} to be ready\n{self.process.tail()}", START_S)
        except AssertionError:
            self.kill()
            raise
        return self

    def _is_ready(self):
        self.must_run()
        try:
            with Client(f"127.0.0.1:{self.ports['ADMIN']}", timeout=5) as client:
                return client.get(self.ready).status == 200
        except (OSError, AssertionError):
            return False

    def must_run(self):
        assert self.process.is_running, f"{self.name} ended with {self.process.exit_code}\n{self.process.tail()}"

    def wait_ready(self, timeout=USUAL_S):
        """Until /health/ready says 200: Redis and the upstreams are there too."""
        wait_until(lambda: self.admin("GET", "/health/ready").status == 200, f"{self.name} to be ready", timeout)

    def stop(self, timeout=STOP_S):
        """As systemd stops it. It must end by itself, with 0 and no sanitizer's report."""
        for client in self.clients:
            client.close()
        if not self.process.ended_by_test:
            self.must_run()
            self.process.signal(signal.SIGTERM)
            code = self.process.wait_exit(timeout)
            assert code == 0, f"{self.name} ended with {code}, not 0\n{self.process.tail()}"
        self.must_be_clean()

    def terminate(self):
        """Asks it to stop and goes on: for those who watch it drain. wait_exit() ends the watch."""
        self.process.ended_by_test = True
        self.process.signal(signal.SIGTERM)

    def wait_exit(self, timeout=STOP_S):
        return self.process.wait_exit(timeout)

    def kill(self):
        self.process.kill()

    def restart(self):
        """Stops it and starts it again on the same ports, with the same directory."""
        self.stop()
        return self.start()

    def must_be_clean(self):
        report = SANITIZER.search(self.log)
        assert not report, f"{self.name}: {self.log[max(0, report.start() - 300):][:8000]}"

    def reload(self, config=None, says=r"(?i)(configuration|config)\b.*\b(reload|loaded|in force|applied|kept|refused|reject)"):
        """Reads its configuration again, a new one if given; returns when its log has told the outcome."""
        if config is not None:
            self.configure(config)
        seen = len(self.log)
        self.process.signal(signal.SIGHUP)
        return wait_until(lambda: re.search(says, self.log[seen:]), lambda: f"{says!r} in the log\n{self.process.tail()}")

    def signal(self, number):
        self.process.signal(number)

    @property
    def pid(self):
        return self.process.pid

    @property
    def follows_clock(self):
        return not self.process.is_running or self.process.maps(self.clock.path) or not self.process.is_running

    @property
    def is_sanitized(self):
        """Then it needs more memory than the same without."""
        return _is_sanitized(self.binary)

    def rss_kib(self):
        return self.process.rss_kib()

    def fd_count(self):
        return self.process.fd_count()

    def cpu_s(self):
        return self.process.cpu_s()

    # who talks to it

    def client(self, port="PORT", **how):
        """A client with a connection of its own; it is closed with the play."""
        address = f"127.0.0.1:{self.port(port)}" if port.isupper() else port
        client = Client(address, **how)
        self.clients.append(client)
        return client

    def get(self, target, headers=(), **words):
        return self.request("GET", target, headers=headers, **words)

    def head(self, target, headers=(), **words):
        return self.request("HEAD", target, headers=headers, **words)

    def post(self, target, body=b"", headers=(), **words):
        return self.request("POST", target, body, headers, **words)

    def request(self, method, target, body=None, headers=(), **words):
        """One request of a passer-by, over a connection of its own."""
        with Client(self.address) as client:
            return client.request(method, target, body, headers, **words)

    def admin(self, method, target, body=None, headers=(), **words):
        with Client(f"127.0.0.1:{self.ports['ADMIN']}") as client:
            return client.request(method, target, body, headers, **words)

    def cli(self, *words, check=0, timeout=60):
        """`forebay purge /news` and the like against this daemon; check is the exit code it must have, None for any."""
        done = run_forebay(*words, "-c", self.config_path, env=self.env, cwd=self.directory, timeout=timeout)
        assert check is None or done.returncode == check, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    # what it tells

    @property
    def log(self):
        return self.process.log() if self.process else ""

    def wait_log(self, pattern, timeout=USUAL_S):
        return wait_until(lambda: re.search(pattern, self.log, re.M),
                          lambda: f"{pattern!r} in the log\n{self.process.tail()}", timeout)

    def access(self, n=1, timeout=USUAL_S, **wanted):
        """The access log's lines with these members, as dicts, once there are at least n of them."""
        def lines():
            found = [line for line in self._access_lines() if all(line.get(key) == value for key, value in wanted.items())]
            return found if len(found) >= n else None
        return wait_until(lines, lambda: f"{n} lines {wanted} in the access log\n{self._access_text()[-3000:]}", timeout) or []

    def _access_text(self):
        return self.access_path.read_text() if self.access_path.exists() else ""

    def _access_lines(self):
        return [json.loads(line) for line in self._access_text().splitlines(keepends=True) if line.endswith("\n")]

    def metrics(self):
        return Metrics(self.admin("GET", "/metrics").expect(200).text)

    def metric(self, name, **labels):
        """The sum of the series of that name with these labels."""
        return self.metrics().sum(name, **labels)

    def wait_metric(self, name, wanted, timeout=USUAL_S, **labels):
        """Until the metric is wanted, or makes wanted(value) true."""
        is_it = wanted if callable(wanted) else lambda value: value == wanted
        wait_until(lambda: is_it(self.metric(name, **labels)),
                   lambda: f"{name}{labels} to be {wanted}, it is {self.metric(name, **labels)}", timeout)

    def uses_redis(self):
        now = self.metrics()
        return now.sum("forebay_redis_up") == now.sum("forebay_purgelog_connected") == 1

    def wait_redis(self, timeout=USUAL_S):
        """Until what it stores is written to Redis and what it misses is looked for there: each worker's link is up, and it hears of
        each purge. To be waited for again after a step of the clock, which the lease on the purge log does not outlive."""
        wait_until(self.uses_redis, lambda: f"{self.name} to use Redis\n{self.process.tail()}", timeout)

    def story(self):
        """What a failed scenario shows of this daemon."""
        parts = [f"--- {self.config_path}\n{self.config_path.read_text()}"]
        if self.process:
            ended = "" if self.process.is_running else f" (it ended with {self.process.exit_code})"
            parts.append(f"--- its log{ended}\n{self.process.tail()}")
        if text := self._access_text():
            parts.append("--- its access log\n" + "\n".join(text.splitlines()[-20:]))
        return "\n".join(parts)


def run_forebay(*words, env=None, cwd=None, timeout=60):
    """Runs the binary to its end, as a user types it: run_forebay("check", "-c", path)."""
    return subprocess.run([binary(), *map(str, words)], env=env, cwd=cwd, timeout=patiently(timeout), text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
