"""The cast of the scenarios. A scenario names who it needs; all of them are gone when it ends.

    def test_a_site_stays_readable_while_its_upstream_is_down(origin, forebay, clock):
        origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10, stale-if-error=600")
        w1 = forebay(app=origin)

        w1.get("/news").expect(200, "spring flood", x_cache_status="MISS")
        origin.refuse()                             # from here on nobody answers
        clock.advance(11)                           # stale now, and nobody slept
        w1.get("/news").expect(200, "spring flood", x_cache_status="STALE")
        assert w1.metric("forebay_cache_requests_total", status="STALE") == 1

origin      a scripted origin                           forebay     starts a daemon: forebay(config, app=origin, ...)
origins     makes more of them: origins("o2")           cli         runs the binary to its end: cli("check", "-c", path)
clock       moves the daemons' time                     redis       a real Redis;  redises(...) makes more
watched     a master, a replica and their sentinels     cluster     three nodes of a Redis cluster
client      client(address): one connection             certs       an authority that signs certificates
shop        the sample application                      tmp_path    a directory of the scenario's own
nameserver  makes a DNS server: nameserver()
"""

import faulthandler
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("stage.client", "stage.daemon", "stage.origin", "stage.metrics")

from stage.certs import Authority  # noqa: E402
from stage.client import Client  # noqa: E402
from stage.clock import Clock  # noqa: E402
from stage.daemon import Forebay, run_forebay  # noqa: E402
from stage.dns import NameServer  # noqa: E402
from stage.origin import Origin  # noqa: E402
from stage.redis import Redis  # noqa: E402
from stage.redises import Cluster, Watched  # noqa: E402
from stage.shop import Shop  # noqa: E402
from stage.waiting import patiently, ports  # noqa: E402

USUAL_PATIENCE_S = 120
GRACE_S = 30


class Stage:
    """Who is in this scenario, and the order in which they leave: clients, daemons, origins, Redis, clock."""

    def __init__(self, directory):
        self.directory = directory
        self.clock = Clock(directory)
        self.clients, self.daemons, self.origins, self.redises, self.shops = [], [], [], [], []
        self.nameservers = []

    def forebay(self, config=None, *, start=True, **how):
        name = how.pop("name", f"w{len(self.daemons) + 1}")
        directory = self.directory / name
        directory.mkdir()
        daemon = Forebay(self.clock, directory, config, name=name, **how)
        self.daemons.append(daemon)
        return daemon.start() if start else daemon

    def origin(self, name=None, tls=None):
        origin = Origin(self.clock, tls, name or f"o{len(self.origins) + 1}")
        self.origins.append(origin)
        return origin

    def redis(self, *options, **how):
        name = f"redis{len(self.redises) + 1}"
        directory = self.directory / name
        directory.mkdir()
        redis = Redis(directory, *options, name=name, **how)
        self.redises.append(redis)
        return redis

    def shop(self, *options, **how):
        directory = self.directory / f"shop{len(self.shops) + 1}"
        directory.mkdir()
        shop = Shop(directory, *options, **how)
        self.shops.append(shop)
        return shop

    def nameserver(self):
        self.nameservers.append(NameServer())
        return self.nameservers[-1]

    def client(self, address, **how):
        client = Client(address, **how)
        self.clients.append(client)
        return client

    def close(self):
        faults = []

        def attempt(leave):
            try:
                faults.extend(leave() or [])
            except Exception as fault:
                faults.append(str(fault))

        for client in self.clients:
            attempt(client.close)
        for origin in self.origins:
            attempt(origin.open_gates)
        for daemon in self.daemons:
            if daemon.process is not None:
                attempt(daemon.stop)
                if daemon.process.is_running:
                    attempt(daemon.kill)
        for member in [*self.origins, *self.shops, *self.redises, *self.nameservers]:
            attempt(member.close)
        self.clock.close()
        return faults

    def story(self):
        told = [(daemon.name, daemon.story()) for daemon in self.daemons]
        told += [(origin.name, "\n".join(f"{request!r} on connection {request.connection}" for request in origin.requests[-50:]))
                 for origin in self.origins]
        return told + [(redis.name, redis.process.tail(20)) for redis in self.redises if isinstance(redis, Redis)]


@pytest.fixture
def stage(tmp_path, request):
    stage = Stage(tmp_path)
    request.node.stage = stage
    yield stage
    faults = stage.close()
    if faults:
        pytest.fail("as the cast left the stage:\n" + "\n".join(faults), pytrace=False)


@pytest.fixture
def clock(stage):
    return stage.clock


@pytest.fixture
def origin(stage):
    return stage.origin("origin")


@pytest.fixture
def origins(stage):
    return stage.origin


@pytest.fixture
def forebay(stage):
    return stage.forebay


@pytest.fixture
def client(stage):
    return stage.client


@pytest.fixture
def redis(stage):
    return stage.redis()


@pytest.fixture
def redises(stage):
    return stage.redis


@pytest.fixture
def nameserver(stage):
    return stage.nameserver


@pytest.fixture
def watched(stage):
    def directory(name):
        path = stage.directory / name
        path.mkdir()
        return path
    watched = Watched(stage.redis, directory)
    stage.redises.append(watched)
    return watched.wait_ready()


@pytest.fixture
def cluster(stage):
    return Cluster(stage.redis)


@pytest.fixture
def shop(stage):
    return stage.shop()


@pytest.fixture
def cli(tmp_path):
    return lambda *words, **how: run_forebay(*words, **{"cwd": tmp_path, **how})


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certs"))


def pytest_configure(config):
    """Each run has a directory of its own, and leaves it behind only when something failed."""
    if config.option.basetemp is None:
        config.option.basetemp = config.own_basetemp = tempfile.mkdtemp(prefix="forebay-scenarios-")


def pytest_unconfigure(config):
    if getattr(config, "own_basetemp", None) and not getattr(config, "any_failed", False):
        shutil.rmtree(config.own_basetemp, ignore_errors=True)


def pytest_sessionfinish(session, exitstatus):
    session.config.any_failed = session.testsfailed > 0


# A scenario that hangs ends with the place where it hung; one that cannot even be interrupted takes the run with it.

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    mark = item.get_closest_marker("patience")
    bound_s = patiently(max(mark.args[0], USUAL_PATIENCE_S) if mark else USUAL_PATIENCE_S)

    def too_long(*_):
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail(f"not done after {bound_s:g} s", pytrace=True)

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, bound_s, GRACE_S)
    faulthandler.dump_traceback_later(bound_s + 3 * GRACE_S, exit=True, file=sys.__stderr__)
    yield
    faulthandler.cancel_dump_traceback_later()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    ports.give_back()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    stage = getattr(item, "stage", None)
    if report.failed and stage is not None:
        report.sections += [(f"what {name} tells", text) for name, text in stage.story() if text]
