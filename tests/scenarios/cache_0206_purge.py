"""A write that is acknowledged is seen by every later reader."""

import pytest

from stage.gate import Gate
from stage.waiting import wait_until

ROUTES = """
    routes:
      - match: GET /users/{id}/skills
        cache: {ttl: 10m}
      - match: GET /shop/**
        cache: {ttl: 10m}
      - match: GET /tagged/{kind}/{id}
        cache: {ttl: 10m, tags: ["kind:{kind}", "thing:{kind}:{id}"]}
      - match: PUT /users/{id}
        purge: {urls: ["/users/{id}/skills", "/users/{id}/skills?full=1"]}
      - match: PUT /shops
        purge: {prefixes: [/shop/a]}
      - match: PUT /kinds/{kind}
        purge: {tags: ["kind:{kind}"]}
      - match: PUT /things/{kind}/{id}
        purge: {tags: ["thing:{kind}:{id}"]}
      - match: PUT /soft/{kind}
        purge: {tags: ["kind:{kind}"], soft: yes}
      - match: /**
"""


class Versions:
    """An origin whose pages say which version they are."""

    def __init__(self, origin):
        self.n = 1
        origin.on("GET /*").do(self.play)

    def play(self, exchange):
        text = f"version {self.n}"
        exchange.head(200, [("Content-Length", len(text))])
        exchange.send(text)


@pytest.fixture
def pages(origin):
    return Versions(origin)


@pytest.fixture
def w1(origin, forebay, pages):
    return forebay(ROUTES, app=origin)


def read(w1, *targets, **words):
    return [w1.get(target, **words).expect(200).text[-1] for target in targets]


def test_urls_with_captures(w1, origin, pages):
    origin.on("PUT /users/7").reply(204)
    targets = ["/users/7/skills", "/users/7/skills?full=1", "/users/7/skills?other=1", "/users/8/skills"]
    assert read(w1, *targets) == ["1"] * 4
    pages.n = 2
    w1.request("PUT", "/users/7", "x").expect(204)
    assert read(w1, *targets) == ["2", "2", "1", "1"]


def test_a_capture_in_another_spelling_is_the_same(w1, origin, pages):
    origin.on("PUT /*").reply(204)
    assert read(w1, "/users/%61b/skills") == ["1"]
    pages.n = 2
    w1.request("PUT", "/users/a%62", "x").expect(204)
    assert read(w1, "/users/ab/skills") == ["2"]


def test_prefixes(w1, origin, pages):
    origin.on("PUT /shops").reply(204)
    targets = ["/shop/a", "/shop/a/1", "/shop/abc?x", "/shop/b"]
    assert read(w1, *targets) == ["1"] * 4
    pages.n = 2
    w1.request("PUT", "/shops", "x").expect(204)
    assert read(w1, *targets) == ["2", "2", "2", "1"]


def test_tags_with_captures(w1, origin, pages):
    origin.on("PUT /*").reply(204)
    targets = ["/tagged/tool/1", "/tagged/tool/2", "/tagged/toy/1"]
    assert read(w1, *targets) == ["1"] * 3
    pages.n = 2
    w1.request("PUT", "/things/tool/1", "x").expect(204)
    assert read(w1, *targets) == ["2", "1", "1"]
    pages.n = 3
    w1.request("PUT", "/kinds/tool", "x").expect(204)
    assert read(w1, *targets) == ["3", "3", "1"]


def test_tags_of_the_origins_own(origin, forebay):
    origin.on("GET /a").reply(200, "1", cache_control="max-age=600", cache_tag="red, kind:x").reply(200, "2")
    origin.on("GET /b").reply(200, "1", cache_control="max-age=600", surrogate_key="blue kind:x").reply(200, "2")
    origin.on("GET /c").reply(200, "1", cache_control="max-age=600", cache_tag="kind:xy").reply(200, "2")
    origin.on("PUT /kinds/x").reply(204)
    w1 = forebay(ROUTES, app=origin)
    assert read(w1, "/a", "/b", "/c") == ["1"] * 3
    w1.request("PUT", "/kinds/x", "x").expect(204)
    assert read(w1, "/a", "/b", "/c") == ["2", "2", "1"]


