"""HEAD: all that a GET would say, and no body."""


def test_a_head_is_a_get_without_its_body(origin, forebay):
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60", etag='"7"', x_extra="1", vary="Accept-Language")
    w1 = forebay(app=origin)
    w1.get("/news", accept_language="de").expect(200)
    got = w1.get("/news", accept_language="de").expect(200, x_cache_status="HIT")
    head = w1.head("/news", accept_language="de").expect(200, b"", x_cache_status="HIT")
    differs = {"X-Request-Id", "Age", "Cache-Status"}
    assert [f for f in head.headers if f[0] not in differs] == [f for f in got.headers if f[0] not in differs]


def test_a_head_that_misses_is_asked_as_a_head_and_leaves_nothing_behind(origin, forebay):
    origin.on("HEAD /news").reply(200, length=12, cache_control="max-age=60")
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.head("/news").expect(200, b"", content_length=12, x_cache_status="MISS")
    w1.get("/news").expect(200, "spring flood", x_cache_status="MISS")
    w1.head("/news").expect(200, b"", content_length=12, x_cache_status="HIT")


def test_a_head_while_the_origin_is_away_is_answered_as_a_get_is(origin, forebay, clock):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10, stale-if-error=600")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200)
    origin.refuse()
    clock.advance(20)
    w1.head("/news").expect(200, b"", x_cache_status="STALE")
    w1.get("/news").expect(200, "spring flood", x_cache_status="STALE")


def test_a_head_during_a_fetch_does_not_wait_for_the_body(origin, forebay):
    from stage.gate import Gate
    step = Gate()
    origin.on("GET /long").reply(200, ["first", step, "rest"], cache_control="max-age=60")
    origin.on("HEAD /long").reply(200, cache_control="max-age=60")
    w1 = forebay(app=origin)
    c = w1.client()
    r = c.begin("GET", "/long")
    assert r.stream.at_least(5) == b"first"
    w1.head("/long").expect(200, b"")
    step.release()
    c.finish(r).expect(200, "firstrest")
