"""One path for the route, the key and the upstream, however it is spelt: nobody walks around a rule."""

import pytest

pytestmark = pytest.mark.smoke

GUARDED = """
    routes:
      - {match: /admin/**, respond: {status: 403}}
      - match: /**
"""


@pytest.fixture
def echoing(origin):
    def echo(exchange):
        exchange.head(200, [("Content-Length", len(exchange.request.target)), ("Cache-Control", "max-age=60")])
        exchange.send(exchange.request.target)
    origin.on("*").do(echo)
    return origin


@pytest.mark.parametrize("path", [
    "/admin", "/admin/", "/admin/x", "/%61dmin/x", "/%61%64%6D%69%6E/x", "/./admin/x", "/a/../admin/x", "/a/%2e%2e/admin/x",
    "/a/%2E%2e/admin/x", "/a/.%2e/admin/x", "/%2e/admin/x", "/a/b/../../admin/x", "/x/..//../admin",
    "/admin/../admin/x", "/admin?x", "/admin/%2e", "http://a.test/%61dmin/x"])
def test_another_spelling_is_no_way_around_a_route(echoing, forebay, path):
    w1 = forebay(GUARDED, app=echoing)
    w1.get(path).expect(403)
    assert echoing.count() == 0


@pytest.mark.parametrize("path", ["/..", "/../admin/x", "/../../admin", "/a/../../admin", "/%2e%2e/admin"])
def test_a_path_that_climbs_above_the_root_is_refused(echoing, forebay, path):
    forebay(GUARDED, app=echoing).get(path).expect(400)
    assert echoing.count() == 0


@pytest.mark.parametrize("path, seen", [
    ("/a/../b", "/b"), ("/a/./b", "/a/b"), ("/a/%2e%2e/b", "/b"), ("/a%2fb", "/a%2Fb"), ("/a//b", "/a//b"), ("//a", "//a"),
    ("/%7Euser", "/~user"), ("/%c3%a9", "/%C3%A9"), ("/a/b/..", "/a/"), ("/a/.", "/a/"),
    ("/a%2f..%2fadmin", "/a%2F..%2Fadmin"), ("//admin/x", "//admin/x"), ("/%2fadmin/x", "/%2Fadmin/x"), ("/admin%2fx", "/admin%2Fx"),
    ("/a;b=1/c", "/a;b=1/c"), ("/a?b=%2e%2e/../c", "/a?b=%2e%2e/../c"), ("/a?", "/a?"), ("/%25%36%31dmin", "/%2561dmin")])
def test_the_upstream_sees_the_path_the_route_was_chosen_by(echoing, forebay, path, seen):
    forebay(GUARDED, app=echoing).get(path).expect(200, seen)


@pytest.mark.parametrize("path", ["/%", "/%4", "/%zz", "/a%00b", "/a%c0%ae%c0%ae/b"])
def test_what_is_no_encoding_is_refused_or_left_alone(echoing, forebay, path):
    r = forebay(GUARDED, app=echoing).get(path)
    assert r.status == 400 or r.text.lower() == path.lower(), r


@pytest.mark.parametrize("target", ["admin/x", "*", "http:/admin", "?x", "#a", "/a#b", "http://", "http://@/x", "ftp://a.test/x",
                                    "http://a:b@a.test/x", "\\admin", "/a\\..\\admin"])
def test_an_odd_target_is_refused(echoing, forebay, target):
    c1 = forebay(GUARDED, app=echoing).client()
    r = c1.send(f"GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode()).answer()
    assert r.status == 400 or (target.startswith("/a\\") and r.text in ("/a%5C..%5Cadmin", target)), r


def test_two_spellings_of_one_path_are_one_object(echoing, forebay):
    w1 = forebay(GUARDED, app=echoing)
    w1.get("/%7euser/./a").expect(200, x_cache_status="MISS")
    w1.get("/~user/a").expect(200, "/~user/a", x_cache_status="HIT")
    w1.get("/~user/b/../a").expect(200, x_cache_status="HIT")
    w1.get("/~user//a").expect(200, x_cache_status="MISS")
    w1.get("/~user%2fa").expect(200, x_cache_status="MISS")


def test_a_prefix_to_strip_is_met_in_normal_form(echoing, forebay):
    w1 = forebay("routes: [{match: /api/**, strip_prefix: /api}]", app=echoing)
    w1.get("/x/../%61pi/%2e/b").expect(200, "/b")
    w1.get("/api/../api//b").expect(200, "//b")
