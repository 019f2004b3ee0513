"""Many connections that are all active at once (tests/load/many, with the figures in docs/performance.md)."""

import resource

import pytest

from stage.daemon import ROOT, binary
from stage.peers import run


@pytest.mark.slow
def test_thousands_who_ask_at_once_are_all_answered():
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        pytest.skip("too few open files")
    run(ROOT / "tests/load/many", binary(), 3000, timeout=110).expect(0)
