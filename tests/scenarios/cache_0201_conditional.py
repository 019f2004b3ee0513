"""Who has it already is told so, and what we have already is asked for by its validator."""

import pytest

DAY = "Tue, 15 Nov 1994 12:45:26 GMT"
BEFORE, AFTER = "Tue, 15 Nov 1994 12:45:25 GMT", "Tue, 15 Nov 1994 12:45:27 GMT"


@pytest.fixture
def w1(origin, forebay):
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60", etag='"7"', last_modified=DAY,
                                          content_type="text/x-news", x_extra="1")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "spring flood")
    return w1


@pytest.mark.parametrize("fields, status", [
    ({"if_none_match": '"7"'}, 304),
    ({"if_none_match": 'W/"7"'}, 304),
    ({"if_none_match": "*"}, 304),
    ({"if_none_match": '"1", W/"7", "9"'}, 304),
    ({"if_none_match": '"77"'}, 200),
    ({"if_modified_since": DAY}, 304),
    ({"if_modified_since": AFTER}, 304),
    ({"if_modified_since": BEFORE}, 200),
    ({"if_modified_since": "the other day"}, 200),
    ({"if_none_match": '"6"', "if_modified_since": DAY}, 200),          # the exact one of the two counts
    ({"if_none_match": '"7"', "if_modified_since": BEFORE}, 304),
])
def test_a_question_is_answered_from_the_cache(w1, fields, status):
    r = w1.get("/news", **fields).expect(status, "spring flood" if status == 200 else b"", x_cache_status="HIT", etag='"7"')
    if status == 304:
        assert {"Date", "Cache-Control", "Etag"} <= {name.title() for name in r.headers.names()}
        assert "Content-Type" not in r.headers and "Content-Length" not in r.headers
    r = w1.head("/news", **fields).expect(status, b"", x_cache_status="HIT")


def test_two_lines_of_validators_are_one_list(w1):
    w1.get("/news", [("If-None-Match", '"1"'), ("If-None-Match", '"7"')]).expect(304)


def test_the_first_asker_with_a_validator_fills_the_cache_for_all(origin, forebay):
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60", etag='"7"', revalidates=True)
    w1 = forebay(app=origin)
    w1.get("/news", if_none_match='"7"').expect(304, b"")                # and does not wait for the body that goes to the cache
    w1.wait_metric("forebay_cache_objects", 1)
    w1.get("/news").expect(200, "spring flood", x_cache_status="HIT")


@pytest.mark.parametrize("had", [{"etag": '"7"'}, {"etag": 'W/"7"'}, {"last_modified": DAY}])
def test_what_is_stale_is_asked_for_by_its_validator(origin, forebay, clock, had):
    def play(exchange):
        asked = exchange.request.headers
        if asked.get("If-None-Match") or asked.get("If-Modified-Since"):
            return exchange.head(304, [("Cache-Control", "max-age=600"), ("X-New", "2"), *[("ETag", v) for v in had.values() if '"' in v]])
        exchange.head(200, [("Content-Length", 12), ("Cache-Control", "max-age=10"), ("X-New", "1"), ("X-Old", "1"),
                            *[("ETag" if k == "etag" else "Last-Modified", v) for k, v in had.items()]])
        exchange.send("spring flood")
    origin.on("GET /news").do(play)
    w1 = forebay(app=origin)

    w1.get("/news").expect(200, "spring flood", x_new="1")
    clock.advance(11)
    watch = clock.watch()
    r = w1.get("/news").expect(200, "spring flood", x_cache_status="REVALIDATED", x_new="2", x_old="1")
    assert watch.is_age(r.headers.get("Age")) and r.headers.all("X-New") == ["2"]
    asked = origin.last().headers
    assert asked.get("If-None-Match") == had.get("etag") and asked.get("If-Modified-Since") == had.get("last_modified")
    clock.advance(500)                                                  # the new life counts
    w1.get("/news").expect(200, "spring flood", x_cache_status="HIT", x_new="2")
    assert origin.count() == 2


def test_a_reader_with_a_validator_of_its_own_gets_the_new_body(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "old", cache_control="max-age=10", etag='"1"')
    rule.reply(200, "new", cache_control="max-age=10", etag='"2"')
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "old")
    clock.advance(11)
    w1.get("/news", if_none_match='"1"').expect(200, "new", x_cache_status="EXPIRED")
    assert origin.last().headers["if-none-match"] == '"1"'
    w1.get("/news", if_none_match='"2"').expect(304, x_cache_status="HIT")


def test_a_304_that_means_another_answer_is_not_believed(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "old", cache_control="max-age=10", etag='"1"')
    rule.reply(304, etag='"5"').reply(200, "new", cache_control="max-age=10", etag='"5"')
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "old")
    clock.advance(11)
    w1.get("/news").expect(200, "new")
    assert "If-None-Match" not in origin.last().headers


def test_a_304_nobody_asked_for_is_not_kept(origin, forebay):
    origin.on("GET /news").reply(304, cache_control="max-age=60").reply(200, "flood", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/news")
    w1.get("/news").expect(200, "flood")


def test_a_304_that_sets_a_cookie_sets_it_for_nobody_else(origin, forebay, clock):
    def play(exchange):
        if exchange.request.headers.get("If-None-Match"):
            return exchange.head(304, [("ETag", '"7"'), ("Cache-Control", "max-age=60"), ("Set-Cookie", "sid=alice")])
        exchange.head(200, [("Content-Length", 4), ("Cache-Control", "max-age=10"), ("ETag", '"7"')])
        exchange.send("body")
    origin.on("GET /news").do(play)
    w1 = forebay(app=origin)
    w1.get("/news").expect(200)
    clock.advance(11)
    w1.get("/news").expect(200, "body")
    w1.get("/news").expect(200, "body", set_cookie=None)


@pytest.mark.parametrize("asker", [dict(cache_control="no-store"), dict(authorization="Basic eA==")])
def test_a_304_to_who_may_not_have_it_stored_leaves_what_is_stored_for_others(origin, forebay, clock, asker):
    origin.on("GET /news").reply(200, "body", cache_control="max-age=10", etag='"7"', revalidates=True)
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, "body", x_cache_status="MISS")
    clock.advance(11)
    w1.get("/news", **asker).expect(200, "body", x_cache_status="REVALIDATED")
    w1.get("/news").expect(200, "body", x_cache_status="REVALIDATED")
    w1.get("/news").expect(200, "body", x_cache_status="HIT")
    assert [r.headers.get("If-None-Match") for r in origin.requests] == [None, '"7"', '"7"']
