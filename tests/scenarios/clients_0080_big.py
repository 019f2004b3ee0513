"""Bodies larger than memory would like: they pass through and leave nothing behind."""

import json
import re

import pytest

from stage.bulk import Bulk
from stage.peers import curl, run

pytestmark = [pytest.mark.slow, pytest.mark.patience(360)]
SIZE = 4 << 30
MOST_KIB = 32 << 10
CONFIG = "limits: {body_size: 5GiB}"


@pytest.fixture
def bulk():
    bulk = Bulk()
    yield bulk
    bulk.close()


def peak_kib(w1):
    with open(f"/proc/{w1.process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])


@pytest.mark.parametrize("framing", ["zeros", "chunked"])
def test_4_gib_come_down_and_memory_stays_flat(bulk, forebay, framing):
    w1 = forebay(CONFIG, app=bulk)
    before = peak_kib(w1)
    done = curl("--fail", "-o", "/dev/null", "-w", "%{size_download}", f"http://{w1}/{framing}/{SIZE}", timeout=300).expect()
    assert int(done.out) == SIZE
    assert peak_kib(w1) - before < MOST_KIB


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_4_gib_go_up_and_memory_stays_flat(bulk, forebay, tmp_path, framing):
    w1 = forebay(CONFIG, app=bulk)
    before = peak_kib(w1)
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(SIZE)
    source = f"-T {path}" if framing == "length" else f"-T - <{path}"
    done = run("sh", "-c", f"curl -sS --noproxy '*' http://{w1}/up {source}", timeout=300).expect()
    assert json.loads(done.out) == {"bytes": SIZE, "complete": True, "crc": 0} == bulk.came[0]
    assert peak_kib(w1) - before < MOST_KIB


def test_a_client_that_does_not_read_holds_the_origin_back(bulk, forebay):
    """Back-pressure: what nobody takes is not fetched either."""
    w1 = forebay(CONFIG, app=bulk)
    before = peak_kib(w1)
    slow = [w1.client() for _ in range(20)]
    for client in slow:
        client.begin("GET", f"/zeros/{SIZE}")
    w1.get("/zeros/100000").expect(200)
    assert peak_kib(w1) - before < 2 * MOST_KIB
    for client in slow:
        client.reset()
