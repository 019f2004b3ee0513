"""Pages are in the cache before the first client asks: lists, sitemaps, what was asked for most."""

import gzip
import time

import pytest

from stage.waiting import wait_until

SITE = {"host": "www.a.test"}
PAGE = dict(cache_control="max-age=600")
XML = dict(content_type="application/xml")


def urlset(*urls):
    return "<urlset>" + "".join(f"<url><loc>{url}</loc></url>" for url in urls) + "</urlset>"


def index(*urls):
    return "<sitemapindex>" + "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls) + "</sitemapindex>"


def warm(forebay, origin, what, **how):
    return forebay(f"""
        cache: {{persist: off, warm: {{base: "http://www.a.test", {what}}}}}
        routes:
          - match: GET /private/**
            cache: off
          - match: /**
        """, app=origin, **how)


def words(w, *targets):
    return [w.get(target, **SITE).headers["X-Cache-Status"] for target in targets]


@pytest.mark.tsan
def test_named_pages_are_there_before_anybody_asks(origin, forebay, tmp_path):
    origin.on("GET /*").reply(200, "page", **PAGE)
    (tmp_path / "more.txt").write_text("# what we also want\n/c\n\n  /d?x=1  \n")
    w = warm(forebay, origin, f'urls: [/a, "http://www.a.test/b", "http://other.test/a"], file: "{tmp_path}/more.txt"')

    w.wait_log(r"warming done after \d+ ms: of 5 pages 5 fetched, 0 cached before, 0 not cacheable, 0 failed$")

    assert words(w, "/a", "/b", "/c", "/d?x=1") == ["HIT"] * 4
    w.get("/a", host="other.test").expect(200, x_cache_status="HIT")
    assert origin.count("GET /*") == 5


