"""What makes two requests the same: what the origin can see and vary on, and no more."""

import re

import pytest


@pytest.fixture
def pages(origin):
    """Every page says what it was asked with."""
    def play(exchange):
        r = exchange.request
        fields = [r.headers.get(name, "-") for name in ("Host", "X-Tenant", "X-Forwarded-Proto", "X-Forwarded-Host", "Accept-Encoding")]
        text = " ".join([r.target, *fields])
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=60")])
        exchange.send(text)
    origin.on("/*").do(play)
    return origin


def words(w1, *targets, **fields):
    return [w1.get(target, **fields).expect(200).cache_status for target in targets]


def test_spellings_of_one_name(pages, forebay):
    w1 = forebay(app=pages)
    assert words(w1, "/a/b~c", "/a/b%7Ec", "/a/b%7ec", "/a/./b~c", "/a/x/../b~c", f"http://{w1}/a/b~c") == ["MISS"] + 5 * ["HIT"]
    assert words(w1, "/a%2fb", "/a%2Fb", "/a/b") == ["MISS", "HIT", "MISS"]
    assert words(w1, "//a", "/a", "/a/", "/a?", "/a?x", "/a?x=", "/A") == 7 * ["MISS"]


def test_an_absolute_target_goes_before_the_host_field(pages, forebay):
    w1 = forebay(app=pages)
    r = w1.get("http://real.test/page", host="poison.test").expect(200, x_cache_status="MISS")
    assert "poison" not in r.text
    w1.get("/page", host="real.test").expect(200, r.text, x_cache_status="HIT")
    w1.get("/page", host="poison.test").expect(200, x_cache_status="MISS")


