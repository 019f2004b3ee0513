"""Memory stays within its bound while bodies of random sizes come and go (tests/load/churn, for ten minutes in make soak)."""

import pytest

from stage.daemon import ROOT, binary, is_sanitized
from stage.peers import run


@pytest.mark.slow
@pytest.mark.patience(300)
def test_random_sizes_come_and_go():
    if is_sanitized():
        pytest.skip("what a sanitizer needs is not bounded")
    done = run(ROOT / "tests/load/churn", 15, 1, timeout=250, env={"FOREBAY_BIN": binary()}).expect(0)
    assert "bound" in done.out
