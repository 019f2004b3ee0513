"""An old answer goes out at once while a new one is fetched, and stands in while the origin fails."""

import pytest

from stage.waiting import wait_until

# Long beside what a fetch takes that is held: else who is given the new one may set off another before its time.
SWR = "max-age=100, stale-while-revalidate=300"


def test_the_first_who_finds_it_stale_sets_off_the_refresh_and_the_others_see_it_run(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "old", cache_control=SWR).reply(200, "new", cache_control=SWR)
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "old", x_cache_status="MISS")
    clock.advance(101)
    gate = rule.hold()
    w1.get("/news").expect(200, "old", x_cache_status="STALE")
    for _ in range(3):
        w1.get("/news").expect(200, "old", x_cache_status="UPDATING")
    gate.release()
    wait_until(lambda: w1.get("/news").text == "new", "the refreshed answer")
    w1.get("/news").expect(200, "new", x_cache_status="HIT")
    assert origin.count() == 2


def test_behind_the_window_the_reader_waits_for_the_new_one(origin, forebay, clock):
    origin.on("GET /news").reply(200, "old", cache_control=SWR).reply(200, "new", cache_control=SWR)
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "old")
    clock.advance(401)
    w1.get("/news").expect(200, "new", x_cache_status="EXPIRED")


def test_a_refresh_that_finds_nothing_new_makes_it_fresh_again(origin, forebay, clock):
    origin.on("GET /news").reply(200, "old", cache_control=SWR, etag='"7"', revalidates=True)
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "old")
    clock.advance(101)
    w1.get("/news").expect(200, "old", x_cache_status="STALE")
    wait_until(lambda: w1.get("/news").cache_status == "HIT", "it to be fresh")
    assert origin.last().headers["if-none-match"] == '"7"' and origin.count() == 2


def test_a_refresh_that_fails_is_tried_again_by_the_next_reader(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "old", cache_control=SWR).reply(500, "sorry").reply(200, "new", cache_control=SWR)
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "old")
    clock.advance(101)
    w1.get("/news").expect(200, "old", x_cache_status="STALE")
    wait_until(lambda: w1.get("/news").expect(200).text == "new", "the second attempt")
    assert rule.asked == 3


def test_a_route_lets_readers_go_ahead_where_the_origin_says_nothing(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "old", cache_control="max-age=10").reply(200, "new", cache_control="max-age=10")
    w1 = forebay("cache: {stale_while_revalidate: 20s}", app=origin)
    w1.get("/news").expect(200, "old")
    clock.advance(11)
    gate = rule.hold()
    w1.get("/news").expect(200, "old", x_cache_status="STALE")
    gate.release()
    wait_until(lambda: w1.get("/news").text == "new", "the refreshed answer")


@pytest.mark.parametrize("how", ["500", "502", "503", "504", "refused", "hangup", "reset", "garbage", "timeout"])
def test_a_failing_origin_is_covered(origin, forebay, clock, how):
    rule = origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10, stale-if-error=100")
    w1 = forebay('upstreams: {app: {servers: ["@app@"], timeouts: {response: 30s}}}', app=origin)
    w1.get("/news").expect(200, "spring flood", x_cache_status="MISS")
    clock.advance(11)
    {"refused": origin.refuse, "hangup": rule.hangup, "reset": lambda: rule.hangup("reset"), "timeout": rule.hold,
     "garbage": lambda: rule.raw(b"SSH-2.0-OpenSSH\r\n\r\n")}.get(how, lambda: rule.reply(int(how), "sorry"))()
    c = w1.client().ask("GET", "/news")
    if how == "timeout":
        origin.wait_asked(2)
        clock.advance(31)
    r = c.answer().expect(200, "spring flood", x_cache_status="STALE")
    assert int(r.headers["age"]) >= 11
    clock.advance(100)
    c = w1.client().ask("GET", "/news")
    if how == "timeout":
        origin.wait_asked(3)
        clock.advance(31)
    assert c.answer().status >= 500                     # its time is over


@pytest.mark.parametrize("status", [404, 410, 403])
def test_an_answer_that_is_no_failure_goes_through(origin, forebay, clock, status):
    origin.on("GET /news").reply(200, "x", cache_control="max-age=10, stale-if-error=100").reply(status, "no")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200)
    clock.advance(11)
    w1.get("/news").expect(status, "no")


@pytest.mark.parametrize("forbids", ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache", "stale-if-error=0"])
def test_what_may_not_be_stale_is_not(origin, forebay, clock, forbids):
    origin.on("GET /news").reply(200, "x", cache_control=f"max-age=10, {forbids}", etag='"1"').reply(503, "sorry")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200)
    clock.advance(11)
    assert w1.get("/news").status == 503


def test_those_who_wait_for_a_failing_origin_are_all_covered(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10, stale-if-error=100").reply(503, "sorry")
    w1 = forebay("workers: 3", app=origin)
    w1.get("/news").expect(200)
    clock.advance(11)
    gate = rule.hold()
    clients = [w1.client().ask("GET", "/news") for _ in range(12)]
    origin.wait_asked(2)
    gate.release()
    for c in clients:
        c.answer().expect(200, "spring flood", x_cache_status="STALE")


def test_what_was_purged_does_not_stand_in(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "old", cache_control="max-age=10, stale-if-error=100")
    origin.on("POST /news").reply(204)
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "old")
    clock.advance(11)
    rule.reply(503, "sorry")
    gate = rule.hold()
    reader = w1.client().ask("GET", "/news")
    origin.wait_asked(2)
    w1.post("/news", "x").expect(204)                   # what the reader could be given is wrong from now on
    gate.release()
    reader.answer().expect(503, "sorry")
