"""A load of readers and writers: no read is stale, and the database has little left to do (requirements section 13)."""

import json
import sys

import pytest

from stage.daemon import ROOT
from stage.peers import run


@pytest.mark.slow
@pytest.mark.patience(700)
def test_reads_are_never_stale_and_the_database_rests(stage, forebay):
    shop = stage.shop(products=10000)
    w1 = forebay(f"""
        upstreams: {{shop: "{shop}"}}
        routes:
          - match: GET /products/{{id}}
            cache: {{ttl: 1h, origin: override, tags: ["product:{{id}}"]}}    # however long the load takes, nothing expires under it
          - match: PUT /products/{{id}}
            purge: {{tags: ["product:{{id}}"]}}
          - match: /**
            cache: off
    """)
    done = run(sys.executable, ROOT / "tests/load/zipf.py", "--json", "--url", f"http://{w1}", "--app", f"http://{shop}",
               "--clients", 100, "--requests", 100000, timeout=600).expect(0)
    told = json.loads(done.out)
    assert told["stale_reads"] == 0 and told["errors"] == 0
    assert told["queries_saved"] >= .70, told
