"""What was changed is not served as it was before."""

import pytest

ROUTES = """
    routes:
      - match: GET /products/{id}
        cache: {ttl: 10m, tags: [products, "product:{id}"]}
      - match: PUT /products/{id}
        purge: {tags: ["product:{id}"]}
      - match: /**
"""


@pytest.fixture
def w1(origin, forebay):
    for n in (1, 2):
        origin.on(f"GET /products/{n}").reply(200, f"old {n}").reply(200, f"new {n}")
    w1 = forebay(ROUTES, app=origin)
    for n in (1, 2):
        w1.get(f"/products/{n}").expect(200, f"old {n}", x_cache_status="MISS")
        w1.get(f"/products/{n}").expect(200, f"old {n}", x_cache_status="HIT")
    return w1


def test_a_write_drops_what_it_changed_and_nothing_else(w1, origin):
    origin.on("PUT /products/1").reply(204)
    w1.request("PUT", "/products/1", "x").expect(204)
    w1.get("/products/1").expect(200, "new 1", x_cache_status="MISS")
    w1.get("/products/2").expect(200, "old 2", x_cache_status="HIT")


def test_a_write_that_was_refused_drops_nothing(w1, origin):
    origin.on("PUT /products/1").reply(403)
    w1.request("PUT", "/products/1", "x").expect(403)
    w1.get("/products/1").expect(200, "old 1", x_cache_status="HIT")


@pytest.mark.parametrize("end", ["503", "hangup"])
def test_a_write_in_doubt_counts_as_done(w1, origin, end):
    rule = origin.on("PUT /products/1")
    rule.reply(503) if end == "503" else rule.hangup()
    assert w1.request("PUT", "/products/1", "x").status in (502, 503)
    w1.get("/products/1").expect(200, "new 1", x_cache_status="MISS")


def test_an_answer_that_was_under_way_during_a_purge_is_not_kept(origin, forebay):
    rule = origin.on("GET /products/1").reply(200, "old").reply(200, "new")
    origin.on("PUT /products/1").reply(204)
    gate = rule.hold()
    w1 = forebay(ROUTES, app=origin)

    reader = w1.client().ask("GET", "/products/1")
    gate.wait_arrived()                         # its fetch began before the write
    w1.request("PUT", "/products/1", "x").expect(204)
    gate.release()
    reader.answer().expect(200)
    w1.get("/products/1").expect(200, "new", x_cache_status="MISS")