def test_all_variants_go_at_once(origin, forebay):
    def play(exchange):
        exchange.head(200, [("Content-Length", 1), ("Vary", "Accept-Language"), ("Cache-Control", "max-age=600")])
        exchange.send(str(origin.count("PUT /*")))
    origin.on("GET /*").do(play)
    origin.on("PUT /*").reply(204)
    w1 = forebay(ROUTES, app=origin)
    for answer in ("0", "1"):
        for language in ("de", "fr"):
            assert w1.get("/users/7/skills", accept_language=language).text == answer
        w1.request("PUT", "/users/7", "x").expect(204)


def test_another_host_is_another_site(w1, origin, pages):
    origin.on("PUT /users/7").reply(204)
    assert read(w1, "/users/7/skills", host="a.test") == read(w1, "/users/7/skills", host="b.test") == ["1"]
    pages.n = 2
    w1.request("PUT", "/users/7", "x", host="a.test").expect(204)
    assert read(w1, "/users/7/skills", host="a.test") == ["2"]
    assert read(w1, "/users/7/skills", host="b.test") == ["1"]


def test_a_soft_purge_lets_the_old_answer_stand_in(w1, origin, pages):
    origin.on("PUT /soft/tool").reply(204)
    assert read(w1, "/tagged/tool/1") == ["1"]
    w1.request("PUT", "/soft/tool", "x").expect(204)
    pages.n = 2
    w1.get("/tagged/tool/1").expect(200, "version 2", x_cache_status="EXPIRED")
    w1.request("PUT", "/soft/tool", "x").expect(204)
    origin.on("GET /*").reply(503)
    w1.get("/tagged/tool/1").expect(200, "version 2", x_cache_status="STALE")


@pytest.mark.parametrize("status", [200, 201, 204, 302, 500, 502, 503])
def test_what_may_have_been_done_purges(w1, origin, pages, status):
    origin.on("PUT /users/7").reply(status)
    assert read(w1, "/users/7/skills") == ["1"]
    pages.n = 2
    w1.request("PUT", "/users/7", "x").expect(status)
    assert read(w1, "/users/7/skills") == ["2"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422])
def test_what_was_refused_purges_nothing(w1, origin, pages, status):
    origin.on("PUT /users/7").reply(status)
    assert read(w1, "/users/7/skills") == ["1"]
    pages.n = 2
    w1.request("PUT", "/users/7", "x").expect(status)
    assert read(w1, "/users/7/skills") == ["1"]


def test_what_was_never_sent_purges_nothing(origin, forebay, origins):
    other = origins("writes")
    Versions(origin)
    w1 = forebay("""
        upstreams: {app: "@app@", writes: "@writes@"}
        routes:
          - {match: "PUT /users/{id}", upstream: writes, purge: {urls: ["/users/{id}/skills"]}}
          - {match: /**, upstream: app, cache: 10m}
    """, app=origin, writes=other)
    assert read(w1, "/users/7/skills") == ["1"]
    other.refuse()
    w1.request("PUT", "/users/7", "x").expect(502)
    w1.get("/users/7/skills").expect(200, x_cache_status="HIT")


@pytest.mark.parametrize("end", ["close", "reset", "garbage", "timeout"])
def test_what_is_in_doubt_purges(origin, forebay, clock, pages, end):
    rule = origin.on("PUT /users/7")
    gate = Gate(is_open=end != "timeout")
    {"close": rule.hangup, "reset": lambda: rule.hangup("reset"), "garbage": lambda: rule.raw(b"no HTTP\r\n\r\n"),
     "timeout": lambda: rule.do(lambda exchange: gate.pass_through())}[end]()
    w1 = forebay('upstreams: {app: {servers: ["@app@"], timeouts: {response: 30s}}}\n' + ROUTES.replace("\n    ", "\n"), app=origin)
    assert read(w1, "/users/7/skills") == ["1"]
    pages.n = 2
    writer = w1.client().ask("PUT", "/users/7", "x")
    if end == "timeout":
        gate.wait_arrived()
        clock.advance(31)
    assert writer.answer().status in (502, 504)
    assert read(w1, "/users/7/skills") == ["2"]
    gate.release()


