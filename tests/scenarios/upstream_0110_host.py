"""Which Host the origin is told."""

import pytest


@pytest.mark.parametrize("host", ["client", "server"])
def test_the_host_sent_is_the_one_configured(origin, forebay, host):
    origin.on("GET /a").reply(200, "A", cache_control="no-store")
    origin.on("POST /up").reply(200, "thanks")
    w1 = forebay({"upstreams": {"app": {"servers": [str(origin)], "host": host}}}, app=origin)

    for _ in range(2):
        w1.get("/a", host="a.test").expect(200, "A")
    w1.post("/up", b"x" * 100_000, host="a.test").expect(200, "thanks")
    for request in origin.asked():
        assert request.headers.all("Host") == [str(origin) if host == "server" else "a.test"]
        assert request.headers["X-Forwarded-Host"] == "a.test"
    assert origin.last().body == b"x" * 100_000
