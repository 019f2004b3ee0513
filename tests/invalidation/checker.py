#!/usr/bin/python3
"""No purge is lost: checker.py [--mode eventual|strict] [--rounds N] [--seed S] [--binary PATH] [--keep].

Three instances, one Redis, one origin whose pages say which version they are. Writers make a new version and purge what showed the old one; a round is
one write whose purge has been acknowledged. Readers ask all instances all the time. Meanwhile chance kills and stops instances and Redis, cuts and
delays the lines between them, and has Redis lose the last second of what it wrote. A read is wrong when it was sent after a purge had been
acknowledged and shows what was there before (docs/invalidation.md says where which acknowledgment holds). The first wrong read ends the run with status 1.

What is known of each instance is a floor for each key: the least version that it may show from now on.

level        the floor rises
here         of the instance that took the purge, until it is killed
journalled   of the instance that took the purge
appended     of that, and of each other one once it says that it is connected, asked a lease later
everywhere   the same, asked at once; strict: of all at once
"""

import argparse
import collections
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/scenarios"))
sys.dont_write_bytecode = True

from stage.waiting import ports as free_ports  # noqa: E402

INSTANCES, KEYS, GROUPS = 3, 96, 8
WRITERS, READERS = 24, 5
HOST = "a.test"
LEASE_S, STUCK_S = 2, 180
CONFIGURATION = """
workers: 2
listen: "127.0.0.1:{port}"
admin: {{address: "127.0.0.1:{admin}"}}
state_dir: "{state}"
log: {{access: off}}
upstreams: {{app: "127.0.0.1:{origin}"}}
cache:
  memory: 16MiB
  coherence: {mode}
  redis: {{url: "redis://127.0.0.1:{relay}/0", timeout: 100ms, prefix: checker}}
routes:
  - match: GET /k/{{id}}
  - match: PUT /k/{{id}}
    purge: {{tags: ["k{{id}}"]}}
  - match: /**
    cache: off
"""


def wait_until(condition, what, patience_s=120):
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"checker: {what} did not happen in {patience_s} s")
        time.sleep(0.01)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False


class Connection:
    """One kept connection, made anew when it fails. None is an answer that did not come."""

    def __init__(self, port, timeout_s=15):
        self.port, self.timeout_s = port, timeout_s
        self.line = None

    def ask(self, method, target, body=b"", **fields):
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        try:
            if self.line is None:
                self.line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout_s)
            self.line.request(method, target, body or None, {"Host": HOST, **fields})
            response = self.line.getresponse()
            return response.status, response.read().decode(), response.getheader("X-Cache-Status", ""), response.getheader("Cache-Status", "")
        except (OSError, http.client.HTTPException):
            self.close()
            return None

    def close(self):
        if self.line is not None:
            self.line.close()
        self.line = None


class Program:
    def __init__(self, name, directory, command, **how):
        self.name, self.command, self.how = name, [str(word) for word in command], how
        self.out = open(directory / f"{name}.out", "ab")
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.out, stderr=subprocess.STDOUT, **self.how)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Redis(Program):
    """Writes each change to a file; a crash may take the last second of it away."""

    def __init__(self, directory, port):
        self.port, self.directory = port, directory / "redis"
        self.directory.mkdir()
        self.sizes = []                 # of the file, lately
        super().__init__("redis", directory, ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", self.directory, "--save", "", "--appendonly", "yes",
                                              "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0", "--maxmemory", "256mb",
                                              "--maxmemory-policy", "volatile-lfu"])
        wait_until(lambda: answers(port), "Redis' start")

    def written(self):
        return next(iter(self.directory.glob("appendonlydir/*.incr.aof")), None)

    def note(self):
        file = self.written()
        if file:
            self.sizes = [(t, n) for t, n in self.sizes if t > time.monotonic() - 1] + [(time.monotonic(), file.stat().st_size)]

    def lose_tail(self, chance):
        if self.sizes:
            os.truncate(self.written(), chance.choice(self.sizes)[1])
        self.sizes = []


