"""Session affinity: a client goes on with the server it began with, and nobody else learns of it."""

import re

import pytest

SECRET = "a secret of sixteen letters"


@pytest.fixture
def three(origins):
    made = [origins(f"o{n}") for n in (1, 2, 3)]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    return made


def affine(forebay, three, secret=SECRET, routes=({"match": "/**"},), **affinity):
    upstream = {"servers": [str(o) for o in three], "affinity": {"secret": secret, **affinity}}
    return forebay({"upstreams": {"app": upstream}, "routes": list(routes)})


def cookie_of(response):
    return response.headers["Set-Cookie"].partition(";")[0]


def test_a_client_goes_on_with_its_server(three, forebay):
    w1 = affine(forebay, three)
    for _ in range(6):
        first = w1.get("/a").expect(200)
        assert re.fullmatch(r"forebay=[\w-]{22}; Path=/; HttpOnly; SameSite=Lax", first.headers["Set-Cookie"])
        for _ in range(5):
            again = w1.get("/a", cookie=f"x=1; {cookie_of(first)}; y=2").expect(200, first.text)
            assert "Set-Cookie" not in again.headers
    assert {w1.get("/a").text for _ in range(3)} == {"o1", "o2", "o3"}


def test_the_origin_does_not_see_the_cookie(three, forebay):
    w1 = affine(forebay, three[:1])
    cookie = cookie_of(w1.get("/a"))
    w1.get("/a", cookie=f"x=1; {cookie}; y=2")
    assert three[0].last().headers.all("Cookie") == ["x=1; y=2"]
    w1.get("/a", cookie=cookie)
    assert "Cookie" not in three[0].last().headers


def test_a_server_that_is_gone_is_replaced(three, forebay):
    w1 = affine(forebay, three)
    first = w1.get("/a")
    next(o for o in three if o.name == first.text).refuse()
    moved = w1.get("/a", cookie=cookie_of(first)).expect(200)
    assert moved.text != first.text and cookie_of(moved) != cookie_of(first)
    assert w1.get("/a", cookie=cookie_of(moved)).text == moved.text


def test_a_session_outlives_reloads_also_those_that_change_the_upstream(three, forebay):
    w1 = affine(forebay, three)
    first = w1.get("/a")
    servers = [str(o) for o in three]
    for change in ({}, {"balance": "least_connections"}, {"servers": servers[::-1]}, {"servers": [{"address": o, "weight": 5} for o in servers]}):
        w1.reload({"upstreams": {"app": {"servers": servers, "affinity": {"secret": SECRET}, **change}}})
        for _ in range(4):
            again = w1.get("/a", cookie=cookie_of(first)).expect(200, first.text)
            assert "Set-Cookie" not in again.headers


@pytest.mark.parametrize("value", ["", "x", "A" * 22, "A" * 5000, "127.0.0.1:1"])
def test_a_cookie_that_nobody_signed_binds_to_nobody(three, forebay, value):
    w1 = affine(forebay, three)
    assert {w1.get("/a", cookie=f"forebay={value}").expect(200, set_cookie=re.compile("forebay=")).text for _ in range(3)} \
        == {"o1", "o2", "o3"}


def test_another_secret_makes_other_cookies_and_the_same_one_the_same_in_every_instance(three, forebay):
    w1, w2, w3 = (affine(forebay, three, secret) for secret in (SECRET, SECRET, SECRET[::-1]))
    first = w1.get("/a")
    for _ in range(3):
        assert w2.get("/a", cookie=cookie_of(first)).text == first.text
    assert "Set-Cookie" in w3.get("/a", cookie=cookie_of(first)).headers


def test_what_is_stored_stays_clean_and_is_for_everybody(three, forebay):
    for origin in three:
        origin.on("/page").reply(200, "page", cache_control="max-age=60")
        origin.on("/guess").reply(200, "guess")
    w1 = affine(forebay, three, routes=[{"match": "/guess", "cache": {"ttl": "1m"}}, {"match": "/**"}])
    cookie = cookie_of(w1.get("/a"))
    for target in ("/page", "/guess"):
        assert "Set-Cookie" not in w1.get(target).expect(200, x_cache_status="MISS").headers
        for headers in ({}, {"cookie": cookie}):                # ours is no cookie that could make an answer personal
            assert "Set-Cookie" not in w1.get(target, **headers).expect(200, x_cache_status="HIT").headers
        w1.get(target, cookie="session=1").expect(200, x_cache_status="HIT" if target == "/page" else "BYPASS")


def test_its_attributes_are_as_configured(three, forebay):
    w1 = affine(forebay, three, cookie="server", life="1h", same_site="none", secure="on")
    assert re.fullmatch(r"server=[\w-]{22}; Path=/; HttpOnly; SameSite=None; Secure; Max-Age=3600", w1.get("/a").headers["Set-Cookie"])


def test_what_no_browser_would_take_is_refused(cli, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text('listen: ":8080"\nupstreams:\n  app:\n    servers: h:1\n    affinity: {cookie: "a b", secret: short, same_site: none, secure: off}\n'
                    "routes: [{match: /**}]\n")
    told = cli("check", "-c", path).stderr
    assert "site.yaml:5:" in told and "16" in told and "short" not in told.replace("too short", "").replace("shorter", "")
    path.write_text(path.read_text().replace("short", "long enough for a secret"))
    told = cli("check", "-c", path).stderr
    assert "no cookie's name" in told and "SameSite=None" in told
