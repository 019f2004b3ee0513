"""What makes two requests the same: what the origin can see and vary on, and no more."""

import re

import json

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


def test_tracking_parameters(pages, forebay):
    w1 = forebay("""
        routes:
          - {match: /ttl/**, cache: {ttl: 1m, cookies: ignore}}
          - {match: /keep/**, cache: {ttl: 1m, cookies: ignore, tracking: keep}}
          - {match: /drop/**, cache: {tracking: drop}}
          - {match: /listed/**, cache: {ttl: 1m, cookies: ignore, query: {allow: [gclid]}}}
          - {match: /**}
    """, app=pages)
    for where in ("/ttl", "/drop"):
        assert words(w1, f"{where}/1?utm_source=a&id=1&fbclid=2", f"{where}/1?id=1&gclid=3", f"{where}/1?id=1") == ["MISS", "HIT", "HIT"]
        assert words(w1, f"{where}/2?utm_source=a", f"{where}/2?", f"{where}/2") == ["MISS", "MISS", "HIT"]
    for where in ("/keep", "/else"):                                          # the origin may want to see them there
        assert words(w1, f"{where}/1?id=1&gclid=1", f"{where}/1?id=1&gclid=2") == ["MISS", "MISS"]
    assert words(w1, "/listed/1?gclid=1&utm_id=1", "/listed/1?gclid=2", "/listed/1?gclid=1") == ["MISS", "MISS", "HIT"]
    seen = [r.target for r in pages.requests]
    assert "/ttl/1?id=1" in seen and "/drop/1?id=1" in seen and "/else/1?id=1&gclid=1" in seen
    assert not any("utm" in target for target in seen)


def test_a_write_keeps_its_tracking_parameters(origin, forebay):
    origin.on("POST /x").reply(200)
    w1 = forebay("routes: [{match: /**, cache: {tracking: drop}}]", app=origin)
    w1.post("/x?utm_source=a").expect(200)
    assert origin.requests[-1].target == "/x?utm_source=a"


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


def test_a_variant_that_is_not_stored_says_so(origin, forebay, clock):
    vary(origin, "Accept-Language")
    w1 = forebay(app=origin)
    watch = clock.watch()
    r = w1.get("/x", accept_language="de").expect(200)
    assert re.fullmatch(f"forebay; fwd=uri-miss; fwd-status=200; stored; ttl={watch.ttl(60)}", r.headers["cache-status"])
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


# Fields that count as one of a few values

def told(origin, *names, **fields):
    """Every page says what it was told under these names, and how often it was asked."""
    def play(exchange):
        text = " ".join(f"{name}={exchange.request.headers.get(name, '-')}" for name in names)
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=60"), *((n.replace("_", "-"), v) for n, v in fields.items())])
        exchange.send(text)
    origin.on("GET /*").do(play)
    return origin


def test_a_language_counts_as_what_the_site_offers(origin, forebay):
    told(origin, "Accept-Language", Vary="Accept-Language")
    w1 = forebay("routes: [{match: /**, cache: {vary: {accept-language: [en, de, fr]}}}]", app=origin)
    for word, wish in (("MISS", "de-AT, en;q=0.8"), ("HIT", "de"), ("HIT", "de, en;q=0.1"), ("HIT", "DE;q=0.9, fr;q=0.2")):
        w1.get("/x", accept_language=wish).expect(200, "Accept-Language=de", x_cache_status=word)
    for word, wish in (("MISS", "en, de"), ("HIT", "de, en"), ("HIT", "*")):      # no preference: the site's order
        w1.get("/x", accept_language=wish).expect(200, "Accept-Language=en", x_cache_status=word)
    for word, wish in (("MISS", "es"), ("HIT", "pt-BR, pt;q=0.9"), ("HIT", None)):  # nothing that is offered: the origin's own choice
        w1.get("/x", accept_language=wish).expect(200, "Accept-Language=-", x_cache_status=word)


def test_a_field_of_the_sites_own_counts_as_one_of_its_values(origin, forebay):
    told(origin, "X-Device", Vary="X-Device")
    w1 = forebay("routes: [{match: /**, cache: {vary: {X-Device: [phone, desk]}}}]", app=origin)
    assert words(w1, "/x", x_device="Phone") + words(w1, "/x", x_device="phone") == ["MISS", "HIT"]
    assert words(w1, "/x", x_device="fridge") + words(w1, "/x", x_device="car") + words(w1, "/x") == ["MISS", "HIT", "HIT"]


def test_codings_count_as_offered_where_the_origin_codes(origin, forebay):
    told(origin, "Accept-Encoding", Vary="Accept-Encoding")
    w1 = forebay("""
        compression: off
        routes: [{match: /**, cache: {vary: {accept-encoding: [br, gzip]}}}]
    """, app=origin)
    for word, wish in (("MISS", "gzip, deflate, br"), ("HIT", "br;q=1.0, zstd"), ("HIT", "br, x-unknown-1")):
        w1.get("/x", accept_encoding=wish).expect(200, "Accept-Encoding=br", x_cache_status=word)
    assert words(w1, "/x", accept_encoding="gzip") + words(w1, "/x", accept_encoding="gzip, x-unknown-2") == ["MISS", "HIT"]


