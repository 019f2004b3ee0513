"""How far an OPTIONS goes (RFC 9110 section 7.6.2)."""


def test_each_hop_takes_one_off_and_the_last_answers(origin, forebay):
    origin.on("OPTIONS /page", times=1).reply(200, allow="GET")
    w1 = forebay(app=origin)
    w1.request("OPTIONS", "/page", max_forwards=3).expect(200, allow="GET")
    assert origin.last().headers["Max-Forwards"] == "2"
    w1.request("OPTIONS", "/page", max_forwards=0).expect(204, b"", allow=None)


def test_it_means_nothing_in_other_requests(origin, forebay):
    origin.on("GET /page", times=1).reply(200, "x")
    w1 = forebay(app=origin)
    w1.get("/page", max_forwards=0).expect(200, "x")
    assert origin.last().headers["Max-Forwards"] == "0"
