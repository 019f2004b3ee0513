"""What a route does: ask one of several upstreams, answer, send elsewhere, change the path."""

import pytest

pytestmark = pytest.mark.smoke


def echo(exchange):
    text = f"{exchange.origin.name} {exchange.request.method} {exchange.request.target}"
    exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "no-store")])
    if exchange.request.method != "HEAD":
        exchange.send(text)


@pytest.fixture
def echoing(origins):
    def make(name):
        member = origins(name)
        member.on("/*").do(echo)
        return member
    return make


def test_each_route_asks_its_upstream(echoing, forebay):
    w1 = forebay("""
        routes:
          - {match: /api/**, upstream: api}
          - {match: {path: /**, hosts: [files.test]}, upstream: files}
          - {match: /**, upstream: app}
    """, api=echoing("api"), files=echoing("files"), app=echoing("app"))
    w1.get("/api/1").expect(200, "api GET /api/1")
    w1.get("/1", host="files.test").expect(200, "files GET /1")
    w1.get("/1").expect(200, "app GET /1")


def test_a_fixed_answer(forebay):
    w1 = forebay("""
        routes:
          - {match: /gone, respond: {status: 410}}
          - {match: /json, respond: {body: '{"a":1}', content_type: application/json}}
          - {match: /empty, respond: {status: 204}}
          - {match: /**, respond: {status: 404, body: nothing here}}
    """)
    c1 = w1.client()
    c1.get("/gone").expect(410, b"")
    c1.get("/json").expect(200, '{"a":1}', content_type="application/json", content_length="7")
    c1.get("/empty").expect(204, b"", content_length=None, content_type=None, transfer_encoding=None)
    c1.get("/x").expect(404, "nothing here", content_type="text/plain; charset=utf-8")
    c1.head("/x").expect(404, b"", content_length="12")
    assert c1.connections == 1


def test_a_fixed_answer_to_an_upload_keeps_the_connection_whole(forebay):
    w1 = forebay("routes: [{match: /**, respond: {body: fixed}}]")
    c1 = w1.client()
    for _ in range(3):
        c1.post("/", b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n").expect(200, "fixed")
    assert w1.access(3)[2]["method"] == "POST" and len(w1.access(3)) == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_says_where(forebay, status):
    w1 = forebay(f"""
        routes:
          - match: /old/{{id}}
            redirect: {{to: "https://new.test/items/{{id}}", status: {status}}}
    """)
    w1.get("/old/7%41").expect(status, location="https://new.test/items/7A")


def test_a_redirect_takes_captures_of_a_regular_expression(forebay):
    w1 = forebay(r"""
        routes:
          - match: {path_regex: "/(?<lang>en|de)/(?<rest>.*)"}
            redirect: {to: "/{rest}?lang={lang}"}
    """)
    w1.get("/de/a/b").expect(308, location="/a/b?lang=de")


@pytest.mark.parametrize("path", ["/x/%0d%0aSet-Cookie:%20a=1", "/x/a%0aX-Evil:%201"])
def test_a_redirect_cannot_be_made_to_write_fields(forebay, path):
    w1 = forebay('routes: [{match: "/x/{id}", redirect: {to: "/y/{id}"}}]')
    r = w1.get(path)
    assert r.status in (308, 400) and "Set-Cookie" not in r.headers and "X-Evil" not in r.headers
    if r.status == 308:
        assert r.headers["Location"].upper() == path.upper().replace("/X/", "/Y/").replace(":%20", ":%20")


PREFIXES = {
    "strip": ("strip_prefix: /api", {"/api/a/b?c=1": "/a/b?c=1", "/api": "/", "/api/": "/", "/apis/1": "/apis/1"}),
    "add": ("add_prefix: /v2", {"/api/a": "/v2/api/a", "/": "/v2/"}),
    "both": ("strip_prefix: /api, add_prefix: /v2", {"/api/a": "/v2/a", "/api": "/v2", "/other": "/v2/other"}),
}


@pytest.mark.parametrize("rule, seen", PREFIXES.values(), ids=PREFIXES.keys())
def test_prefixes_are_taken_and_put(echoing, forebay, rule, seen):
    w1 = forebay("routes: [{match: /**, %s}]" % rule, app=echoing("app"))
    for asked, there in seen.items():
        w1.get(asked).expect(200, f"app GET {there}")


def test_head_goes_upstream_as_head(echoing, forebay):
    w1 = forebay("routes: [{match: GET /a, cache: off}]", app=echoing("app"))
    w1.head("/a").expect(200, b"", content_length="11")
