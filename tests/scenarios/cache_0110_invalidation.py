"""What an unsafe request has changed is asked for anew (RFC 9111 section 4.4)."""

import pytest


@pytest.fixture
def w1(origin, forebay):
    """/page is stored, and the origin would say something else by now."""
    origin.on("GET /page").reply(200, "old", cache_control="max-age=600").reply(200, "new", cache_control="max-age=600")
    w1 = forebay(app=origin)
    w1.get("/page").expect(200, "old", x_cache_status="MISS")
    return w1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"])
def test_every_unsafe_method_counts_known_or_not(w1, origin, method):
    origin.on(f"{method} /page").reply(200)
    w1.request(method, "/page", "x").expect(200)
    w1.get("/page").expect(200, "new", x_cache_status="MISS")


@pytest.mark.parametrize("status", [404, 409, 500, 503])
def test_what_failed_has_changed_nothing(w1, origin, status):
    origin.on("POST /page").reply(status)
    w1.post("/page", "x").expect(status)
    w1.get("/page").expect(200, "old", x_cache_status="HIT")


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "HEAD"])
def test_a_safe_method_changes_nothing(w1, origin, method):
    if method == "OPTIONS":
        origin.on("OPTIONS /page").reply(200)
    w1.request(method, "/page").expect(200)
    w1.get("/page").expect(200, "old", x_cache_status="HIT")


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("value", ["/page", "http://{host}/page", "http://{HOST}/page", "/x/../%70age", "page", "./page#top", "?"])
def test_what_the_answer_names_is_changed_too(origin, forebay, field, value):
    target = "/page?" if value == "?" else "/page"
    origin.on(f"GET {target}").reply(200, "old", cache_control="max-age=600").reply(200, "new", cache_control="max-age=600")
    w1 = forebay(app=origin)
    w1.get(target, host="site.test").expect(200, "old")
    path = "/page" if value == "?" else "/all"
    origin.on(f"POST {path}").reply(201, headers=[(field, value.format(host="site.test", HOST="SITE.test:80"))])
    w1.post(path, "x", host="site.test").expect(201)
    w1.get(target, host="site.test").expect(200, "new", x_cache_status="MISS")


@pytest.mark.parametrize("value", ["http://other.test/page", "//other.test/page", "http://site.test:81/page", "http://site.test.evil/page"])
def test_nobody_drops_what_another_host_says(origin, forebay, value):
    origin.on("GET /page").reply(200, "old", cache_control="max-age=600")
    origin.on("POST /all").reply(201, location=value)
    w1 = forebay(app=origin)
    hosts = ("site.test", "other.test")
    for host in hosts:
        w1.get("/page", host=host).expect(200, "old")
    w1.post("/all", "x", host="site.test").expect(201)
    for host in hosts:
        w1.get("/page", host=host).expect(200, "old", x_cache_status="HIT")


def test_a_parameter_that_is_not_in_the_key_does_not_hide_what_changed(origin, forebay):
    origin.on("GET /page").reply(200, "old", cache_control="max-age=600").reply(200, "new", cache_control="max-age=600")
    origin.on("POST /page").reply(204)
    w1 = forebay("cache: {query: {drop: [utm_source]}}", app=origin)
    w1.get("/page?id=1").expect(200, "old")
    w1.post("/page?utm_source=mail&id=1", "x").expect(204)
    w1.get("/page?id=1").expect(200, "new")


def test_it_holds_for_every_variant(origin, forebay):
    def speak(exchange):
        text = f"{exchange.request.headers['Accept-Language']} {origin.count('GET /page')}"
        exchange.head(200, [("Content-Length", len(text)), ("Vary", "Accept-Language"), ("Cache-Control", "max-age=600")])
        exchange.send(text)
    origin.on("GET /page").do(speak)
    origin.on("POST /page").reply(200)
    w1 = forebay(app=origin)
    for language in ("de", "fr"):
        w1.get("/page", accept_language=language)
    w1.post("/page", "x").expect(200)
    for language in ("de", "fr"):
        w1.get("/page", accept_language=language).expect(200, x_cache_status="MISS")