@pytest.mark.parametrize("says", ["200", "500"])
def test_a_writer_who_leaves_has_written_all_the_same(w1, origin, pages, says):
    gate = origin.on("PUT /users/7").reply(int(says)).hold()
    assert read(w1, "/users/7/skills") == ["1"]
    writer = w1.client().ask("PUT", "/users/7", "x")
    gate.wait_arrived()
    writer.reset()
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_gone")
    pages.n = 2
    gate.release()
    wait_until(lambda: read(w1, "/users/7/skills") == ["2"], "the write to be seen")


def test_a_writer_whose_upload_breaks_off_may_have_written(w1, origin, pages):
    origin.on("PUT /users/7").reply(204)
    assert read(w1, "/users/7/skills") == ["1"]
    pages.n = 2
    writer = w1.client().send(f"PUT /users/7 HTTP/1.1\r\nHost: {w1}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    origin.wait_asked(1, "PUT /users/7")
    writer.reset()
    wait_until(lambda: read(w1, "/users/7/skills") == ["2"], "the write to be seen")


@pytest.mark.tsan
def test_the_old_body_is_never_served_after_a_purge_that_met_its_fetch(origin, forebay):
    step = Gate()
    origin.on("GET /users/7/skills").reply(200, ["old", step, " end"]).reply(200, "new")
    origin.on("PUT /users/7").reply(204)
    w1 = forebay(ROUTES, app=origin)
    early = w1.client()
    r = early.begin("GET", "/users/7/skills")
    assert r.stream.at_least(3) == b"old"                   # the old page is on its way to an early reader
    w1.request("PUT", "/users/7", "x").expect(204)
    w1.get("/users/7/skills").expect(200, "new")            # who comes now is not put in that boat
    step.release()
    early.finish(r).expect(200, "old end")
    for _ in range(4):
        w1.get("/users/7/skills").expect(200, "new", x_cache_status="HIT")


@pytest.mark.tsan
def test_a_refresh_that_met_a_purge_does_not_bring_the_old_one_back(origin, forebay, clock):
    rule = origin.on("GET /users/7/skills").reply(200, "old", cache_control="max-age=10, stale-while-revalidate=100", etag='"1"', revalidates=True)
    origin.on("PUT /users/7").reply(204)
    w1 = forebay(ROUTES, app=origin)
    w1.get("/users/7/skills").expect(200, "old")
    clock.advance(11)
    gate = rule.hold()
    w1.get("/users/7/skills").expect(200, "old", x_cache_status="STALE")
    origin.wait_asked(2)
    w1.request("PUT", "/users/7", "x").expect(204)
    origin.on("GET /users/7/skills").reply(200, "new", cache_control="max-age=10")
    gate.release()
    for _ in range(5):
        w1.get("/users/7/skills").expect(200, "new")


@pytest.mark.tsan
def test_many_writers_and_readers_never_see_the_past(origin, forebay):
    from stage.client import together
    pages = Versions(origin)
    origin.on("PUT /users/7").do(lambda exchange: (setattr(pages, "n", int(exchange.request.text)), exchange.head(204)))
    w1 = forebay("workers: 3\n" + ROUTES.replace("\n    ", "\n"), app=origin)
    acknowledged = [1]

    def write():
        with w1.client() as c:
            for n in range(2, 60):
                c.put("/users/7", str(n)).expect(204)
                acknowledged[0] = n

    def read_on():
        with w1.client() as c:
            while acknowledged[0] < 59:
                least = acknowledged[0]
                assert int(c.get("/users/7/skills").expect(200).text.split()[1]) >= least
    together(write, read_on, read_on, read_on)
