"""docs/operations.md, Several servers: its example, played."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "conf" / "examples" / "servers.yaml"


def test_the_example_is_the_one_on_the_page():
    block = re.search(r"^upstreams:.*?(?=^routes:)", EXAMPLE.read_text(), re.M | re.S)[0]
    assert block in (ROOT / "docs" / "operations.md").read_text()


def test_servers_that_fail_are_not_noticed(origins, forebay):
    made = [origins(f"o{n}") for n in (1, 2, 3)]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
        origin.on("GET /health").reply(200, "ok")
    text = re.sub(r"^(listen|admin):.*\n", "", EXAMPLE.read_text(), flags=re.M)
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
