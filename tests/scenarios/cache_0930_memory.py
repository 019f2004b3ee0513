"""What a small object costs in memory (tests/load/memory, with the figures in docs/performance.md)."""

import pytest

from stage.daemon import ROOT, binary, is_sanitized
from stage.peers import run


@pytest.mark.slow
@pytest.mark.patience(300)
def test_an_object_of_a_kibibyte_costs_less_than_450_bytes_more():
    if is_sanitized():
        pytest.skip("what a sanitizer needs is not bounded")
    run(ROOT / "tests/load/memory", binary(), 50000, timeout=250).expect(0)
