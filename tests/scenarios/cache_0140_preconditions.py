"""If-Match and If-Unmodified-Since ask what the origin has, not what is stored (RFC 9111 section 4.3.2)."""

import pytest


@pytest.mark.parametrize("name,value", [("If-Match", '"1"'), ("If-Unmodified-Since", "Mon, 01 Jan 2024 00:00:00 GMT")])
def test_the_origin_judges_whether_it_has_changed(origin, forebay, name, value):
    origin.on("GET /page").reply(200, "one", cache_control="max-age=60", etag='"1"').reply(412, "two by now").reply(200, "two", etag='"2"')
    w1 = forebay(app=origin)
    w1.get("/page").expect(200, "one", x_cache_status="MISS")
    w1.get("/page", [(name, value), ("Range", "bytes=1-")]).expect(412, "two by now", x_cache_status="BYPASS")
    assert origin.last().headers[name] == value and origin.last().headers["Range"] == "bytes=1-"
    w1.get("/page").expect(200, "one", x_cache_status="HIT")


def test_a_head_too(origin, forebay):
    origin.on("GET /page").reply(200, "one", cache_control="max-age=60", etag='"1"')
    origin.on("HEAD /page").reply(412)
    w1 = forebay(app=origin)
    w1.get("/page").expect(200, "one")
    w1.head("/page", if_match='"2"').expect(412)
