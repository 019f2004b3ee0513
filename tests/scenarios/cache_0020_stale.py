"""An old answer is better than none."""

from stage.waiting import wait_until

CACHED = "forebay_cache_requests_total"


def test_a_site_stays_readable_while_its_upstream_is_down(origin, forebay, clock):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10, stale-if-error=600")
    w1 = forebay(app=origin)

    w1.get("/news").expect(200, "spring flood", x_cache_status="MISS")
    origin.refuse()                             # from here on nobody answers
    clock.advance(11)                           # stale now, and nobody slept
    w1.get("/news").expect(200, "spring flood", x_cache_status="STALE")
    w1.wait_metric(CACHED, 1, status="STALE")
    clock.advance(600)
    w1.get("/news").expect(502)
    origin.accept()
    w1.get("/news").expect(200, "spring flood")


def test_an_origin_in_trouble_is_covered_by_what_is_stored(origin, forebay, clock):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10").reply(500, "sorry").reply(200, "low water")
    w1 = forebay(app=origin)

    w1.get("/news").expect(200, "spring flood")
    clock.advance(11)
    w1.get("/news").expect(200, "spring flood", x_cache_status="STALE")


def test_what_must_be_validated_is_never_served_stale(origin, forebay, clock):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10, must-revalidate")
    w1 = forebay(app=origin)

    w1.get("/news").expect(200)
    origin.refuse()
    clock.advance(11)
    assert w1.get("/news").status in (502, 503, 504)


def test_a_refresh_goes_on_behind_the_reader(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "old", cache_control="max-age=10, stale-while-revalidate=30")
    w1 = forebay(app=origin)

    w1.get("/news").expect(200, "old")
    rule.reply(200, "new", cache_control="max-age=10, stale-while-revalidate=30")
    gate = rule.hold()
    clock.advance(11)
    w1.get("/news").expect(200, "old")          # at once, though the origin is still thinking
    origin.wait_asked(2)
    w1.get("/news").expect(200, "old")
    assert origin.count() == 2                  # one refresh for all
    gate.release()
    wait_until(lambda: w1.get("/news").text == "new", "the refreshed answer")
