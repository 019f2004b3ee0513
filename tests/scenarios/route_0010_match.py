"""Which route a request takes: the first that matches, in all that it says."""

import pytest

pytestmark = pytest.mark.smoke


def answer(daemon, method, path, **words):
    """What a route of fixed answers said: its body, or the status where none did."""
    r = daemon.request(method, path, **words)
    return r.text if r.status == 200 else r.headers.get("Location") or r.status


def test_the_first_match_wins(forebay):
    w1 = forebay("""
        routes:
          - {match: /a/b, respond: {body: literal}}
          - {match: "/a/{x}", respond: {body: segment}}
          - {match: /a/**, respond: {body: rest}}
          - {match: /**, respond: {body: all}}
    """)
    assert [answer(w1, "GET", path) for path in ("/a/b", "/a/c", "/a/b/c", "/a/b/", "/a/", "/a", "/ab", "/")] == [
        "literal", "segment", "rest", "rest", "rest", "rest", "all", "all"]


def test_a_name_stands_for_one_segment_and_is_at_hand(forebay):
    w1 = forebay("""
        routes:
          - {match: "/users/{id}/posts/{post}", redirect: {to: "/{post}-of-{id}"}}
    """)
    assert answer(w1, "GET", "/users/7/posts/a%20b") == "/a%20b-of-7"
    for path in ("/users/7/posts/", "/users//posts/1", "/users/7/posts/1/2", "/users/7/8/posts/1"):
        assert answer(w1, "GET", path) == 404, path
    assert answer(w1, "GET", "/users/7%2F8/posts/1") == "/1-of-7%2F8"


def test_a_regular_expression_takes_the_whole_path_and_captures(forebay):
    w1 = forebay(r"""
        routes:
          - match: {path_regex: "/(?<year>[0-9]{4})/(?<name>[a-z-]+)\\.html"}
            redirect: {to: "/{name}-of-{year}"}
          - {match: /**, respond: {status: 404}}
    """)
    assert answer(w1, "GET", "/2026/spring-flood.html") == "/spring-flood-of-2026"
    for path in ("/x/2026/a.html", "/2026/a.html.bak", "/2026/A.html"):
        assert answer(w1, "GET", path) == 404, path


def test_a_regular_expression_that_runs_wild_costs_no_time(forebay):
    w1 = forebay("""
        routes:
          - match: {path_regex: "/(a+)+b"}
            respond: {body: matched}
          - {match: /**, respond: {body: other}}
    """)
    assert answer(w1, "GET", "/" + "a" * 4000) == "other"
    assert answer(w1, "GET", "/aaab") == "matched"


def test_methods_choose_and_get_means_head_too(forebay):
    w1 = forebay("""
        routes:
          - {match: GET /page, respond: {body: read}}
          - {match: PUT|PATCH /page, respond: {body: changed}}
          - {match: {path: /page, methods: [DELETE, REPORT]}, respond: {body: gone}}
          - {match: /page, respond: {body: other}}
    """)
    assert [answer(w1, m, "/page") for m in ("GET", "PUT", "PATCH", "DELETE", "REPORT", "POST", "get", "OPTIONS")] == [
        "read", "changed", "changed", "gone", "gone", "other", "other", "other"]
    w1.head("/page").expect(200, b"", content_length="4")


def test_hosts_choose_without_port_and_case(forebay):
    w1 = forebay("""
        routes:
          - {match: {path: /**, hosts: [example.com, www.example.com]}, respond: {body: main}}
          - {match: {path: /**, hosts: ["*.example.com"]}, respond: {body: wild}}
          - {match: /**, respond: {body: rest}}
    """)
    for host, said in {"example.com": "main", "WWW.Example.COM": "main", "example.com:8080": "main", "a.example.com": "wild",
                       "a.b.example.com:1": "wild", "example.com.evil.test": "rest", "xexample.com": "rest",
                       ".example.com": 400, "example.com.": "main"}.items():
        assert answer(w1, "GET", "/", host=host) in ((said,) if host != ".example.com" else (400, "rest")), host


def test_fields_of_the_request_choose(forebay):
    w1 = forebay("""
        routes:
          - match: {path: /**, headers: {x-beta: "*", accept: "~json"}}
            respond: {body: beta-json}
          - match: {path: /**, headers: {X-Version: "2"}}
            respond: {body: two}
          - {match: /**, respond: {body: rest}}
    """)
    assert answer(w1, "GET", "/", x_beta="", accept="text/html, application/json;q=0.5") == "beta-json"
    assert answer(w1, "GET", "/", x_beta="1", accept="text/html") == "rest"
    assert answer(w1, "GET", "/", x_version="2") == "two"
    assert answer(w1, "GET", "/", x_version="22") == "rest"
    assert answer(w1, "GET", "/", headers=[("x-version", "1"), ("x-version", "2")]) == "two"


def test_what_no_route_takes_is_404(origin, forebay):
    w1 = forebay("routes: [{match: GET /only}]", app=origin)
    w1.get("/other").expect(404, x_cache_status="BYPASS", content_type="application/problem+json")
    w1.get("/other", accept="text/html").expect(404, content_type="text/html; charset=utf-8")
    w1.get("/only/more").expect(404)
    assert origin.count() == 0


def test_a_method_that_no_route_of_the_path_takes_is_405_and_says_which_do(origin, forebay):
    w1 = forebay("""
        routes:
          - match: GET|POST /items
          - {match: {path: /items, methods: [PUT]}}
          - match: DELETE /items/{id}
    """, app=origin)
    r = w1.request("DELETE", "/items").expect(405, content_type="application/problem+json")
    assert set(r.headers.list("Allow")) == {"GET", "HEAD", "POST", "PUT"}
    assert w1.get("/items/1").expect(405).headers["Allow"] == "DELETE"
    w1.get("/elsewhere").expect(404, allow=None)
    assert origin.count() == 0


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_methods_that_are_no_proxys_business_are_refused(origin, forebay, method):
    c1 = forebay(app=origin).client()
    target = "a.test:443" if method == "CONNECT" else "/"
    r = c1.send(f"{method} {target} HTTP/1.1\r\nHost: a.test:443\r\n\r\n".encode()).answer()
    assert r.status in (400, 405, 501) and origin.count() == 0
