"""Which server is asked: each rule with real servers."""

import pytest
from stage.waiting import wait_until


@pytest.fixture
def three(origins):
    made = [origins(f"o{n}") for n in (1, 2, 3)]
    for origin in made:
        origin.on("GET /*").reply(200, origin.name, cache_control="no-store")
    return made


def balanced(forebay, servers, workers=2, **upstream):
    return forebay({"workers": workers, "upstreams": {"app": {"servers": servers, **upstream}}})


@pytest.mark.tsan
def test_weights_are_exact_over_all_workers(three, forebay):
    servers = [{"address": str(o), "weight": weight} for o, weight in zip(three, (3, 2, 1))]
    w1 = balanced(forebay, servers, workers=4)
    for _ in range(60):                     # each comes to one worker or another
        w1.get("/a").expect(200)
    assert [o.count("GET /*") for o in three] == [30, 20, 10]


def test_least_connections_leaves_busy_servers_alone(three, forebay):
    w1 = balanced(forebay, [str(o) for o in three], balance="least_connections")
    gates = [o.on("GET /held").reply(200, "at last", cache_control="no-store").hold() for o in three]
    clients = [w1.client() for _ in range(2)]
    for n, c in enumerate(clients, 1):
        c.ask("GET", f"/held?{n}")
        wait_until(lambda: sum(gate.arrived for gate in gates) == n, "it to be held")
    assert sorted(gate.arrived for gate in gates) == [0, 1, 1]
    free = next(o for o, gate in zip(three, gates) if gate.arrived == 0)
    for _ in range(9):
        w1.get("/a").expect(200, free.name)
    for gate in gates:
        gate.release()


@pytest.mark.tsan
def test_peak_ewma_goes_where_answers_come_sooner(three, forebay, clock):
    three[0].on("GET /*").do(lambda exchange: (clock.advance(20), exchange.head(204), exchange.end()))
    w1 = balanced(forebay, [str(o) for o in three], balance="peak_ewma", ewma="10m", workers=4)
    for _ in range(120):
        w1.get("/a")
    assert three[0].count("GET /*") <= 2    # once to learn it, once for a pair that was drawn before
    assert min(o.count("GET /*") for o in three[1:]) >= 5


def test_a_key_has_its_server_and_keeps_it_when_another_leaves(three, forebay):
    w1 = balanced(forebay, [str(o) for o in three], balance="consistent_hash", hash={"key": ["header:X-User", "cookie:cart"]})

    def homes():
        return {n: w1.get(f"/{n}", x_user=f"user-{n}", cookie=f"a=b; cart={n % 5}").expect(200).text for n in range(100)}
    before = homes()
    assert homes() == before and set(before.values()) == {"o1", "o2", "o3"}
    three[1].refuse()
    after = homes()
    assert all(after[n] == home for n, home in before.items() if home != "o2")
    assert {after[n] for n, home in before.items() if home == "o2"} == {"o1", "o3"}


def test_the_same_key_has_the_same_server_in_every_instance(three, forebay):
    servers = [str(o) for o in three]
    w1, w2 = (balanced(forebay, order, balance="consistent_hash") for order in (servers, servers[::-1]))
    for n in range(20):
        assert w1.get(f"/a?{n}").text == w2.get(f"/a?{n}").text


def test_the_own_zone_is_asked_as_long_as_enough_of_it_answers(three, forebay):
    servers = [{"address": str(o), "zone": zone} for o, zone in zip(three, ("east", "east", "west"))]
    w1 = balanced(forebay, servers, zone="east", zone_share="50%")
    for _ in range(10):
        w1.get("/a").expect(200)
    assert [o.count("GET /*") for o in three] == [5, 5, 0]
    three[0].refuse()
    three[1].refuse()
    assert {w1.get("/a").expect(200).text for _ in range(4)} == {"o3"}


def test_what_cannot_be_meant_is_told_with_its_place(cli, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text('listen: ":8080"\nupstreams:\n  app:\n    servers: [{address: "h:1", weight: 0}]\n'
                    "    balance: fastest\n    hash: {key: [uri, colour]}\nroutes: [{match: /**}]\n")
    told = cli("check", "-c", path).stderr
    assert "site.yaml:4:40: error" in told and "site.yaml:5:14: error" in told and "site.yaml:6:" in told
    assert '"colour" is no part of a request' in told and "cookie:NAME" in told
