"""Connections of HTTP/2 to servers as wholes: what becomes of many requests on one when it dies, and of the daemon that has them."""

import pytest

from stage.h2 import DATA, H2, PING, SETTINGS, Server
from stage.waiting import wait_until

CONFIG = "workers: 1\nupstreams: {app: {servers: ['@app@'], protocol: h2%s}}\nroutes: [{match: /**, cache: {ttl: 1h}}]\n"


@pytest.fixture
def app():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def w1(app, forebay):
    return forebay(CONFIG % "", app=app)


@pytest.fixture
def c1(w1):
    with H2(w1.address) as c1:
        yield c1


def test_what_a_connection_that_died_had_is_asked_again_on_one_other(app, c1, w1):
    streams = [c1.get("/0")]
    s1 = app.accept()
    s1.reply(s1.request(), "first")
    c1.answer(streams.pop()).expect(200, "first")
    streams = [c1.get(f"/{n}") for n in range(1, 9)]
    for _ in streams:
        s1.request()
    s1.close()
    s2 = app.accept()
    for _ in streams:
        s2.reply(s2.request(), "again")
    for stream in streams:
        c1.answer(stream).expect(200, "again")
    assert w1.metric("forebay_upstream_connects_total") == 2


def test_a_dead_connection_is_found_out_however_many_requests_keep_coming(app, c1, w1, clock):
    stream = c1.get("/0")
    s1 = app.accept()
    s1.reply(s1.request(), "first")
    c1.answer(stream).expect(200, "first")
    while not [f for f in s1.frames if f.kind == SETTINGS and f.flags]:
        s1.frames.append(s1.read())
    clock.advance(6)
    streams = []
    for n in range(1, 16):                      # from here on it hears nothing and says nothing
        streams.append(c1.post(f"/{n}"))
        wait_until(lambda: w1.metric("forebay_upstream_requests_h2_total") >= n + 1 or w1.metric("forebay_upstream_connects_total") == 2, "it to go out")
        if w1.metric("forebay_upstream_connects_total") == 2:
            break
        clock.advance(0.9)
    s2 = app.accept()
    s2.reply(s2.request(), "well")
    c1.answer(streams[-1]).expect(200, "well")
