"""A connection serves many requests, at either end, and is used again only where that is safe."""

import pytest

from stage.client import Client, together

pytestmark = pytest.mark.smoke


def test_one_connection_serves_many_requests(origin, forebay):
    origin.on("GET /a").reply(200, "A", cache_control="no-store")
    c1 = forebay(app=origin).client()

    for _ in range(3):
        c1.get("/a").expect(200, "A")
    assert c1.connections == 1 and origin.connections == 1


def test_pipelined_requests_are_answered_in_order(origin, forebay):
    origin.on("GET /a").reply(200, "A", cache_control="no-store")
    origin.on("GET /b").reply(200, ["B", "b"], cache_control="no-store")
    c1 = forebay(app=origin).client()
    assert [r.expect(200).text for r in c1.pipeline("GET /a", "GET /b", "GET /a")] == ["A", "Bb", "A"]


def test_a_client_that_wants_to_go_is_let_go(origin, forebay):
    origin.on("GET /a").reply(200, "A", cache_control="no-store")
    w1 = forebay("workers: 1", app=origin)      # each worker has connections of its own

    c1 = w1.client()
    c1.get("/a", connection="close").expect(200, "A", connection="close")
    c1.wait_closed()
    c1.ask("GET", "/a", version="HTTP/1.0").answer().expect(200, "A")
    c1.wait_closed()
    assert origin.connections == 1              # what the client wants says nothing about the origin's connection


def test_an_idle_connection_the_origin_closed_is_not_used(origin, forebay):
    origin.on("GET /a").reply(200, "A", cache_control="no-store")
    w1 = forebay(app=origin)

    w1.get("/a").expect(200)
    origin.drop_idle()
    w1.get("/a").expect(200, "A")
    assert origin.count("GET /a") == 2 and origin.connections == 2


def test_an_origin_that_says_close_gets_a_new_connection(origin, forebay):
    origin.on("GET /a").reply(200, "A", connection="close", cache_control="no-store", then="close")
    c1 = forebay(app=origin).client()

    assert c1.get("/a").expect(200, "A", connection=None).kept_open
    c1.get("/a").expect(200, "A")
    assert origin.connections == 2


def test_bodies_arrive_whole_whatever_their_framing(origin, forebay):
    body = bytes(range(256)) * 2000
    origin.on("GET /length").reply(200, body, cache_control="no-store")
    origin.on("GET /chunked").reply(200, [body[:1], body[1:70000], body[70000:]], cache_control="no-store")
    origin.on("GET /close").reply(200, body, framing="close", cache_control="no-store")
    origin.on("POST /up").reply(200, "thanks")
    c1 = forebay(app=origin).client()

    for path in ("/length", "/chunked", "/close"):
        c1.get(path).expect(200, body)
    c1.post("/up", body).expect(200, "thanks")
    c1.ask("POST", "/up", [body[:5], body[5:]]).answer().expect(200)
    assert [request.body == body and request.complete for request in origin.asked("POST /up")] == [True, True]
    assert c1.connections == 1


@pytest.mark.tsan
def test_many_clients_at_once_each_get_their_own(origin, forebay):
    def mirror(exchange):
        path = exchange.request.path
        exchange.head(200, [("Content-Length", len(path)), ("Cache-Control", "no-store")])
        exchange.send(path)
    origin.on("GET /*").do(mirror)
    w1 = forebay("workers: 4", app=origin)

    def visit(n):
        with Client(w1.address) as c1:
            return all(c1.get(f"/{n}/{i}").expect(200).text == f"/{n}/{i}" for i in range(20))
    assert all(together(*[lambda n=n: visit(n) for n in range(50)]))