class Instance:
    def __init__(self, town, index):
        self.town, self.index = town, index
        self.name = f"w{index + 1}"
        self.port, self.admin, self.relay_port = (free_ports.free() for _ in range(3))
        directory = town.directory / self.name
        (directory / "state").mkdir(parents=True)
        file = directory / "forebay.yaml"
        file.write_text(CONFIGURATION.format(port=self.port, admin=self.admin, relay=self.relay_port, origin=town.origin_port, state=directory / "state", mode=town.mode))
        self.relay = Program(f"relay{index + 1}", town.directory, [sys.executable, HERE / "relay.py", self.relay_port, town.redis.port], stdin=subprocess.PIPE)
        wait_until(lambda: answers(self.relay_port), f"the relay's start ({self.name})")
        self.program = Program(self.name, town.directory, [town.binary, "serve", "-c", file], env={**os.environ, "FOREBAY_LOG": "info"})
        self.floor = {}                 # key: least version
        self.here = {}                  # the same, of what dies with the process
        self.later = []                 # (when, key, version): counts once it says that it is connected, asked after that
        self.connected = False
        self.since = time.monotonic()   # it was started
        self.wait_ready()

    def wait_ready(self):
        wait_until(lambda: answers(self.port) and answers(self.admin), f"{self.name}'s start")

    def network(self, order):
        self.relay.process.stdin.write(order.encode() + b"\n")
        self.relay.process.stdin.flush()

    def restart(self):
        self.program.start()
        self.wait_ready()

    def asks_health(self, line):
        answer = line.ask("GET", "/health/ready")
        if answer is None:
            return False
        try:
            return bool(json.loads(answer[1])["checks"]["purgelog"]["healthy"])
        except (KeyError, ValueError):
            return False

    def least(self, key):
        return max(self.floor.get(key, 0), self.here.get(key, 0))


def raise_to(floor, key, version):
    if floor.get(key, 0) < version:
        floor[key] = version


