"""What the answer to a HEAD says of what is stored (RFC 9111 section 4.3.5)."""

import pytest


def fresh(origin, forebay, **fields):
    origin.on("GET /page").reply(200, "12345", cache_control="max-age=100", **fields)
    w1 = forebay("cache: {client_directives: obey}", app=origin)
    w1.get("/page").expect(200, "12345", x_cache_status="MISS")
    return w1


@pytest.mark.parametrize("changed", [{"etag": '"2"'}, {"etag": '"1"', "length": 7}])
def test_a_head_that_tells_of_a_change_makes_it_stale(origin, forebay, changed):
    w1 = fresh(origin, forebay, etag='"1"')
    origin.on("HEAD /page").reply(200, "12345", cache_control="max-age=100", **changed)
    w1.head("/page", cache_control="no-cache").expect(200)
    w1.get("/page").expect(200, x_cache_status="EXPIRED")


def test_a_head_that_tells_the_same_renews_it(origin, forebay, clock):
    w1 = fresh(origin, forebay, etag='"1"')
    origin.on("HEAD /page").reply(200, "12345", cache_control="max-age=100", etag='"1"', x_new="1")
    clock.advance(101)
    w1.head("/page").expect(200)
    w1.get("/page").expect(200, "12345", x_cache_status="HIT", x_new="1", cache_control="max-age=100")
    assert origin.count("GET /page") == 1


def test_a_head_that_tells_nothing_changes_nothing(origin, forebay):
    w1 = fresh(origin, forebay)
    origin.on("HEAD /page").reply(200, "12345", x_new="1")
    w1.head("/page", cache_control="no-cache").expect(200)
    w1.get("/page").expect(200, "12345", x_cache_status="HIT", x_new=None)