@pytest.mark.parametrize("name, value", [("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "6.6.6.6"),
                                         ("Forwarded", "host=evil.test;proto=https"), ("X-Forwarded-Port", "6666"), ("X-Original-URL", "/admin"),
                                         ("X-Rewrite-URL", "/admin"), ("X-HTTP-Method-Override", "POST")])
def test_a_stranger_cannot_speak_for_a_proxy(origin, forebay, name, value):
    def play(exchange):
        told = [v for n, v in exchange.request.headers if n.lower() in ("x-forwarded-host", "x-forwarded-proto", "x-forwarded-for", "forwarded", "x-forwarded-port")]
        text = " ".join(told)
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=60")])
        exchange.send(text)
    origin.on("GET /page").do(play)
    w1 = forebay(app=origin)
    w1.get("/page", [(name, value)]).expect(200)
    assert value not in w1.get("/page").expect(200, x_cache_status="HIT").text


def test_a_query_that_is_not_part_of_it(pages, forebay):
    w1 = forebay("""
        routes:
          - {match: /none/**, cache: {query: none}}
          - {match: /allow/**, cache: {query: {allow: [id, q]}}}
          - {match: /drop/**, cache: {query: {drop: [utm_source, fbclid]}}}
          - {match: /sort/**, cache: {query: {sort: yes}}}
          - {match: /**}
    """, app=pages)
    assert words(w1, "/none/1", "/none/1?a", "/none/1?b=2&c") == ["MISS", "HIT", "HIT"]
    assert words(w1, "/allow/1?id=1", "/allow/1?x=1&id=1", "/allow/1?id=2", "/allow/1?q=1&id=1", "/allow/1?x=2", "/allow/1") == \
        ["MISS", "HIT", "MISS", "MISS", "MISS", "HIT"]
    assert words(w1, "/drop/1?a=1", "/drop/1?utm_source=x&a=1", "/drop/1?a=1&fbclid=", "/drop/1?a=2", "/drop/1?utm_sourc=x") == \
        ["MISS", "HIT", "HIT", "MISS", "MISS"]
    assert words(w1, "/sort/1?a=1&b=2", "/sort/1?b=2&a=1", "/sort/1?b=2&a=2") == ["MISS", "HIT", "MISS"]
    assert words(w1, "/x?a=1&b=2", "/x?b=2&a=1") == ["MISS", "MISS"]
    seen = [request.target for request in pages.requests]
    assert "/none/1" in seen and not any("utm_source" in target or "x=1" in target for target in seen if target.startswith(("/drop", "/allow")))


def test_a_field_that_is_part_of_it(pages, forebay):
    w1 = forebay("routes: [{match: /**, cache: {key: {headers: [X-Tenant]}}}]", app=pages)
    assert w1.get("/x", x_tenant="a").expect(200, x_cache_status="MISS").text.split()[2] == "a"
    assert w1.get("/x", x_tenant="b").expect(200, x_cache_status="MISS").text.split()[2] == "b"
    assert words(w1, "/x", x_tenant="a") == ["HIT"] and words(w1, "/x", "/x") == ["MISS", "HIT"]
    assert w1.get("/x", [("X-Tenant", "a"), ("X-Tenant", "b")]).cache_status == "MISS"


@pytest.mark.parametrize("first, second", [([("Cookie", "lang=de; lang=fr")], [("Cookie", "lang=de")]),
                                           ([("Cookie", "lang=de"), ("Cookie", "lang=fr")], [("Cookie", "lang=de")]),
                                           ([("Cookie", "lang =fr")], [])])
def test_all_values_of_a_cookie_are_part_of_it(pages, forebay, first, second):
    w1 = forebay("routes: [{match: /**, cache: {cookies: {key: [lang]}}}]", app=pages)
    for headers in (first, second):                                 # which of the two the origin takes, only it knows
        assert w1.get("/x", headers).cache_status == "MISS"


def test_what_a_trusted_proxy_tells_of_the_outside_is_part_of_it(origin, forebay):
    def play(exchange):
        asked = exchange.request.headers
        url = f"{asked['x-forwarded-proto']}://{asked['x-forwarded-host']}/"
        if url.startswith("https"):
            exchange.head(200, [("Content-Length", len(url)), ("Cache-Control", "max-age=60")])
            return exchange.send(url)
        exchange.head(301, [("Content-Length", 0), ("Cache-Control", "max-age=60"), ("Location", "https" + url[4:])])
    origin.on("GET /").do(play)
    w1 = forebay("trusted_proxies: [127.0.0.1]", app=origin)
    for word in ("MISS", "HIT"):
        w1.get("/", x_forwarded_proto="http", x_forwarded_host="a.test").expect(301, location="https://a.test/", x_cache_status=word)
        w1.get("/", x_forwarded_proto="https", x_forwarded_host="a.test").expect(200, "https://a.test/", x_cache_status=word)
        w1.get("/", x_forwarded_proto="https", x_forwarded_host="b.test").expect(200, "https://b.test/", x_cache_status=word)


def test_a_key_cannot_be_forged_from_parts(pages, forebay):
    w1 = forebay("routes: [{match: /**, cache: {key: {headers: [X-A, X-B]}}}]", app=pages)
    assert words(w1, "/x", x_a="1", x_b="2") == ["MISS"]
    assert words(w1, "/x", x_a="1h2") == words(w1, "/x", x_b="2") == words(w1, "/xh", x_a="1") == words(w1, "/x", x_a="") == ["MISS"]


# Vary

def vary(origin, value, asked="Accept-Language", **fields):
    def play(exchange):
        text = str(exchange.request.headers.get(asked))
        exchange.head(200, [("Content-Length", len(text)), *(("Vary", v) for v in ([value] if isinstance(value, str) else value)),
                            ("Cache-Control", "max-age=60"), *fields.items()])
        exchange.send(text)
    origin.on("GET /*").do(play)


@pytest.mark.parametrize("value", ["*", "Accept-Language, *", ["Accept-Language", "*"], "*, Accept"])
def test_a_star_anywhere_means_never(origin, forebay, value):
    vary(origin, value)
    w1 = forebay(app=origin)
    assert words(w1, "/x", "/x") == ["MISS", "MISS"]


def test_variants_of_several_fields(origin, forebay):
    vary(origin, ["accept-language", "X-Device"])
    w1 = forebay(app=origin)
    for word in ("MISS", "HIT"):
        for language in ("de", "fr", None):
            for device in ("phone", "desk", None):
                w1.get("/x", accept_language=language, x_device=device).expect(200, str(language), x_cache_status=word)


def test_a_variant_that_is_not_stored_says_so(origin, forebay):
    vary(origin, "Accept-Language")
    w1 = forebay(app=origin)
    w1.get("/x", accept_language="de").expect(200, cache_status=re.compile("^forebay; fwd=uri-miss; fwd-status=200; stored; ttl=(59|60)$"))
    r = w1.get("/x", accept_language="fr").expect(200, "fr")
    assert r.headers["cache-status"].startswith("forebay; fwd=vary-miss;")


def test_vary_by_a_cookie(origin, forebay):
    vary(origin, "Cookie", "Cookie")
    w1 = forebay(app=origin)
    for word in ("MISS", "HIT"):
        for cookie in ("a=1", "a=2", None):
            w1.get("/x", cookie=cookie).expect(200, str(cookie), x_cache_status=word)


def test_vary_by_accept_encoding_does_not_split_what_we_code_ourselves(origin, forebay):
    vary(origin, "Accept-Encoding", "Accept-Encoding")
    w1 = forebay(app=origin)
    assert [w1.get("/x", accept_encoding=coding).cache_status for coding in (None, "gzip", "br", "gzip, br", "identity")] == ["MISS"] + 4 * ["HIT"]


def test_vary_by_accept_encoding_splits_where_the_origin_codes(origin, forebay):
    vary(origin, "Accept-Encoding", "Accept-Encoding")
    w1 = forebay("compression: off", app=origin)
    for word in ("MISS", "HIT"):
        for coding in ("gzip", "br", None):
            w1.get("/x", accept_encoding=coding).expect(200, x_cache_status=word)
