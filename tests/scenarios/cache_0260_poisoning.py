"""What attackers try on caches: to have others served what they made (poisoning), or to read what others were served (deception)."""

import pytest

FILES = r"""
    routes:
      - {match: {path_regex: '.*[.](css|js|png|ico|woff2)'}, cache: {ttl: 1d, cookies: ignore}}
      - {match: /**}
"""


def reflecting(origin, *fields):
    """An application that puts what it is told into its pages."""
    def play(exchange):
        request = exchange.request
        text = " ".join([request.target, *(request.headers.get(name, "-") for name in fields), exchange.read_body().decode()])
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=60")])
        exchange.send(text)
    origin.on("/*").do(play)
    return origin


def test_a_get_with_a_body_reaches_nobody_else(origin, forebay):
    w1 = forebay(app=reflecting(origin))
    assert "evil" in w1.request("GET", "/page", "q=evil").expect(200, x_cache_status="BYPASS").text
    assert "evil" not in w1.get("/page").expect(200, x_cache_status="MISS").text


def test_a_parameter_cannot_hide_behind_one_that_is_dropped(origin, forebay):
    w1 = forebay("routes: [{match: /**, cache: {ttl: 1m, cookies: ignore}}]", app=reflecting(origin))
    for target in ("/page?utm_content=x;q=evil", "/page?utm_content=1&q=evil", "/page?q=evil&utm_content=1", "/page?utm_content=1;&q=evil"):
        assert "evil" in w1.get(target).expect(200).text
    assert "evil" not in w1.get("/page").expect(200, x_cache_status="MISS").text
    w1.get("/other?utm_content=%3Cscript%3E%26q%3Devil").expect(200, "/other ")                       # gone whole
    w1.get("/other").expect(200, "/other ", x_cache_status="HIT")


def test_a_port_and_a_name_that_is_not_the_hosts_stay_apart(origin, forebay):
    w1 = forebay(app=reflecting(origin, "Host", "X-Forwarded-Host", "Forwarded"))
    assert ":1337" in w1.get("/page", host="site.test:1337").expect(200, x_cache_status="MISS").text
    assert ":1337" not in w1.get("/page", host="site.test").expect(200, x_cache_status="MISS").text
    w1.get("/page", host="SITE.test:80").expect(200, x_cache_status="HIT")
    w1.get("/page", [("Host", "site.test"), ("Host", "evil.test")], host=None).expect(400)


@pytest.mark.parametrize("status", [400, 405, 413, 414, 417, 421, 431])
def test_a_broken_request_is_not_everybodys(origin, forebay, status):
    origin.on("GET /page").reply(status, "what was that?").reply(200, "page")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 1h, cookies: ignore, statuses: {4xx: 10m}}}]", app=origin)
    w1.get("/page", x_oversized="x" * 8000).expect(status)
    w1.get("/page").expect(200, "page", x_cache_status="MISS")


def test_a_missing_page_is_everybodys(origin, forebay):
    origin.on("GET /page").reply(404, "none")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 1h, cookies: ignore, statuses: {4xx: 10m}}}]", app=origin)
    assert [w1.get("/page").expect(404).cache_status for _ in range(2)] == ["MISS", "HIT"]


@pytest.mark.parametrize("path", ["/account/x.css", "/account.php/x.js", "/account;x.png", "/account%3fx.ico", "/account%2fx.woff2"])
def test_a_page_under_the_name_of_a_file_is_not_kept_by_the_route(origin, forebay, path):
    origin.on("GET /*").reply(200, "ada's balance", content_type="text/html")
    w1 = forebay(FILES, app=origin)
    w1.get(path, cookie="sid=ada").expect(200, "ada's balance", x_cache_status="MISS")
    r = w1.get(path).expect(200, x_cache_status="MISS")
    assert "detail=path-type" in r.headers["cache-status"] and origin.count() == 2


def test_a_file_is_kept_by_its_name(origin, forebay):
    origin.on("GET /*").reply(200, "a {}", content_type="text/css")
    w1 = forebay(FILES, app=origin)
    assert [w1.get("/site.css", cookie=f"sid={n}").expect(200).cache_status for n in range(2)] == ["MISS", "HIT"]


def test_a_key_of_what_the_origin_never_sees_is_warned_of(cli, tmp_path):
    path = tmp_path / "forebay.yaml"
    path.write_text("listen: ':8080'\nupstreams: {app: '127.0.0.1:3000'}\nroutes: [{match: /**, cache: {key: {headers: [X-Forwarded-Host]}}}]\n")
    done = cli("check", "-c", path)
    assert done.returncode == 0 and "the origin never sees X-Forwarded-Host" in done.stdout + done.stderr


def test_a_flood_of_variants_stays_small(origin, forebay):
    origin.on("GET /page").reply(200, "x" * 1000, cache_control="max-age=600", vary="X-Flood")
    w1 = forebay("""
        workers: 1
        cache: {memory: 4MiB}
    """, app=origin)
    c1 = w1.client()
    for n in range(2000):
        c1.get("/page", [("X-Flood", str(n))]).expect(200)
    assert 0 < w1.metric("forebay_cache_objects") <= 64
    c1.get("/page", [("X-Flood", "1999")]).expect(200, x_cache_status="HIT")              # the newest stay


def test_a_flood_of_rules_for_queries_stays_small(origin, forebay):
    def play(exchange):
        exchange.head(200, [("Content-Length", 2), ("Cache-Control", "max-age=600"), ("No-Vary-Search", 'params=("a")')])
        exchange.send("ok")
    origin.on("GET /*").do(play)
    w1 = forebay("""
        workers: 1
        cache: {memory: 4MiB}
    """, app=origin)
    c1 = w1.client()
    before = w1.rss_kib()
    for n in range(3000):
        c1.get(f"/{n}?a=1").expect(200)
    assert c1.get("/2999?a=2").cache_status == "HIT"
    assert w1.rss_kib() - before < (12 if not w1.is_sanitized else 200) * 1024