def test_the_pages_of_a_sitemap_are_found_through_indexes_and_gzip(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    origin.on("GET /sitemap.xml").reply(200, index("http://www.a.test/products.xml.gz", "/news.xml", "/sitemap.xml", "/missing.xml"), **XML)
    origin.on("GET /products.xml.gz").reply(200, gzip.compress(urlset(*(f"http://www.a.test/p/{i}" for i in range(30))).encode()), content_type="application/gzip")
    origin.on("GET /news.xml").reply(200, urlset("/n/1", "http://elsewhere.test/n/2", "https://www.a.test/n/3"), **XML)
    origin.on("GET /missing.xml").reply(404)
    w = warm(forebay, origin, "sitemaps: [/sitemap.xml], rate: 1000")

    w.wait_log(r"warming done .*of 32 pages 32 fetched.* 0 failed; last trouble: a sitemap was answered with status 404")

    assert words(w, *(f"/p/{i}" for i in range(30)), "/n/1") == ["HIT"] * 31
    assert origin.count("GET /n/2") == 0, "another host's page"
    assert origin.count("GET /sitemap.xml") == 1, "an index may name itself"


def test_what_is_warmed_is_there_in_the_coding_that_browsers_take(origin, forebay):
    origin.on("GET /a").reply(200, "letter " * 1000, content_type="text/html", **PAGE)
    w = warm(forebay, origin, "urls: [/a]")
    w.wait_log("warming done")

    answer = w.get("/a", accept_encoding="br", **SITE).expect(200, content_encoding="br")

    assert "Content-Length" in answer.headers, "a variant that is there is sent with its length"


def test_warming_is_nobodys_request(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    w = forebay("""
        cache: {warm: {base: "http://www.a.test", urls: [/a, /b, /c, /d]}}
        rate_limits: {few: {algorithm: fixed_window, limit: 2, window: 1h, key: route}}
        routes:
          - match: /**
            rate_limit: few
        """, app=origin)
    w.wait_log("warming done .* 4 fetched")

    w.get("/a", **SITE).expect(200, x_cache_status="HIT")
    w.get("/b", **SITE).expect(200, x_cache_status="HIT")
    w.get("/c", **SITE).expect(429)

    assert len(w.access(3)) == 3
    w.wait_metric("forebay_http_requests_total", 3)


def test_what_cannot_be_cached_or_fails_is_told_apart(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    origin.on("GET /broken").reply(500)
    w = warm(forebay, origin, 'urls: [/a, /private/b, /broken, "/not valid"]')

    w.wait_log(r"of 4 pages 1 fetched, 0 cached before, 1 not cacheable, 1 failed")


def test_it_is_done_again_every_so_often(origin, forebay, clock):
    origin.on("GET /a").reply(200, "page", **PAGE)
    w = warm(forebay, origin, "urls: [/a], every: 1h")
    w.wait_log("warming done .* 1 fetched")

    clock.advance(3601)

    wait_until(lambda: w.log.count("warming done") == 2, "the second run")
    assert origin.count("GET /a") == 2
    assert words(w, "/a") == ["HIT"]


def test_at_the_start_the_application_may_come_later(origin, forebay, clock):
    origin.on("GET /a").reply(200, "page", **PAGE)
    origin.refuse()
    w = warm(forebay, origin, "urls: [/a]")
    w.wait_log("warming done .* 1 failed")

    origin.accept()
    clock.advance(11)

    w.wait_log("warming done .* 1 fetched")


def test_what_was_asked_for_most_is_there_after_a_restart(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    w = warm(forebay, origin, "top: 2")
    for target, times in ("/rare", 2), ("/often", 6), ("/most", 9):
        for _ in range(times):
            w.get(target, **SITE)

    w.restart()
    w.wait_log(r"of 2 pages 2 fetched")

    assert words(w, "/most", "/often", "/rare") == ["HIT", "HIT", "MISS"]


def test_a_run_keeps_to_its_rate_and_number(origin, forebay, clock):
    with origin.on("GET /*").reply(200, "page", **PAGE).hold():
        w = warm(forebay, origin, "urls: [/1, /2, /3, /4, /5], concurrency: 2")
        wait_until(lambda: origin.count("GET /*") == 2, "two visits")
        clock.advance(10)
        assert origin.count("GET /*") == 2, "no third while two are under way"
    w.wait_log("warming done .* 5 fetched")


def test_a_run_ends_when_its_time_is_over(origin, forebay, clock):
    with origin.on("GET /*").reply(200, "page", **PAGE).hold():
        w = warm(forebay, origin, "urls: [/1, /2, /3], concurrency: 1, time: 10s")
        wait_until(lambda: origin.count("GET /*") == 1, "a visit")
        clock.advance(11)
        w.wait_log("warming out_of_time")


def test_a_stop_does_not_wait_for_the_run(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    w = warm(forebay, origin, f"urls: [{', '.join(f'/{i}' for i in range(500))}], rate: 10")
    wait_until(lambda: origin.count("GET /*") > 0, "the first visit")

    w.stop()

    assert "warming stopped" in w.log


@pytest.mark.parametrize("what, error", [
    ("urls: [/a]", 'urls: "/a" needs a base'),
    ('base: "www.a.test", urls: [/a]', "does not begin with http:// or https://"),
    ("urls: [a]", 'urls: "a" is neither a path nor begins with http'),
])
def test_addresses_that_name_nothing_are_refused(origin, forebay, what, error):
    w = forebay(f"cache: {{warm: {{{what}}}}}", app=origin, start=False)

    assert error in w.cli("check", check=1).stderr


def test_what_could_not_be_asked_for_in_time_is_not_made_up_for(origin, forebay, clock):
    with origin.on("GET /*").reply(200, "page", **PAGE).hold():
        warm(forebay, origin, f"urls: [{', '.join(f'/{i}' for i in range(50))}], concurrency: 1, rate: 2")
        wait_until(lambda: origin.count("GET /*") == 1, "the first visit")
        clock.advance(20)
        began = time.monotonic()
    wait_until(lambda: origin.count("GET /*") >= 4, "three more")
    assert time.monotonic() - began > 0.8, "two a second"
    asked = origin.count("GET /*")
    assert asked <= 2 + (time.monotonic() - began) / 0.48, "one that was due, and two a second; timers may be 20 ms late"


def test_a_reload_does_not_put_the_next_run_off(origin, forebay, clock):
    origin.on("GET /a").reply(200, "page", **PAGE)
    w = warm(forebay, origin, "urls: [/a], every: 1h, at_start: no")
    w.wait_log("serves with")                                       # the first hour has begun
    for _ in range(3):
        clock.advance(1250)
        w.reload()
    w.wait_log("warming done .* 1 fetched")


def test_a_long_sitemap_is_read_to_its_end(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    origin.on("GET /sitemap.xml").reply(200, urlset(*(f"http://elsewhere.test/{i:0100}" for i in range(40000)), "/last"), **XML)
    w = warm(forebay, origin, "sitemaps: [/sitemap.xml]")
    w.wait_log("warming done .*of 1 pages 1 fetched", 40)
    assert words(w, "/last") == ["HIT"]


@pytest.mark.parametrize("bomb, says", [
    (gzip.compress(b"<urlset>" + b" " * (20 << 20)), "it unfolds to more than 200 times its size"),
    (b"<a>" * 100000, "its elements lie more than 32 deep in one another"),
    (b"<urlset><!--" + b"-x" * 500000, "a tag or comment of it is longer than 64 KiB"),
], ids=["gzip", "depth", "comment"])
def test_a_sitemap_that_costs_more_than_it_is_worth_is_left(origin, forebay, bomb, says):
    origin.on("GET /sitemap.xml").reply(200, bomb, **XML)
    w = warm(forebay, origin, "sitemaps: [/sitemap.xml]")
    w.wait_log(f"last trouble: a sitemap is of no use: {says}", 40)


@pytest.mark.parametrize("loc", ["/a HTTP/1.1&#13;&#10;X-Forged: 1&#13;&#10;X-Rest:", "/a&#9;HTTP/1.1&#10;X-Forged: 1&#10;X-Rest:",
                                 "http://www.a.test&#13;&#10;X-Forged: 1/a"])
def test_an_address_cannot_say_more_than_an_address(origin, forebay, loc):
    origin.on("GET /*").reply(200, "page", **PAGE)
    origin.on("GET /sitemap.xml").reply(200, urlset(loc, "/b"), **XML)
    w = warm(forebay, origin, "sitemaps: [/sitemap.xml]")
    w.wait_log("warming done")
    assert [r.target for r in origin.requests] == ["/sitemap.xml", "/b"]
