"""Who waits for another's fetch waits no longer than for one of his own (tests/load/herd, with the figures in docs/performance.md)."""

import pytest

from stage.daemon import ROOT, binary, is_sanitized
from stage.peers import run


@pytest.mark.slow
@pytest.mark.patience(300)
def test_five_hundred_at_once_wait_as_long_as_the_origin_takes():
    if is_sanitized():
        pytest.skip("how long a sanitizer takes is not bounded")
    done = run(ROOT / "tests/load/herd", 3, timeout=250, env={"FOREBAY_BIN": binary()}).expect(0)
    assert done.out.count("500 at once") == 4