def test_only_cookies_of_the_key_reach_the_origin_and_its_vary(origin, forebay):
    told(origin, "Cookie", Vary="Cookie")
    w1 = forebay("routes: [{match: /**, cache: {cookies: {key: [lang, theme]}}}]", app=origin)
    for word, cookie in (("MISS", "sid=1; lang=de"), ("HIT", "lang=de; sid=2"), ("HIT", "_ga=x; lang=de")):
        w1.get("/x", cookie=cookie).expect(200, "Cookie=lang=de", x_cache_status=word)
    w1.get("/x", cookie="theme=dark; sid=3; lang=de").expect(200, "Cookie=lang=de; theme=dark", x_cache_status="MISS")
    for word, cookie in (("MISS", "sid=1"), ("HIT", None)):
        w1.get("/x", cookie=cookie).expect(200, "Cookie=-", x_cache_status=word)


def test_a_write_keeps_all_its_cookies(origin, forebay):
    origin.on("POST /x").reply(200)
    w1 = forebay("routes: [{match: /**, cache: {cookies: {key: [lang]}, vary: {accept-language: [en]}}}]", app=origin)
    w1.post("/x", "a=1", cookie="sid=1; lang=de", accept_language="fr").expect(200)
    assert origin.requests[-1].headers["cookie"] == "sid=1; lang=de" and origin.requests[-1].headers["accept-language"] == "fr"


@pytest.mark.parametrize("trusted, url, other", [("trusted_proxies: [127.0.0.0/8]", "https://a.test/page", "http://a.test/page"),
                                                 ("", "http://a.test/page", "https://a.test/page")])
def test_https_that_ended_at_a_trusted_proxy_is_https(origin, forebay, trusted, url, other):
    origin.on("GET /page").reply(200, "x", [("Cache-Control", "max-age=60"), ("Cache-Groups", '"red"')])
    w1 = forebay(trusted, app=origin)
    for word in ("MISS", "HIT"):
        r = w1.get("/page", host="a.test", x_forwarded_proto="https", x_forwarded_host="a.test").expect(200, x_cache_status=word)
    assert [json.loads(w1.cli("explain", u, "--json").stdout)["outcome"]["status"] for u in (url, other)] == ["HIT", "MISS"]
    line, = w1.access(cache="HIT")
    assert line["scheme"] == url.split(":")[0] and ("strict-transport-security" in r.headers) == url.startswith("https")
    assert f"[{url.removesuffix('/page')}#red]" in w1.cli("cache", "ls").stdout


def test_forwarded_of_a_trusted_proxy_is_part_of_the_key(origin, forebay):
    told(origin, "Forwarded")
    w1 = forebay("trusted_proxies: [127.0.0.1]", app=origin)
    assert words(w1, "/", forwarded="for=1.1.1.1;host=a.test;proto=https") == ["MISS"]
    assert words(w1, "/", forwarded="for=2.2.2.2;Host=a.test;proto=https") == ["HIT"]          # whoever asks
    assert words(w1, "/", forwarded="for=1.1.1.1;host=b.test;proto=https") == ["MISS"]
    assert words(w1, "/", forwarded="host=a.test;proto=http") == ["MISS"]
    assert "host=b.test" in w1.get("/", forwarded="for=9.9.9.9;host=b.test;proto=https").text
    assert "evil" not in w1.get("/bad", forwarded='host=evil.test;proto="https').text           # malformed: not passed on


@pytest.mark.parametrize("name", ["X-Host", "X-Original-URI", "X-Override-URL", "X-Forwarded-Path", "X-Forwarded-Anything", "X-Forwarded-User",
                                  "Front-End-Https", "X-HTTP-Host-Override", "X-Middleware-Subrequest", "X-Invoke-Status", "True-Client-IP",
                                  "X-Forwarded-Client-Cert"])
def test_what_frameworks_believe_a_stranger_cannot_say(origin, forebay, name):
    told(origin, name)
    w1 = forebay(app=origin)
    w1.get("/x", [(name, "evil.test")]).expect(200, f"{name}=-")


def test_a_trusted_proxy_may_say_who_asks(origin, forebay):
    told(origin, "X-Forwarded-User", "True-Client-IP", "X-Host")
    w1 = forebay("trusted_proxies: [127.0.0.1]", app=origin)
    w1.get("/x", x_forwarded_user="ada", true_client_ip="1.1.1.1", x_host="evil.test").expect(200, "X-Forwarded-User=ada True-Client-IP=1.1.1.1 X-Host=-")
