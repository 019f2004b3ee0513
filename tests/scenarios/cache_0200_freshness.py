"""How long an answer lives, by whoever said so: the nearest word wins."""

import re

import pytest

from stage.origin import Reply

HOUR = 3600


def must_live(w1, clock, target, life_s):
    """The second reader is answered from the cache when four fifths of that have gone by, told what is left, and not when all has."""
    watch, early_s = clock.watch(), life_s * 4 // 5
    w1.get(target).expect(200, x_cache_status="MISS")
    clock.advance(early_s)
    told = w1.get(target).expect(200, x_cache_status="HIT").headers["cache-status"]
    assert re.fullmatch(rf"forebay; hit; ttl={watch.ttl(life_s)}", told), told
    clock.advance(life_s - early_s + 2)
    w1.get(target).expect(200, x_cache_status="EXPIRED")


@pytest.mark.parametrize("fields, life", [
    ({"cache_control": "max-age=100"}, 100),
    ({"cache_control": "max-age=50, s-maxage=100"}, 100),
    ({"cache_control": "s-maxage=100", "expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 100),
    ({"cache_control": "max-age=5", "cdn_cache_control": "max-age=100"}, 100),
    ({"cache_control": "no-store", "cdn_cache_control": "max-age=100"}, 100),
    ({"cache_control": "max-age=130", "age": "30"}, 100),
    ({"cache_control": 'max-age="100"'}, 100),
    ({"cache_control": "MAX-AGE=100"}, 100),
])
def test_the_origin_says_how_long(origin, forebay, clock, fields, life):
    origin.on("GET /news").reply(200, "x", **fields)
    w1 = forebay(app=origin)
    must_live(w1, clock, "/news", life)


def test_expires_is_measured_from_date(origin, forebay, clock):
    origin.on("GET /news").do(lambda exchange: Reply(200, "x", date=origin.http_date(-HOUR), expires=origin.http_date(HOUR))(exchange))
    w1 = forebay(app=origin)
    must_live(w1, clock, "/news", HOUR)                                               # an hour of its two has gone


@pytest.mark.parametrize("expires", ["0", "-1", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_an_expires_nobody_can_read_has_passed(origin, forebay, expires):
    origin.on("GET /news", times=2).reply(200, "x", expires=expires, last_modified="Thu, 01 Jan 2015 00:00:00 GMT")
    w1 = forebay(app=origin)
    for _ in range(2):
        w1.get("/news").expect(200)


@pytest.mark.parametrize("number", ["+60", "0x60", "6 0", "-60", "60s", "", "6.0"])
def test_a_life_that_is_no_number_is_none(origin, forebay, number):
    origin.on("GET /news", times=2).reply(200, "x", cache_control=f"max-age={number}")
    w1 = forebay(app=origin)
    for _ in range(2):
        w1.get("/news").expect(200)


def test_a_life_beyond_all_numbers_is_very_long(origin, forebay, clock):
    origin.on("GET /news", times=1).reply(200, "x", cache_control="max-age=99999999999999999999999")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, x_cache_status="MISS")
    clock.advance(365 * 24 * HOUR)
    w1.get("/news").expect(200, x_cache_status="HIT")


def test_a_life_is_guessed_from_what_was_long_unchanged(origin, forebay, clock):
    for target, changed_s in (("/lately", 1000), ("/year", 365 * 24 * HOUR)):
        origin.on(f"GET {target}").do(lambda exchange, s=changed_s: Reply(200, "x", last_modified=origin.http_date(-s))(exchange))
    w1 = forebay(app=origin)
    must_live(w1, clock, "/lately", 100)
    must_live(w1, clock, "/year", 600)                                                # never more than ten minutes


def test_a_route_that_does_not_guess_asks(origin, forebay):
    origin.on("GET /old", times=2).reply(200, "x", last_modified=origin.http_date(-365 * 24 * HOUR))
    w1 = forebay("cache: {heuristic: no}", app=origin)
    for _ in range(2):
        w1.get("/old").expect(200)


def test_a_route_gives_a_life_where_the_origin_gives_none(origin, forebay, clock):
    origin.on("GET /bare").reply(200, "x")
    origin.on("GET /short").reply(200, "x", cache_control="max-age=60")
    w1 = forebay("routes: [{match: /**, cache: 100s}]", app=origin)
    must_live(w1, clock, "/bare", 100)
    must_live(w1, clock, "/short", 60)                                                # the origin's word goes before


def test_a_route_overrides_what_the_origin_says(origin, forebay, clock):
    origin.on("GET /static/a").reply(200, "x", cache_control="no-store, private, max-age=0")
    origin.on("GET /static/b", times=2).reply(200, "x", set_cookie="id=1")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 100s, origin: override}}]", app=origin)
    must_live(w1, clock, "/static/a", 100)
    for _ in range(2):
        w1.get("/static/b").expect(200, set_cookie="id=1")                            # but not this without a word of its own


def test_errors_live_as_long_as_the_route_says(origin, forebay, clock):
    origin.on("GET /gone").reply(404, "no").reply(200, "yes")
    origin.on("GET /bad").reply(503, "no").reply(200, "yes")
    origin.on("GET /teapot", times=2).reply(418, "no")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 1h, statuses: {404: 10m, 5xx: 1m}}}]", app=origin)
    w1.get("/gone").expect(404, x_cache_status="MISS")
    w1.get("/bad").expect(503, x_cache_status="MISS")
    w1.get("/bad").expect(503, x_cache_status="HIT")
    clock.advance(61)
    w1.get("/bad").expect(200, "yes")
    clock.advance(480)
    w1.get("/gone").expect(404, x_cache_status="HIT")
    clock.advance(60)
    w1.get("/gone").expect(200, "yes")
    for _ in range(2):
        w1.get("/teapot").expect(418)


def test_what_expires_together_is_spread(origin, forebay, clock):
    origin.on("/*").reply(200, "x")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 1000s, jitter: 50%}}]", app=origin)
    c = w1.client()
    for n in range(80):
        c.get(f"/{n}").expect(200, x_cache_status="MISS")
    clock.advance(750)
    c = w1.client()  # the other has been idle for too long
    fresh = [c.get(f"/{n}").cache_status for n in range(80)].count("HIT")
    assert 10 <= fresh <= 70                                                          # each as likely as not: else one time in 10^12


def test_age_counts_what_others_have_kept_it_for(origin, forebay, clock):
    watch = clock.watch()
    origin.on("GET /news").reply(200, "x", cache_control="max-age=600", age="100")
    origin.on("GET /late").reply(200, "x", cache_control="max-age=600", date=origin.http_date(-200))
    w1 = forebay(app=origin)
    for target, age in (("/news", 100), ("/late", 199)):                             # a Date may be nearly a second younger
        w1.get(target).expect(200, x_cache_status="MISS")
        assert watch.is_age(w1.get(target).expect(200, x_cache_status="HIT").headers["age"], before=age)
    clock.advance(50)
    assert watch.is_age(w1.get("/news").headers["age"], before=100)
