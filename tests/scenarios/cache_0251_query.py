"""QUERY (RFC 10008): asked by its content as GET is by its URL; the answer is kept for the same content, and for no other."""

import re

import pytest


@pytest.fixture
def search(origin):
    """Each answer says what was asked, and how often the origin was."""
    def play(exchange):
        asked = exchange.read_body()
        text = f"{asked.decode()} as {exchange.request.headers.get('Content-Type', '-')}"
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=60"), ("ETag", f'"{len(asked)}"'),
                            ("Accept-Query", '"application/sql"'), ("Content-Location", "/results/1"), ("Location", "/queries/1")])
        exchange.send(text)
    origin.on("QUERY /search").do(play)
    return origin


def query(w1, content, headers=(), **words):
    return w1.request("QUERY", "/search", content, headers, **{"content_type": "application/sql", **words})


def test_the_same_content_is_asked_once(search, forebay):
    w1 = forebay(app=search)
    query(w1, "a").expect(200, "a as application/sql", x_cache_status="MISS", accept_query='"application/sql"', content_location="/results/1", location="/queries/1")
    query(w1, "a").expect(200, "a as application/sql", x_cache_status="HIT", accept_query='"application/sql"')
    query(w1, "b").expect(200, "b as application/sql", x_cache_status="MISS")
    assert [r.text for r in search.requests] == ["a", "b"]
    assert all(r.headers["content-length"] == "1" for r in search.requests)


def test_what_the_content_is_counts_too(search, forebay):
    w1 = forebay(app=search)
    words = [query(w1, "a", **fields).cache_status for fields in (
        {}, dict(content_type="text/plain"), dict(content_encoding="gzip"), dict(content_language="de"), dict(content_type="text/plain"))]
    assert words == ["MISS", "MISS", "MISS", "MISS", "HIT"]


def test_how_a_client_writes_names_of_fields_does_not_count(search, forebay):
    w1 = forebay(app=search)
    for name, word in ("Content-Type", "MISS"), ("content-type", "HIT"):
        w1.request("QUERY", "/search", "a", [(name, "text/plain")]).expect(200, x_cache_status=word)


def test_it_is_none_of_get_and_of_other_urls(search, forebay):
    search.on("GET /search").reply(200, "page", cache_control="max-age=60")
    w1 = forebay(app=search)
    query(w1, "a").expect(200, x_cache_status="MISS")
    w1.get("/search").expect(200, "page", x_cache_status="MISS")
    w1.request("QUERY", "/search?x", "a", content_type="application/sql").expect(200, x_cache_status="MISS")
    query(w1, "a").expect(200, x_cache_status="HIT")


def test_chunked_content_and_expect_are_collected_as_well(search, forebay):
    w1 = forebay(app=search)
    query(w1, "abc").expect(200, x_cache_status="MISS")
    w1.request("QUERY", "/search", "abc", chunked=True, content_type="application/sql").expect(200, "abc as application/sql", x_cache_status="HIT")
    with w1.client() as c1:
        c1.send(b"QUERY /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/sql\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        c1.read_until(b"100 Continue\r\n\r\n")
        c1.send(b"abc")
        assert b"200 OK" in c1.read_until(b"abc as application/sql")


def test_content_that_comes_slowly_is_waited_for(search, forebay):
    w1 = forebay(app=search)
    with w1.client() as c1:
        c1.send(b"QUERY /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/sql\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        query(w1, "ab").expect(200, x_cache_status="MISS")
        assert search.count() == 1
        c1.send(b"1\r\nb\r\n0\r\n\r\n")
        c1.read_until(b"ab as application/sql")


@pytest.mark.parametrize("chunked", [False, True])
def test_much_content_passes_whole(search, forebay, chunked):
    w1 = forebay(app=search)
    content = "0123456789" * 20000
    for _ in range(2):
        w1.request("QUERY", "/search", content, chunked=chunked, content_type="text/plain").expect(200, content + " as text/plain", x_cache_status="BYPASS")
    assert search.count() == 2


def test_malformed_content_is_refused(search, forebay):
    w1 = forebay(app=search)
    with w1.client() as c1:
        c1.send(b"QUERY /search HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert b" 400 " in c1.read_until(b"\r\n")
    assert search.count() == 0


def test_a_conditional_query(search, forebay):
    w1 = forebay(app=search)
    query(w1, "ab").expect(200, etag=re.compile('"2"'))
    query(w1, "ab", if_none_match='"2"').expect(304, b"")
    query(w1, "ab", if_none_match='"3"').expect(200, "ab as application/sql", x_cache_status="HIT")


def test_a_part_of_the_result(search, forebay):
    w1 = forebay(app=search)
    query(w1, "ab").expect(200)
    query(w1, "ab", range="bytes=0-1").expect(206, "ab", content_range="bytes 0-1/21")


def test_a_stale_answer_is_refreshed_behind_with_the_same_content(origin, forebay, clock):
    origin.on("QUERY /search").reply(200, "old", cache_control="max-age=60, stale-while-revalidate=60").reply(200, "new", cache_control="max-age=60")
    w1 = forebay(app=origin)
    query(w1, "ab").expect(200, "old")
    clock.advance(70)
    query(w1, "ab").expect(200, "old", x_cache_status="STALE")
    origin.wait_asked(2)
    assert origin.requests[-1].text == "ab"


def test_many_at_once_are_one_query(origin, forebay, client):
    rule = origin.on("QUERY /search").reply(200, "found", cache_control="max-age=60")
    w1 = forebay(app=origin)
    clients = [client(w1) for _ in range(5)]
    with rule.hold():
        for c in clients:
            c.ask("QUERY", "/search", "ab", content_type="a/b")
        w1.wait_metric("forebay_flights_total", 4, role="ride")
    assert {c.answer().expect(200).text for c in clients} == {"found"} and origin.count() == 1


def test_who_rode_for_nothing_asks_with_his_own_content(origin, forebay, client):
    rule = origin.on("QUERY /search").reply(200, "mine", cache_control="private")
    w1 = forebay(app=origin)
    clients = [client(w1) for _ in range(3)]
    with rule.hold():
        for c in clients:
            c.ask("QUERY", "/search", "ab", content_type="a/b")
        w1.wait_metric("forebay_flights_total", 2, role="ride")
    assert [c.answer().expect(200).text for c in clients] == 3 * ["mine"]
    assert [r.text for r in origin.requests] == 3 * ["ab"]


def test_a_purge_of_the_url_drops_its_queries(search, forebay):
    search.on("POST /write").reply(200)
    w1 = forebay("routes: [{match: POST /write, purge: {urls: [/search]}}, {match: /**}]", app=search)
    query(w1, "a").expect(200, x_cache_status="MISS")
    w1.post("/write").expect(200)
    query(w1, "a").expect(200, x_cache_status="MISS")


def test_a_query_that_is_told_to_be_passed_on_as_it_comes(search, forebay):
    w1 = forebay(app=search)
    for _ in range(2):
        query(w1, "a", incremental="?1").expect(200, x_cache_status="BYPASS")


def test_a_cookie_guards_a_query_as_it_does_a_get(origin, forebay):
    origin.on("QUERY /search").reply(200, "mine")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 1m}}]", app=origin)
    assert [query(w1, "a", cookie="sid=1").expect(200).cache_status for _ in range(2)] != ["MISS", "HIT"]
    assert [query(w1, "b").expect(200).cache_status for _ in range(2)] == ["MISS", "HIT"]
