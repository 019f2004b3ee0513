"""Who sends a short body slowly holds no connection to the origin; a long one streams."""


def test_a_short_body_reaches_the_origin_only_when_it_is_here(origin, forebay):
    origin.on("POST /note").reply(200, "noted")
    w1 = forebay("""
        upstreams: {app: {servers: ["@app@"], connections: {max: 1}, timeouts: {connect: 1m}}}
        routes: [{match: /**}]
    """, app=origin)

    slow = [w1.client() for _ in range(20)]
    for c in slow:
        c.send(b"POST /note HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf ")
    for _ in range(3):
        w1.post("/note", "quick").expect(200, "noted")   # the one connection is free
    assert origin.count("POST /note") == 3
    for c in slow:
        c.send(b"a not")
        c.answer().expect(200, "noted")
    assert origin.last().body == b"half a not"


def test_one_that_never_comes_is_answered_408_and_the_origin_never_asked(origin, forebay, clock):
    w1 = forebay("limits: {body_timeout: 60s}", app=origin)

    c1 = w1.client()
    c1.send(b"POST /note HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    w1.wait_metric("forebay_connections", 1, state="active", listener=str(w1))
    clock.advance(61)
    c1.answer().expect(408)
    assert origin.count() == 0
