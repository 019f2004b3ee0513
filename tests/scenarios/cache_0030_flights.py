"""Many who ask for the same thing at once are one request for the origin."""

import pytest

from stage.gate import Gate

pytestmark = pytest.mark.tsan


@pytest.mark.smoke
def test_a_burst_of_misses_is_one_request(origin, forebay):
    gate = origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60").hold()
    w1 = forebay("workers: 4", app=origin)

    clients = [w1.client().ask("GET", "/news") for _ in range(40)]
    gate.wait_arrived()
    gate.release()
    for c in clients:
        c.answer().expect(200, "spring flood")


def test_those_who_wait_read_along(origin, forebay):
    step = Gate()
    origin.on("GET /long", times=1).reply(200, ["first half, ", step, "second half"], cache_control="max-age=60")
    w1 = forebay(app=origin)

    c1, c2 = w1.client(), w1.client()
    r1, r2 = c1.begin("GET", "/long"), c2.begin("GET", "/long")
    assert r1.stream.at_least(12) == r2.stream.at_least(12) == b"first half, "
    step.release()
    for c, r in ((c1, r1), (c2, r2)):
        c.finish(r).expect(200, "first half, second half")


def test_a_private_answer_is_not_handed_to_those_who_waited(origin, forebay):
    rule = origin.on("GET /mine")
    for n in range(5):
        rule.reply(200, f"for number {n}", cache_control="private")
    gate = rule.hold()
    w1 = forebay(app=origin)

    clients = [w1.client().ask("GET", "/mine") for _ in range(5)]
    gate.wait_arrived()
    gate.release()
    assert sorted(c.answer().expect(200).text for c in clients) == [f"for number {n}" for n in range(5)]


def test_the_others_go_on_when_the_first_leaves(origin, forebay):
    gate = origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60").hold()
    w1 = forebay(app=origin)

    leader = w1.client().ask("GET", "/news")
    gate.wait_arrived()
    others = [w1.client().ask("GET", "/news") for _ in range(3)]
    leader.reset()
    gate.release()
    for c in others:
        c.answer().expect(200, "spring flood")
