"""The first reader waits for the origin, the second for nobody."""

import pytest

CACHED = "forebay_cache_requests_total"


@pytest.mark.smoke
def test_the_second_reader_costs_the_origin_nothing(origin, forebay, clock):
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60", content_type="text/plain")
    w1 = forebay(app=origin)

    watch = clock.watch()
    first = w1.get("/news").expect(200, "spring flood", x_cache_status="MISS", cache_control="max-age=60")
    second = w1.get("/news").expect(200, "spring flood", x_cache_status="HIT", content_type="text/plain")
    assert first.headers["date"] == second.headers["date"] and watch.is_age(second.headers["age"])
    w1.wait_metric(CACHED, 1, status="MISS")
    w1.wait_metric(CACHED, 1, status="HIT")
    w1.access(2, path="/news")


def test_age_grows_and_life_ends(origin, forebay, clock):
    origin.on("GET /news").reply(200, "one", cache_control="max-age=600").reply(200, "two", cache_control="max-age=600")
    w1 = forebay(app=origin)

    watch = clock.watch()
    w1.get("/news").expect(200, "one", x_cache_status="MISS")
    clock.advance(500)
    r = w1.get("/news").expect(200, "one", x_cache_status="HIT")
    assert watch.is_age(r.headers["age"])
    clock.advance(105)
    w1.get("/news").expect(200, "two", x_cache_status="EXPIRED")
    w1.get("/news").expect(200, "two", x_cache_status="HIT")


@pytest.mark.parametrize("how", ["no-store", "private", "no-cache", "max-age=0", "s-maxage=0, max-age=60", "max-age=60, private"])
def test_what_must_not_be_kept_is_not(origin, forebay, how):
    origin.on("GET /mine", times=2).reply(200, "yours alone", cache_control=how)
    w1 = forebay(app=origin)
    for _ in range(2):
        assert w1.get("/mine").expect(200, "yours alone").cache_status != "HIT"


def test_a_second_line_counts_as_much_as_the_first(origin, forebay):
    origin.on("GET /mine", times=2).reply(200, "x", [("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")])
    w1 = forebay(app=origin)
    for _ in range(2):
        w1.get("/mine").expect(200)


def test_an_answer_that_sets_a_cookie_is_nobody_elses(origin, forebay):
    origin.on("GET /hello", times=2).reply(200, "x", cache_control="max-age=60", set_cookie="id=1")
    w1 = forebay(app=origin)
    for _ in range(2):
        w1.get("/hello").expect(200, set_cookie="id=1")


def test_an_authorized_answer_is_kept_only_when_it_says_so(origin, forebay):
    origin.on("GET /mine", times=2).reply(200, "x", cache_control="max-age=60")
    origin.on("GET /all", times=1).reply(200, "x", cache_control="max-age=60, public")
    w1 = forebay(app=origin)
    for _ in range(2):
        w1.get("/mine", authorization="Bearer 1").expect(200)
        w1.get("/all", authorization="Bearer 1").expect(200)


def test_a_head_is_answered_from_a_get(origin, forebay):
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200)
    w1.head("/news").expect(200, b"", content_length=12, x_cache_status="HIT")


def test_a_reader_who_has_it_is_told_so(origin, forebay):
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60", etag='"7"')
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, etag='"7"')
    w1.get("/news", if_none_match='"6", "7"').expect(304, b"", etag='"7"', x_cache_status="HIT")
    w1.get("/news", if_none_match='"8"').expect(200, "spring flood", x_cache_status="HIT")


def test_a_stored_answer_is_validated_not_fetched_again(origin, forebay, clock):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=10", etag='"7"', revalidates=True)
    w1 = forebay(app=origin)

    w1.get("/news").expect(200, "spring flood", x_cache_status="MISS")
    clock.advance(11)
    w1.get("/news").expect(200, "spring flood", x_cache_status="REVALIDATED")
    assert origin.last().headers["if-none-match"] == '"7"'
    w1.get("/news").expect(200, "spring flood", x_cache_status="HIT")


def test_each_variant_has_its_reader(origin, forebay):
    def speak(exchange):
        text = f"in {exchange.request.headers.get('Accept-Language')}"
        exchange.head(200, [("Content-Length", len(text)), ("Vary", "Accept-Language"), ("Cache-Control", "max-age=60")])
        exchange.send(text)
    origin.on("GET /news", times=2).do(speak)
    w1 = forebay(app=origin)

    for status in ("MISS", "HIT"):
        for language in ("de", "fr"):
            w1.get("/news", accept_language=language).expect(200, f"in {language}", x_cache_status=status)


def test_a_query_and_a_host_are_part_of_the_name(origin, forebay):
    def name(exchange):
        text = f"{exchange.request.headers['host']} {exchange.request.target}"
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=60")])
        exchange.send(text)
    origin.on("/*").do(name)
    w1 = forebay(app=origin)

    for host, target in (("a.test", "/x"), ("b.test", "/x"), ("a.test", "/x?y"), ("a.test", "/x?"), ("a.test", "/x%2Fy"), ("a.test", "/x//y")):
        w1.get(target, host=host).expect(200, f"{host} {target}", x_cache_status="MISS")
    w1.get("/%78", host="A.TEST").expect(200, "a.test /x", x_cache_status="HIT")     # the same name, otherwise spelt
