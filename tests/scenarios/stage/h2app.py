"""Fixtures for plays with one application that speaks HTTP/2 as the test says, asked over HTTP/2 by one client."""

import pytest

from stage.h2 import H2, Server

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
