"""Bodies travel in the coding the client likes best."""

import re

import pytest

from stage.client import ABSENT
from stage.coding import decoded

TEXT = "".join(f"line {n} of a text that is worth compressing\n" for n in range(200))


@pytest.fixture
def site(origin, forebay):
    for name, kind in (("text", "text/plain; charset=utf-8"), ("json", "application/json"), ("problem", "application/problem+json"),
                       ("svg", "image/svg+xml"), ("js", "text/javascript"), ("jpeg", "image/jpeg"), ("zip", "application/zip")):
        origin.on(f"GET /{name}").reply(200, TEXT, content_type=kind, cache_control="max-age=60", etag='"7"')
    origin.on("GET /none").reply(200, TEXT, cache_control="max-age=60")
    origin.on("GET /short").reply(200, "short", content_type="text/plain", cache_control="max-age=60")
    origin.on("GET /pass").reply(200, TEXT, content_type="text/plain", cache_control="no-store")
    origin.on("HEAD /new").reply(200, content_type="text/plain", content_length=len(TEXT), cache_control="max-age=60")
    return forebay(app=origin)


@pytest.mark.parametrize("accepted, coding", [
    ("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("br;q=0.5, gzip;q=0.9", "gzip"), ("gzip;q=0.001", "gzip"), ("x-gzip", "gzip"), ("GZIP", "gzip"),
    ("gzip;q=0, br;q=0", ABSENT), ("gzip, deflate, br", "br"), ("identity", ABSENT), ("", ABSENT), (None, ABSENT), ("deflate, x-zstd", ABSENT), ("zstd", "zstd"), ("deflate, zstd;q=0.2", "zstd"),
    ("gzip, zstd", "zstd"), ("zstd;q=0, gzip", "gzip"), ("br;q=0.3, zstd;q=0.4, gzip;q=0.2", "zstd"),
    ("gzip;q=0.5, identity;q=0.6", ABSENT), ("gzip;q=0", ABSENT), ("identity;q=0, gzip", "gzip"), ("gzip;q=1.5", re.compile("gzip|^$")),
    ("gzipped", ABSENT),
])
@pytest.mark.parametrize("target", ["/text", "/pass"])
def test_what_the_client_takes(site, target, accepted, coding):
    r = site.get(target, [("Accept-Encoding", accepted)] if accepted is not None else [])
    if isinstance(coding, re.Pattern):
        assert r.headers.get("Content-Encoding") in (None, "gzip")
    else:
        r.expect(200, content_encoding=coding)
    assert decoded(r).decode() == TEXT
    assert r.headers.list("Vary") == ["Accept-Encoding"]
    if "Content-Encoding" in r.headers:
        assert len(r.body) < len(TEXT) / 2


@pytest.mark.parametrize("accepted", ["gzip, deflate, br, zstd", "*", "*;q=0.1, gzip;q=0"])
def test_who_takes_all_alike_gets_brotli_of_what_is_kept_and_zstd_of_what_is_made_anew_for_each(site, accepted):
    for _ in range(2):
        for target, coding in (("/text", "br"), ("/pass", "zstd")):
            r = site.get(target, accept_encoding=accepted).expect(200, content_encoding=coding)
            assert decoded(r).decode() == TEXT and r.headers.list("Vary") == ["Accept-Encoding"]
    for target in ("/text", "/new"):                                 # a HEAD of what a GET would store
        site.head(target, accept_encoding=accepted).expect(200, content_encoding="br")


def test_the_zstd_of_a_stored_text_is_kept_and_its_entity_tag_is_weak(site, origin):
    first = site.get("/text", accept_encoding="zstd").expect(200, content_encoding="zstd", etag='W/"7"', x_cache_status="MISS")
    kept = site.get("/text", accept_encoding="zstd").expect(200, first.body, etag='W/"7"', content_length=len(first.body), x_cache_status="HIT")
    assert decoded(kept).decode() == TEXT
    site.get("/text", accept_encoding="zstd", if_none_match='W/"7"').expect(304)
    site.get("/text", accept_encoding="zstd", range="bytes=0-3").expect(206, TEXT[:4], content_encoding=ABSENT, etag='"7"')
    assert origin.count() == 1


@pytest.mark.parametrize("target, coded", [("/json", True), ("/problem", True), ("/svg", True), ("/js", True), ("/jpeg", False), ("/zip", False),
                                           ("/none", False), ("/short", False)])
def test_what_is_worth_it(site, target, coded):
    r = site.get(target, accept_encoding="gzip")
    assert ("Content-Encoding" in r.headers) == coded
    if not coded:
        r.expect(200, "short" if target == "/short" else TEXT, content_length=len(r.body))


def test_the_route_says_what_and_how(origin, forebay):
    origin.on("/*").reply(200, TEXT[:600], content_type="application/x-mine")
    w1 = forebay("""
        compression: {encodings: [gzip, br], min_size: 500B, types: [application/x-mine]}
        routes:
          - {match: /off, compression: off}
          - {match: /more, compression: {min_size: 1KiB}}
          - {match: /br, compression: br}
          - {match: /**}
    """, app=origin)
    both = {"accept_encoding": "br, gzip"}
    w1.get("/x", **both).expect(200, content_encoding="gzip")
    w1.get("/off", **both).expect(200, TEXT[:600], content_encoding=ABSENT, vary=ABSENT)
    w1.get("/more", **both).expect(200, content_encoding=ABSENT)
    w1.get("/br", **both).expect(200, content_encoding="br")
    w1.get("/br", accept_encoding="gzip").expect(200, content_encoding=ABSENT)


def test_no_transform_is_heard(origin, forebay):
    origin.on("GET /text").reply(200, TEXT, content_type="text/plain", cache_control="max-age=60, no-transform", etag='"7"')
    w1 = forebay(app=origin)
    for _ in range(2):
        w1.get("/text", accept_encoding="gzip").expect(200, TEXT, content_encoding=ABSENT, etag='"7"')


@pytest.mark.parametrize("said", ["Accept-Encoding", "accept-encoding", "Accept-Language", "Accept-Language, Accept-Encoding", "Origin,Accept-Encoding,"])
def test_vary_says_it_once(origin, forebay, said):
    origin.on("GET /text").reply(200, TEXT, content_type="text/plain", cache_control="max-age=60", vary=said)
    w1 = forebay(app=origin)
    for coding in ("gzip", None, "br"):
        names = [name.lower() for name in w1.get("/text", accept_encoding=coding).expect(200).headers.list("Vary")]
        assert names.count("accept-encoding") == 1 and len(names) == len(set(names))
        assert {name.strip().lower() for name in said.split(",") if name.strip()} <= set(names)


def test_the_etag_of_a_coded_body_is_weak(site):
    site.get("/text").expect(200, etag='"7"')
    site.get("/text", accept_encoding="gzip").expect(200, etag='W/"7"', accept_ranges=ABSENT)
    for asked in ('W/"7"', '"7"'):
        for coding in ("gzip", "br", None):
            r = site.get("/text", accept_encoding=coding, if_none_match=asked).expect(304, b"", content_encoding=ABSENT)
            assert r.headers["etag"].removeprefix("W/") == '"7"' and r.headers.list("Vary") == ["Accept-Encoding"]


def test_ranges_are_of_the_plain_body(site):
    site.get("/text").expect(200, TEXT)
    site.get("/text", accept_encoding="gzip, br", range="bytes=0-9").expect(206, TEXT[:10], content_encoding=ABSENT, etag='"7"')
    site.get("/text", accept_encoding="gzip", range="bytes=0-9", if_range='W/"7"').expect(200)


def test_a_head_says_what_the_get_would(site):
    for coding in ("gzip", "br", None):
        got = site.get("/text", accept_encoding=coding).expect(200)
        head = site.head("/text", accept_encoding=coding).expect(200, b"")
        for name in ("Content-Encoding", "Vary", "ETag", "Content-Type"):
            assert head.headers.get(name) == got.headers.get(name)
        assert head.headers.get("Content-Length") in (None, str(len(got.body)))


def test_an_old_client_is_sent_a_coded_body_to_the_end(site):
    with site.client() as c:
        r = c.request("GET", "/pass", version="HTTP/1.0", headers=[("Accept-Encoding", "gzip")]).expect(200, content_encoding="gzip")
        assert decoded(r).decode() == TEXT and "Transfer-Encoding" not in r.headers


@pytest.mark.parametrize("status", [404, 500, 203])
def test_errors_are_coded_too(origin, forebay, status):
    origin.on("GET /x").reply(status, TEXT, content_type="text/html")
    w1 = forebay(app=origin)
    assert decoded(w1.get("/x", accept_encoding="br").expect(status, content_encoding="br")).decode() == TEXT


def test_a_part_from_the_origin_is_left_alone(origin, forebay):
    origin.on("GET /x").reply(206, TEXT[:500], content_type="text/plain", content_range=f"bytes 0-499/{len(TEXT)}")
    w1 = forebay("routes: [{match: /**, cache: off}]", app=origin)
    w1.get("/x", accept_encoding="gzip", range="bytes=0-499").expect(206, TEXT[:500], content_encoding=ABSENT)
