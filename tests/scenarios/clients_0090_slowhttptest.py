"""slowhttptest: hundreds of clients that take their time. The others notice nothing, and the slow ones are shown out."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stage.client import Client
from stage.peers import run, tool

pytestmark = [pytest.mark.slow, pytest.mark.patience(120)]
CONNECTIONS, SECONDS, TIME_OUT_S = 300, 14, 6
ATTACKS = {
    "slow heads": ["-H", "-i", "10", "-x", "24"],
    "slow bodies": ["-B", "-i", "10", "-s", "8192", "-x", "10", "-t", "POST"],
    "slow reading": ["-X", "-w", "512", "-y", "1024", "-n", "3", "-z", "32", "-k", "3"],
    "many ranges": ["-R", "-a", "10", "-b", "3000"],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_others_are_served_while_some_take_their_time(shop, forebay, attack):
    w1 = forebay("limits: {head_timeout: %ds, body_timeout: %ds, keepalive_timeout: %ds}" % ((TIME_OUT_S,) * 3), app=shop)
    w1.get("/products/1").expect(200)
    before = w1.process.rss_kib()

    def abuse():
        return run(tool("slowhttptest", "slowhttptest"), *ATTACKS[attack], "-c", CONNECTIONS, "-r", 150, "-l", SECONDS, "-p", TIME_OUT_S,
                   "-u", f"http://{w1}/{'big?bytes=3000000' if attack == 'slow reading' else 'products/1'}", timeout=60)

    waits = []
    with ThreadPoolExecutor(1) as pool:
        abused = pool.submit(abuse)
        while not abused.done():
            began = time.monotonic()
            with Client(w1.address) as visitor:
                visitor.get("/products/1").expect(200)
                visitor.post("/echo", "hello").expect(200, "hello")
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
        report = re.sub(r"\x1b\[[0-9;]*m", "", abused.result().expect().out)
    assert len(waits) > 20 and sorted(waits)[len(waits) * 99 // 100] < TIME_OUT_S, waits  # no slow one's time-out is waited for
    assert "service available:   NO" not in report, report
    assert w1.process.rss_kib() - before < 64 << 10
    if attack in ("slow heads", "slow bodies"):     # none of them could stay
        assert "Exit status: No open connections left" in report, report
