"""docs/operations.md, Several servers, and Servers that are slow now and then: the examples, played."""

import re
from pathlib import Path

import pytest
from stage.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE, HEDGING = (ROOT / "conf" / "examples" / name for name in ("servers.yaml", "hedging.yaml"))


def patient(example):
    """Without the lines that name addresses, and with what a server has to answer on a busy machine."""
    text = re.sub(r"^(listen|admin):.*\n", "", example.read_text(), flags=re.M)
    for short, long in ("connect: 1s", "connect: 20s"), ("try: 2s", "try: 20s"):
        assert short in text
        text = text.replace(short, long)
    return text


@pytest.mark.parametrize("example", [EXAMPLE, HEDGING], ids=["servers", "hedging"])
def test_the_example_is_the_one_on_the_page(example):
    block = re.search(r"^upstreams:.*?(?=^routes:)", example.read_text(), re.M | re.S)[0]
    assert block in (ROOT / "docs" / "operations.md").read_text()


def test_servers_that_fail_are_not_noticed(origins, forebay):
    made = [origins(f"o{n}") for n in (1, 2, 3)]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
        origin.on("GET /health").reply(200, "ok")
    text = patient(EXAMPLE)
    for n, origin in enumerate(made, 1):
        text = text.replace(f"10.0.0.{n}:3000", str(origin))
    w1 = forebay(text)

    assert {w1.get("/a").expect(200).text for _ in range(12)} == {"o1", "o2", "o3"}
    first = w1.get("/a")
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    assert {w1.get("/a", cookie=cookie).text for _ in range(6)} == {first.text}

    failing = next(o for o in made if o.name == first.text)
    failing.on("/*").reply(503, "no", cache_control="no-store")
    assert w1.get("/a", cookie=cookie).expect(200).text != first.text
    failing.on("GET /health").reply(503, "no")
    w1.wait_log(f"{failing} is down: a check was answered with another status")
    w1.wait_metric("forebay_upstream_up", 0, server=str(failing))
    assert "3 of 3 servers accept connections; not asked: 1 down" in w1.cli("status").stdout
    asked = failing.count("GET /a")
    assert all(w1.get("/a").expect(200).text != failing.name for _ in range(12)) and failing.count("GET /a") == asked


def test_a_slow_moment_of_one_server_is_not_noticed(origins, forebay, clock):
    made = [origins(f"o{n}") for n in (1, 2, 3)]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    text = patient(HEDGING)
    for n, origin in enumerate(made, 1):
        text = text.replace(f"10.0.0.{n}:3000", str(origin))
    w1 = forebay(text)

    with w1.client() as c:
        for n in range(120):                            # so that what is usual is known
            c.get(f"/{n}").expect(200)
    gates = [o.on("GET /slow").reply(200, o.name, cache_control="no-store").hold() for o in made]
    slow = w1.client().ask("GET", "/slow")
    wait_until(lambda: any(o.count("GET /slow") for o in made), "the first server asked")
    clock.advance(5)
    wait_until(lambda: sum(o.count("GET /slow") for o in made) == 2, "the second server asked")
    for gate in gates:
        gate.release()
    slow.answer().expect(200)
    line, = w1.access(path="/slow")
    assert line["hedge"] in ("won", "lost") and line["tries"] == 2
