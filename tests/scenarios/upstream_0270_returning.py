"""Which of the servers are asked at all: who was away and returns, what holds when most are ill, and who helps with a key that everybody wants."""

import pytest
from stage.checks import CHECKS, Rounds
from stage.waiting import wait_until


@pytest.fixture
def four(origins):
    made = [origins(f"o{n}") for n in (1, 2, 3, 4)]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    return made


def in_front_of(forebay, servers, **upstream):
    return forebay({"upstreams": {"app": {"servers": [str(o) for o in servers], **upstream}}})


def asked(w1, server, times):
    """How many of so many requests it got."""
    before = server.count("GET /a")
    for _ in range(times):
        w1.get("/a").expect(200)
    return server.count("GET /a") - before


def test_a_server_that_returns_begins_with_a_tenth_and_has_its_share_at_the_end(four, forebay, clock):
    two = four[:2]
    w1 = in_front_of(forebay, two, slow_start="1h", ejection={"errors": 1, "time": "100s"})
    assert asked(w1, two[0], 20) == 10
    two[0].on("GET /a").reply(503, "ill", cache_control="no-store")
    assert asked(w1, two[0], 4) == 1
    two[0].on("GET /a").reply(200, "well", cache_control="no-store")
    clock.advance(101)
    assert 1 <= asked(w1, two[0], 33) <= 6                  # three, if each came to one worker
    clock.advance(1800)
    assert 8 <= asked(w1, two[0], 40) <= 19                 # about a third
    clock.advance(1800)
    assert asked(w1, two[0], 40) >= 18


def test_where_most_are_ill_all_are_asked(four, forebay, clock):
    w1 = in_front_of(forebay, four, health={**CHECKS, "path": "/health"}, panic="30%", ejection="off")
    rounds = Rounds(w1, clock)
    for origin in four[:2]:
        origin.on("GET /health").reply(503, "ill")
    rounds.until(*four[:2], up=False)
    assert {w1.get("/a").text for _ in range(12)} == {"o3", "o4"}
    four[2].on("GET /health").reply(503, "ill")             # a quarter is left
    rounds.until(four[2], up=False)
    assert {w1.get("/a").text for _ in range(12)} == {"o1", "o2", "o3", "o4"}
    four[2].on("GET /health").reply(200, "well")
    rounds.until(four[2], up=True)
    assert {w1.get("/a").text for _ in range(12)} == {"o3", "o4"}


def test_a_key_that_everybody_wants_has_more_than_one_server(four, forebay):
    w1 = in_front_of(forebay, four[:3], balance="consistent_hash", hash={"key": ["header:X-User"], "spare": "25%"})
    home = w1.get("/a", x_user="ada").expect(200).text
    gates = [o.on("GET /held/*").reply(200, o.name, cache_control="no-store").hold() for o in four[:3]]
    held = []
    for n in range(12):
        held.append(w1.client().ask("GET", f"/held/{n}", x_user="ada"))
        wait_until(lambda: sum(gate.arrived for gate in gates) == len(held), "it to be held")
    for gate in gates:
        gate.release()
    answers = [c.answer().expect(200).text for c in held]
    assert answers[0] == home and answers.count(home) == 5      # a third of twelve, and a quarter more
    assert max(answers.count(o.name) for o in four[:3]) == 5
    assert {w1.get("/a", x_user="ada").text for _ in range(3)} == {home}
