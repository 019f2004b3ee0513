"""Several Redis servers that belong together: a master with replicas watched by sentinels, and a cluster.

    watched.fail_over()         the master is gone; returns when sentinels have made a replica the master
    cluster.reshard(0, 1, 800)  moves 800 slots from the first node to the second, as an administrator does
    cluster.node_of(key)        which node keeps a key
"""

import subprocess

from stage.redis import LONG_S, Redis
from stage.waiting import patiently, ports, wait_until
from stage.wire import Hangup

SLOTS = 16384


def _redis_cli(*words, timeout=60):
    done = subprocess.run(["redis-cli", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=patiently(timeout))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Sentinel(Redis):
    def __init__(self, directory, master, quorum, name="sentinel"):
        self.config, self.master = directory / "sentinel.conf", master
        self.config.write_text(f"sentinel monitor mymaster 127.0.0.1 {master.port} {quorum}\n"
                               "sentinel down-after-milliseconds mymaster 60000\n"
                               "sentinel failover-timeout mymaster 4000\n")
        super().__init__(directory, name=name)
        self.cli("SENTINEL", "DEBUG", "TILT-TRIGGER", 60000)        # that it was held up is no reason to stand still for long

    def watch_closely(self):
        """From here on it takes a master that is silent for a moment for dead, as a busy machine makes one that is not."""
        self.cli("SENTINEL", "SET", "mymaster", "down-after-milliseconds", 300)

    def command(self):
        return ["redis-server", self.config, "--sentinel", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.directory]

    def told(self):
        """What it knows of the master."""
        answer = self.cli("SENTINEL", "MASTER", "mymaster")
        return dict(zip(answer[::2], answer[1::2]))


class Watched:
    """One master, one replica, and three sentinels, two of whom must agree."""

    def __init__(self, redises, make_directory):
        fast = ("--repl-diskless-sync-delay", 0, "--repl-ping-replica-period", 1)
        self.master = redises(*fast)
        self.replica = redises(*fast, "--replicaof", "127.0.0.1", self.master.port)
        wait_until(lambda: self.replica.cli("ROLE")[3] == "connected", "the replica to follow its master", LONG_S)
        self.sentinels = [Sentinel(make_directory(f"sentinel{n}"), self.master, 2, name=f"sentinel{n}") for n in (1, 2, 3)]

    def wait_ready(self):
        wait_until(lambda: all(s.told()["num-other-sentinels"] == "2" and s.told()["num-slaves"] == "1" for s in self.sentinels),
                   lambda: f"the sentinels to know each other: {[s.told() for s in self.sentinels]}", LONG_S)
        return self

    @property
    def url(self):
        return "redis+sentinel://" + ",".join(s.address for s in self.sentinels) + "/mymaster"

    def __str__(self):
        return self.url

    def fail_over(self):
        self.kill_master()
        self.wait_promoted()

    def kill_master(self):
        self.master.kill()
        for sentinel in self.sentinels:
            sentinel.watch_closely()

    def wait_promoted(self):
        wait_until(lambda: self.ask_replica("ROLE")[0] == "master", "the replica to become the master", LONG_S)

    def ask_replica(self, *words):
        """A server that changes its part drops its clients."""
        try:
            return self.replica.cli(*words)
        except (Hangup, OSError):
            self.replica.reconnect()
            return self.replica.cli(*words)

    def close(self):
        for sentinel in self.sentinels:
            sentinel.close()


class Cluster:
    """Masters only: what fails is not taken over by anybody."""

    def __init__(self, redises, count=3, *options):
        self.nodes = [redises("--cluster-enabled", "yes", "--cluster-port", ports.free(), "--cluster-node-timeout", 60000,
                              "--cluster-require-full-coverage", "no", *options) for _ in range(count)]
        _redis_cli("--cluster", "create", *[n.address for n in self.nodes], "--cluster-yes")
        wait_until(lambda: all("cluster_state:ok" in n.cli("CLUSTER", "INFO") for n in self.nodes), "the cluster to stand", LONG_S)

    @property
    def url(self):
        return "redis+cluster://" + ",".join(n.address for n in self.nodes)

    def __str__(self):
        return self.url

    def reshard(self, source, target, slots):
        ids = [self.nodes[n].cli("CLUSTER", "MYID") for n in (source, target)]
        _redis_cli("--cluster", "reshard", self.nodes[0].address, "--cluster-from", ids[0], "--cluster-to", ids[1],
                   "--cluster-slots", slots, "--cluster-yes")

    def slots_of(self, n):
        mine = self.nodes[n].cli("CLUSTER", "MYID")
        return sum(last - first + 1 for first, last, master, *_ in self.nodes[n].cli("CLUSTER", "SLOTS") if master[2] == mine)

    def keys(self, pattern="*"):
        return sorted(key for node in self.nodes for key in node.keys(pattern))

    def node_of(self, key):
        return next(n for n in self.nodes if key in n.keys())

    def close(self):
        pass                                                # its nodes are the stage's
