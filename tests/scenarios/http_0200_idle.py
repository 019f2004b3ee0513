"""What an idle connection costs in memory (tests/load/idle, with the figures in docs/performance.md)."""

import pytest

from stage.daemon import ROOT, binary
from stage.peers import run


@pytest.mark.slow
def test_an_idle_connection_costs_less_than_500_bytes():
    if "-asan" in binary() or "-tsan" in binary():
        pytest.skip("what a sanitizer needs is not bounded")
    run(ROOT / "tests/load/idle", binary(), 2000, "http", timeout=110).expect(0)
