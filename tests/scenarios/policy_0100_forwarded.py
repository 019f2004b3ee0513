"""Who the client is, as seen through trusted proxies."""


def test_a_long_list_hides_nobody(origin, forebay):
    origin.on("GET /").reply(200, "ok", cache_control="no-store")
    w1 = forebay("trusted_proxies: [127.0.0.0/8]", app=origin)

    invented = [f"198.51.100.{n}" for n in range(40)]
    w1.get("/", x_forwarded_for=", ".join([*invented, "203.0.113.9"])).expect(200)
    w1.get("/", x_forwarded_for=", ".join([*invented, "203.0.113.9", "127.0.0.7"])).expect(200)
    assert [line["client"] for line in w1.access(2)] == ["203.0.113.9"] * 2
