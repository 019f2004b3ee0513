"""Connections to the origin are shared by all workers, and what became of a request that was sent is never guessed."""

import pytest


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_worker_that_rests_leaves_room_for_the_others(origin, forebay, most):
    origin.on("GET /a").reply(200, "A", cache_control="no-store")
    w1 = forebay({"workers": 4, "upstreams": {"app": {"servers": [str(origin)], "connections": {"max": most}}}}, app=origin)

    for _ in range(40):                     # each comes to one worker or another
        w1.get("/a").expect(200, "A")


def test_a_write_that_was_sent_and_could_not_be_repeated_purges(origin, forebay):
    origin.on("GET /page").reply(200, "before", cache_control="max-age=60").reply(200, "after", cache_control="max-age=60")
    origin.on("PUT /page").do(lambda exchange: origin.refuse())
    w1 = forebay("""
        workers: 1
        routes:
          - {match: PUT /page, purge: {tags: [page]}}
          - {match: /**, cache: {tags: [page]}}
    """, app=origin)

    w1.get("/page").expect(200, "before", x_cache_status="MISS")
    w1.request("PUT", "/page").expect(502)
    origin.accept()
    w1.get("/page").expect(200, "after", x_cache_status="MISS")


def test_a_client_that_pauses_in_its_body_is_not_the_origins_delay(origin, forebay, clock):
    origin.on("POST /up").reply(200, "thanks")
    w1 = forebay({"workers": 1, "limits": {"body_timeout": "1h"},
                  "upstreams": {"app": {"servers": [str(origin)], "timeouts": {"response": "60s"}}}}, app=origin)

    c1 = w1.client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")
    origin.wait_asked(1, "POST /up")
    origin.last().stream.at_least(5)
    for _ in range(3):
        clock.advance(100)
        w1.admin("GET", "/health")          # the worker has looked at its clock
    c1.send(b"5\r\nfghij\r\n0\r\n\r\n").answer().expect(200, "thanks")
