"""Which fields are kept, and which are for one hop or one answer only (RFC 9111 section 3.1, RFC 9110 section 7.6.1)."""

import pytest

HOP = [("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"),
       ("TE", "trailers"), ("Upgrade", "h2c"), ("Proxy-Authenticate", "Basic"), ("Proxy-Authentication-Info", "x=1")]


def test_what_is_for_one_hop_goes_no_further(origin, forebay):
    origin.on("GET /page", times=1).reply(200, "x", [*HOP, ("Cache-Control", "max-age=60"), ("X-Kept", "1")])
    w1 = forebay(app=origin)
    for status in ("MISS", "HIT"):
        r = w1.get("/page").expect(200, "x", x_cache_status=status, x_kept="1")
        assert not [name for name, _ in HOP if name in r.headers and name not in ("Connection", "Keep-Alive")]
        assert "X-Hop" not in r.headers.get("Connection", "")


@pytest.mark.parametrize("directive", ["no-cache", "private"])
def test_a_field_the_origin_names_is_for_the_first_reader(origin, forebay, directive):
    origin.on("GET /page", times=1).reply(200, "x", cache_control=f'max-age=60, {directive}="x-token, X-Other"', x_token="1", x_kept="1")
    w1 = forebay(app=origin)
    w1.get("/page").expect(200, x_token="1", x_kept="1", x_cache_status="MISS")
    w1.get("/page").expect(200, x_token=None, x_kept="1", x_cache_status="HIT")


def test_what_does_not_change_is_passed_byte_for_byte(origin, forebay):
    fields = [("X-Empty", ""), ("X-Two", "1"), ("X-Two", "2"), ("x-LOWER", "a,b;  c"), ("Server-Timing", "db;dur=53"), ("Link", "</a>; rel=next")]
    origin.on("GET /page", times=1).reply(200, "x", [*fields, ("Cache-Control", "max-age=315360000"), ("Date", "Mon, 01 Jan 2024 00:00:00 GMT")])
    w1 = forebay("security_headers: off", app=origin)
    for _ in range(2):
        r = w1.get("/page").expect(200, date="Mon, 01 Jan 2024 00:00:00 GMT")
        assert [pair for pair in r.headers if pair in fields] == fields


def test_a_status_nobody_knows_is_kept_with_its_words(origin, forebay):
    origin.on("GET /page", times=1).reply(299, "x", cache_control="max-age=60", reason="Fairly OK")
    w1 = forebay(app=origin)
    for status in ("MISS", "HIT"):
        assert w1.get("/page").expect(299, "x", x_cache_status=status).reason == "Fairly OK"


def test_a_validation_renews_the_fields_and_leaves_those_of_the_body(origin, forebay, clock):
    rule = origin.on("GET /page").reply(200, "12345", cache_control="max-age=10", etag='"1"', x_a="1", x_b="1", content_language="de")
    rule.reply(304, headers=[("ETag", '"1"'), ("Cache-Control", "max-age=100"), ("X-A", "2"), ("X-C", "2"), ("Content-Length", "7"), ("Content-Range", "bytes 0-1/7")])
    w1 = forebay(app=origin)
    w1.get("/page").expect(200, x_a="1", x_b="1")
    clock.advance(11)
    for status in ("REVALIDATED", "HIT"):
        w1.get("/page").expect(200, "12345", x_cache_status=status, x_a="2", x_b="1", x_c="2", content_length="5", content_range=None,
                               content_language="de", cache_control="max-age=100")
    clock.advance(50)
    w1.get("/page").expect(200, x_cache_status="HIT")


def test_an_early_hint_is_for_those_who_understand_it(origin, forebay):
    hint = [(103, {"Link": "</style.css>; rel=preload"})]
    origin.on("GET /page").reply(200, "x", cache_control="no-store", interim=hint)
    w1 = forebay(app=origin)
    r = w1.get("/page").expect(200)
    assert [early.status for early in r.interim] == [103]
    old = w1.client()
    old.send(b"GET /page HTTP/1.0\r\nHost: a\r\n\r\n")
    assert not old.answer().expect(200, "x").interim          # RFC 9110 section 15.2