class Town:
    """All who take part, what is known, and what has happened."""

    def __init__(self, options, directory):
        self.mode, self.rounds, self.chance = options.mode, options.rounds, random.Random(options.seed)
        self.binary, self.calm = options.binary, options.calm
        self.directory = directory
        self.lock = threading.Lock()    # of the floors and counters
        self.over = threading.Event()
        self.wrong = None
        self.counts = {name: 0 for name in ("rounds", "reads", "hits", "unanswered")}
        self.levels, self.faults_seen = {}, {}
        self.recent = collections.deque(maxlen=12)      # keys written lately: that is where reads overtake writes
        self.story = []                 # the last events, for who reads of a wrong read
        self.began = time.monotonic()
        self.has_no_api = options.no_api
        self.redis = Redis(directory, free_ports.free())
        self.origin_port = free_ports.free()
        self.origin = Program("origin", directory, [sys.executable, HERE / "origin.py", self.origin_port])
        wait_until(lambda: answers(self.origin_port), "the origin's start")
        self.instances = [Instance(self, i) for i in range(INSTANCES)]

    def tell(self, text):
        self.story.append(f"{time.monotonic() - self.began:9.4f} {text}")
        del self.story[:-400]

    def count(self, name, table=None):
        with self.lock:
            table = self.counts if table is None else table
            table[name] = table.get(name, 0) + 1

    # --- what an acknowledgment makes sure of ---

    def acknowledged(self, instance, since, key, version, level):
        """since: of the instance when it was asked. What it was to remember itself it may have been killed for by now."""
        with self.lock:
            if level not in ("none", "here"):
                raise_to(instance.floor, key, version)
            elif instance.since == since:
                raise_to(instance.here, key, version)
            if level in ("appended", "everywhere"):
                for other in self.instances:
                    if self.mode == "strict" and level == "everywhere":
                        raise_to(other.floor, key, version)
                    elif other is not instance:
                        other.later.append((time.monotonic() + (0 if level == "everywhere" else LEASE_S), key, version))
            self.counts["rounds"] += 1
            self.levels[level] = self.levels.get(level, 0) + 1
            if self.counts["rounds"] >= self.rounds:
                self.over.set()
        self.tell(f"{instance.name} acknowledged {key} version {version}: {level}")

    def watch(self, instance):
        """What it has heard of counts for it from then on."""
        line = Connection(instance.admin, 5)
        while not self.over.is_set():
            asked = time.monotonic()
            was, instance.connected = instance.connected, instance.asks_health(line)
            if was != instance.connected:
                self.tell(f"{instance.name} is {'connected' if instance.connected else 'not connected'}")
            if instance.connected:
                with self.lock:
                    for due, key, version in instance.later:
                        if due < asked:
                            raise_to(instance.floor, key, version)
                    instance.later = [promise for promise in instance.later if promise[0] >= asked]
            time.sleep(0.02)

    # --- writers ---

    def write(self, number):
        """Each writer has keys of its own, so that versions are acknowledged in order."""
        chance = random.Random(self.chance.random() + number)
        lines = {i.port: Connection(i.port) for i in self.instances}
        admins = {i.port: Connection(i.admin) for i in self.instances}
        origin, key = Connection(self.origin_port), None
        while not self.over.is_set():
            if key is None or chance.random() < 0.6:        # else again, while readers still fetch what the first write changed
                key = str(chance.randrange(KEYS // WRITERS) * WRITERS + number)
            self.recent.append(key)
            instance = chance.choice(self.instances)
            if self.has_no_api or chance.random() < 0.5:
                self.write_through(instance, lines[instance.port], origin, key, chance)
            else:
                self.write_and_purge(instance, admins[instance.port], origin, key, chance)
            time.sleep(chance.random() * 0.05)

    def write_through(self, instance, line, origin, key, chance):
        what = chance.choice(["ok", "ok", "ok", "late", "fail", "reset"])
        self.tell(f"writer: {key} through {instance.name}, {what}")
        since = instance.since
        answer = line.ask("PUT", f"/k/{key}", X_Do=what)
        if answer is None:
            self.count("unanswered")
            return
        status, text, _, told = answer
        if status in (200, 500):
            level = re.search("detail=purged-([a-z]+)", told)
            self.acknowledged(instance, since, key, int(text.split()[1]), level.group(1) if level else "none")
        elif status == 502 and what == "reset":         # done, and nobody else writes this key
            peek = origin.ask("GET", f"/peek/{key}")
            if peek:
                self.acknowledged(instance, since, key, int(peek[1].split()[1]), "journalled")

    def write_and_purge(self, instance, admin, origin, key, chance):
        answer = origin.ask("PUT", f"/k/{key}")
        if answer is None:
            return
        version = int(answer[1].split()[1])
        what = chance.choice([{"urls": [f"{HOST}/k/{key}"]}, {"tags": [f"k{key}"]}, {"tags": [f"group{int(key) % GROUPS}"]}, {"prefixes": [f"{HOST}/k/{key}"]},
                              {"patterns": [f"*/k/{key}"]}] * 6 + [{"all": True}])
        wait = chance.random() < 0.5
        self.tell(f"writer: {key} version {version}, purge {what} of {instance.name}{', everywhere' if wait else ''}")
        since = instance.since
        answer = admin.ask("POST", "/purge", json.dumps({**what, "wait": wait}).encode(), Content_Type="application/json")
        if answer is None or answer[0] >= 300:
            self.count("unanswered")
            return
        self.acknowledged(instance, since, key, version, json.loads(answer[1])["level"])

    # --- readers ---

    def read(self, number):
        chance = random.Random(self.chance.random() - number)
        lines = {i.port: Connection(i.port) for i in self.instances}
        while not self.over.is_set():
            instance = chance.choice(self.instances)
            key = chance.choice(list(self.recent)) if self.recent and chance.random() < 0.6 else str(min(int(chance.expovariate(0.06)), KEYS - 1))
            late = {"X-Late": str(chance.choice([5, 20, 60]))} if chance.random() < 0.3 else {}
            with self.lock:
                least, started = instance.least(key), instance.since
            sent = time.monotonic()
            answer = lines[instance.port].ask("GET", f"/k/{key}", **late)
            if answer is None or answer[0] != 200:
                self.count("unanswered")
                continue
            self.judge(instance, key, least, started, sent, answer)

    def judge(self, instance, key, least, started, sent, answer):
        version, word = int(answer[1].split()[1]), answer[2]
        self.count("reads")
        if word == "HIT":
            self.count("hits")
        if version >= least:
            return
        with self.lock:
            if instance.since != started and version >= instance.floor.get(key, 0):
                return                  # killed meanwhile: what it had not told anybody is gone with it
            if self.wrong is None:
                self.tell(f"WRONG: {instance.name} showed {key} version {version} ({word}) to a request sent at {sent - self.began:.4f}; at least {least} was due")
                self.wrong = list(self.story)
        self.over.set()

    # --- faults ---

    def sleep(self, most_s):
        self.over.wait(self.chance.uniform(0.02, most_s))

    def kill_instance(self, instance):
        instance.program.kill()
        with self.lock:
            instance.here, instance.connected = {}, False
            instance.since = time.monotonic()
        self.sleep(0.8)
        instance.restart()

    def stop_instance(self, instance):
        instance.program.signal(signal.SIGSTOP)
        self.sleep(4)
        instance.program.signal(signal.SIGCONT)

    def kill_redis(self, instance):
        self.redis.kill()
        if self.chance.random() < 0.6:
            self.redis.lose_tail(self.chance)
        self.sleep(1.5)
        self.redis.start()
        wait_until(lambda: answers(self.redis.port), "Redis' return")

    def stop_redis(self, instance):
        self.redis.signal(signal.SIGSTOP)
        self.sleep(3)
        self.redis.signal(signal.SIGCONT)

    def hold(self, instance):
        way = self.chance.choice(["up", "down", "both", "some"])
        instance.network(f"hold {way} {self.chance.randrange(50, 4500)}")

    def late(self, instance):
        """Answers come late, one later than the other: what was promised long ago seems to be promised now."""
        instance.network(f"late {self.chance.randrange(2500, 4500)}")
        self.sleep(3)

    def slow(self, instance):
        instance.network(f"slow {self.chance.randrange(5, 120)}")
        self.sleep(3)
        instance.network("slow 0")

    def cut(self, instance):
        instance.network("cut")

    def refuse(self, instance):
        instance.network(f"refuse {self.chance.randrange(100, 4000)}")

    def break_things(self):
        faults = [self.kill_instance, self.stop_instance, self.kill_redis, self.stop_redis, self.hold, self.hold] + [self.late] * 4 + [self.slow, self.cut, self.refuse]
        while not self.over.wait(self.chance.uniform(0.1, self.calm)):
            self.redis.note()
            fault, instance = self.chance.choice(faults), self.chance.choice(self.instances)
            self.tell(f"fault: {fault.__name__} {instance.name}")
            self.count(fault.__name__, self.faults_seen)
            fault(instance)
            self.tell(f"fault over: {fault.__name__}")

    def keep_sizes(self):
        while not self.over.wait(0.1):
            self.redis.note()

    # --- the run ---

    def run(self):
        cast = [(self.write, n) for n in range(WRITERS)] + [(self.read, n) for n in range(READERS)] + [(self.watch, i) for i in self.instances]
        threads = [threading.Thread(target=what, args=(who,), daemon=True) for what, who in cast]
        threads += [threading.Thread(target=self.break_things, daemon=True), threading.Thread(target=self.keep_sizes, daemon=True)]
        for thread in threads:
            thread.start()
        said, last, stuck_since = 0, -1, time.monotonic()
        while not self.over.wait(1):
            if self.counts["rounds"] != last:
                last, stuck_since = self.counts["rounds"], time.monotonic()
            if time.monotonic() - stuck_since > STUCK_S:
                self.wrong = [*self.story, f"no round in {STUCK_S} s"]
                self.over.set()
            if time.monotonic() - said > 10:
                said = time.monotonic()
                print(f"{said - self.began:6.0f} s  {self.counts}", flush=True)
        for thread in threads:
            thread.join(20)

    def close(self):
        for instance in self.instances:
            instance.program.signal(signal.SIGCONT)
            instance.program.kill()
            instance.relay.kill()
        self.redis.signal(signal.SIGCONT)
        self.redis.kill()
        self.origin.kill()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["eventual", "strict"], default="strict")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--calm", type=float, default=1.5, help="most seconds between two faults")
    parser.add_argument("--binary", default=ROOT / "build/forebay")
    parser.add_argument("--no-api", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave logs and configurations where they are")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="forebay-checker-"))
    commit = subprocess.run(["git", "log", "-1", "--format=%h"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    print(f"commit {commit}, mode {options.mode}, seed {options.seed}, {options.rounds} rounds", flush=True)
    town = Town(options, directory)
    try:
        town.run()
    finally:
        town.close()
    print(f"{time.monotonic() - town.began:6.0f} s  {town.counts}\nlevels {town.levels}\nfaults {town.faults_seen}")
    if town.wrong:
        print("\n".join(town.wrong[-120:]))
    if options.keep or town.wrong:
        print(f"logs: {directory}")
    else:
        shutil.rmtree(directory)
    sys.exit(1 if town.wrong else 0)


if __name__ == "__main__":
    main()
