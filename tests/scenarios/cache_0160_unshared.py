"""What is not for everybody: the client's own conditions reach the origin, which may answer with less."""


def test_a_private_page_is_validated_by_its_reader(origin, forebay):
    rule = origin.on("GET /me").reply(200, "mine", cache_control="private, max-age=60", etag='"m1"')
    w1 = forebay(app=origin)

    w1.get("/me").expect(200, "mine", x_cache_status="MISS")
    rule.reply(304, etag='"m1"')
    r = w1.get("/me", if_none_match='"m1"')
    r.expect(304, x_cache_status="MISS")
    assert r.body == b""
    assert origin.last().headers.get("If-None-Match") == '"m1"'


def test_what_was_coded_once_stays_coded_when_it_is_renewed(origin, forebay, clock):
    page = "spring flood " * 400
    rule = origin.on("GET /page").reply(200, page, content_type="text/plain", cache_control="max-age=10", etag='"p1"')
    w1 = forebay("workers: 1", app=origin)

    for _ in range(3):
        w1.get("/page", accept_encoding="gzip").expect(200)
    before = w1.metric("forebay_compressed_total")
    rule.reply(304, etag='"p1"', cache_control="max-age=10")
    clock.advance(11)
    w1.get("/page", accept_encoding="gzip").expect(200, x_cache_status="REVALIDATED")
    w1.get("/page", accept_encoding="gzip").expect(200, x_cache_status="HIT")
    assert w1.metric("forebay_compressed_total") == before


def test_the_head_of_a_page_not_kept_tells_of_the_form_get_would_have(origin, forebay):
    page = "spring flood " * 400
    for method in ("GET", "HEAD"):
        origin.on(f"{method} /page").reply(200, page if method == "GET" else "", content_type="text/plain",
                                           cache_control="no-store", content_length=str(len(page)))
    w1 = forebay(app=origin)

    got, told = (w1.request(m, "/page", accept_encoding="gzip") for m in ("GET", "HEAD"))
    assert got.headers.get("Content-Encoding") == told.headers.get("Content-Encoding") == "gzip"
    assert got.headers.get("Vary") == told.headers.get("Vary")
