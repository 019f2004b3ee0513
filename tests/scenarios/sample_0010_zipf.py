"""The load that checks every read (tests/load/zipf.py) must itself be able to tell stale from true."""

import json
import re
import sys

import pytest

from stage.daemon import ROOT
from stage.peers import run


def zipf(*words, code=0):
    done = run(sys.executable, ROOT / "tests/load/zipf.py", "--json", "--clients", 20, *words).expect(code)
    return json.loads(done.out)


@pytest.mark.smoke
def test_the_shop_by_itself_is_never_stale_and_saves_nothing(shop):
    told = zipf("--url", f"http://{shop}", "--keys", 100, "--requests", 2000)
    assert told["requests"] == 2000 == told["reads"] + told["writes"] == told["database_queries"]
    assert 30 < told["writes"] < 200 and told["stale_reads"] == 0 and told["queries_saved"] == 0


@pytest.mark.smoke
def test_a_cache_that_forgets_to_purge_is_found_out(origin, shop):
    """The origin plays a cache that keeps the first answer of each product for ever."""
    kept = {}

    def product(exchange):
        path = exchange.request.path
        if exchange.request.method == "PUT":
            exchange.head(200, [("Content-Length", 14)])
            return exchange.send('{"version": 9}')
        body = kept.setdefault(path, json.dumps({"id": int(path.split("/")[2]), "version": 1}))
        exchange.head(200, [("Content-Length", len(body)), ("X-Cache-Status", "HIT")])
        exchange.send(body)
    origin.on("/products/*").do(product)
    told = zipf("--url", f"http://{origin}", "--app", f"http://{shop}", "--keys", 100, "--requests", 1000, code=1)
    assert told["stale_reads"] > 0 and re.search("version 1 after 9 was acknowledged", told["stale_examples"][0])


@pytest.mark.smoke
def test_answers_that_should_not_be_are_counted(origin, shop):
    origin.on("/products/*").reply(503)
    told = zipf("--url", f"http://{origin}", "--app", f"http://{shop}", "--keys", 100, "--requests", 100, code=2)
    assert told["errors"] == 100 and told["stale_reads"] == 0
