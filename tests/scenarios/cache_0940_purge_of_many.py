"""A tag's purge is acknowledged at once, however much it takes (tests/load/purge, with the figures in docs/performance.md)."""

import pytest

from stage.daemon import ROOT, binary, is_sanitized
from stage.peers import run


@pytest.mark.slow
@pytest.mark.patience(300)
def test_a_purge_of_thousands_is_acknowledged_at_once_and_counted():
    if is_sanitized():
        pytest.skip("how long a sanitizer takes is not bounded")
    run(ROOT / "tests/load/purge", 50000, timeout=250, env={"FOREBAY_BIN": binary()}).expect(0)
