"""Hedging: what one server is slow to answer is asked of another one as well, and who answers first wins."""

import pytest
from stage.client import together
from stage.gate import Gate
from stage.origin import Reply
from stage.waiting import wait_until

AFTER_S = 20                                                # longer than any machine is slow: the clock says when
AFTER = f"{AFTER_S}s"


def hedged(forebay, servers, hedge=None, route=None, workers=2, **upstream):
    app = {"servers": [str(s) for s in servers], "hedge": hedge or {"after": AFTER, "budget": "100%"}, "ejection": "off", **upstream}
    return forebay({"workers": workers, "upstreams": {"app": app}, "routes": [{"match": "/**", **(route or {})}]})


@pytest.fixture
def two(origins):
    made = [origins("o1"), origins("o2")]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    return made


def slow_and_quick(two, asked=1):
    """Who was asked so often, and the other one."""
    wait_until(lambda: any(o.count() == asked for o in two), "the first server asked")
    return sorted(two, key=lambda o: -o.count())


def hold_first(two):
    """Whoever is asked first does not answer before its gate opens."""
    return {origin.name: origin.on("/*").reply(200, origin.name, cache_control="no-store").hold() for origin in two}


def until_all_is_due(w1, two, clock):
    """Until whatever the one worker had to hedge so far is hedged: it hedges what comes later."""
    counts = [o.count("GET /later") for o in two]
    gates = [o.on("GET /later").reply(200, "later", cache_control="no-store").hold() for o in two]
    c = w1.client().ask("GET", "/later")
    wait_until(lambda: [o.count("GET /later") for o in two] != counts, "a later request")
    clock.advance(AFTER_S + 1)
    wait_until(lambda: all(o.count("GET /later") > n for o, n in zip(two, counts)), "the later request hedged")
    for gate in gates:
        gate.release()
    c.answer().expect(200, "later")


def second_asked(clock, other, times=1):
    clock.advance(AFTER_S + 1)
    other.wait_asked(times)


@pytest.mark.tsan
def test_the_second_server_answers_and_the_first_one_is_let_go(two, forebay, clock):
    gone = []

    def never(exchange):
        exchange.wait_closed()
        gone.append(exchange.connection.number)
        exchange.wants_more = False
    two[0].on("/*").do(never)
    two[1].on("/*").reply(200, "o2", cache_control="max-age=60")
    w1 = hedged(forebay, two)
    c = w1.client().ask("GET", "/a")
    two[0].wait_asked(1)
    assert two[1].count() == 0
    second_asked(clock, two[1])
    answer = c.answer().expect(200, "o2")
    assert "detail=hedged" in answer.headers["Cache-Status"]
    wait_until(lambda: gone, "the first connection closed")
    line, = w1.access(path="/a")
    assert (line["server"], line["tries"], line["hedge"], line["detail"]) == (str(two[1]), 2, "won", "hedged")
    assert w1.metric("forebay_upstream_hedges_total", server=str(two[1])) == 1
    assert w1.metric("forebay_upstream_hedges_won_total", server=str(two[1])) == 1
    assert w1.metric("forebay_upstream_failures_total") == 0
    for origin in two:
        w1.wait_metric("forebay_upstream_in_flight", 0, server=str(origin))


def test_the_first_server_answers_after_all(two, forebay, clock):
    gates = hold_first(two)
    w1 = hedged(forebay, two, workers=1)                    # whose idle connections serve every client
    c = w1.client().ask("GET", "/a")
    first, second = slow_and_quick(two)
    second_asked(clock, second)
    gates[first.name].release()
    c.answer().expect(200, first.name)
    line, = w1.access(path="/a")
    assert (line["server"], line["tries"], line["hedge"]) == (str(first), 2, "lost")
    assert w1.metric("forebay_upstream_hedges_won_total") == 0
    w1.wait_metric("forebay_upstream_in_flight", 0, server=str(second))
    gates[second.name].release()
    w1.get("/b").expect(200, second.name)                   # on a connection of its own
    w1.get("/c").expect(200, first.name)                    # and the winner's serves again
    assert first.connections == 1


@pytest.mark.parametrize("what", [("POST", "/a", b"x"), ("PUT", "/a", b"x"), ("DELETE", "/a", b""), ("GET", "/a", b"x"), ("QUERY", "/a", b"x")],
                         ids=lambda what: f"{what[0]}{'-with-a-body' if what[2] else ''}")
def test_what_is_not_safe_or_has_a_body_is_asked_once(two, forebay, clock, what):
    gates = hold_first(two)
    w1 = hedged(forebay, two, workers=1)
    method, path, body = what
    c = w1.client().ask(method, path, body, {"Content-Type": "text/plain"})
    first, second = slow_and_quick(two)
    until_all_is_due(w1, two, clock)
    assert (first.count(f"{method} /a"), second.count(f"{method} /a")) == (1, 0)
    gates[first.name].release()
    c.answer().expect(200, first.name)
    assert w1.access(path="/a")[0]["tries"] == 1


def test_a_client_that_goes_on_with_its_server_is_not_sent_to_another(two, forebay, clock):
    w1 = hedged(forebay, two, workers=1, affinity={"secret": "0123456789abcdef"})
    first = w1.get("/a").expect(200)
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    asked, other = (two[0], two[1]) if first.text == "o1" else (two[1], two[0])
    gate = asked.on("/*").reply(200, "mine", cache_control="no-store").hold()
    c = w1.client().ask("GET", "/b", headers={"Cookie": cookie})
    asked.wait_asked(2)
    until_all_is_due(w1, two, clock)
    gate.release()
    c.answer().expect(200, "mine")
    assert other.count("GET /b") == 0


def test_an_answer_that_has_begun_is_waited_for(two, forebay, clock):
    gate = Gate()
    for origin in two:
        origin.on("/*").reply(200, [b"one ", gate, b"two"], cache_control="no-store")
    w1 = hedged(forebay, two, workers=1)
    with w1.client().begin("GET", "/a") as answer:
        answer.stream.until(b"one ")
        until_all_is_due(w1, two, clock)
        gate.release()
        answer.stream.until(b"two")
    assert sum(o.count("GET /a") for o in two) == 1


def test_who_waits_for_the_same_page_hedges_it_once(two, forebay, clock):
    gates = {o.name: o.on("/*").reply(200, o.name, cache_control="max-age=60").hold() for o in two}
    w1 = hedged(forebay, two)
    clients = [w1.client().ask("GET", "/a") for _ in range(6)]
    first, second = slow_and_quick(two)
    w1.wait_metric("forebay_flights_total", 5, role="ride")
    second_asked(clock, second)
    gates[second.name].release()
    for c in clients:
        c.answer().expect(200, second.name)
    assert (first.count(), second.count()) == (1, 1)
    w1.get("/a").expect(200, second.name, x_cache_status="HIT")
    won = [line for line in w1.access(7) if line["hedge"] == "won"]
    assert len(won) == 1 and won[0]["cache"] == "MISS"


def test_a_refresh_behind_an_answer_takes_its_time(two, forebay, clock):
    for origin in two:
        origin.on("/*").reply(200, origin.name, cache_control="max-age=1, stale-while-revalidate=600")
    w1 = hedged(forebay, two, workers=1)
    w1.get("/a").expect(200)
    gates = [o.on("/*").reply(200, "new", cache_control="max-age=60").hold() for o in two]
    clock.advance(2)
    w1.get("/a").expect(200, x_cache_status="STALE")
    wait_until(lambda: sum(o.count() for o in two) == 2, "the refresh")
    until_all_is_due(w1, two, clock)
    assert sum(o.count("GET /a") for o in two) == 2
    for gate in gates:
        gate.release()


@pytest.mark.parametrize("how", ["hangup", "503"])
@pytest.mark.parametrize("who", ["first", "second"])
def test_when_one_of_them_fails_the_other_one_is_waited_for(two, forebay, clock, who, how):
    failing, gates = [], {}

    def play(exchange):
        if exchange.origin in failing and how == "hangup":
            exchange.end("close")
        else:
            Reply(503 if exchange.origin in failing else 200, exchange.origin.name, cache_control="no-store")(exchange)
    for origin in two:
        gates[origin.name] = origin.on("/*").do(play).hold()
    w1 = hedged(forebay, two)
    c = w1.client().ask("GET", "/a")
    first, second = slow_and_quick(two)
    bad, well = (first, second) if who == "first" else (second, first)
    failing.append(bad)
    second_asked(clock, second)
    gates[bad.name].release()
    w1.wait_metric("forebay_upstream_in_flight", 0, server=str(bad))
    gates[well.name].release()
    c.answer().expect(200, well.name)
    assert (first.count(), second.count()) == (1, 1)
    line, = w1.access(path="/a")
    assert (line["server"], line["tries"], line["hedge"]) == (str(well), 2, "won" if who == "first" else "lost")


def test_when_both_fail_a_third_is_asked(origins, forebay, clock):
    three = [origins(f"o{n}") for n in range(3)]
    gates = {}
    for origin in three:
        gates[origin.name] = origin.on("/*").hangup().hold()
    w1 = hedged(forebay, three, workers=1)
    c = w1.client().ask("GET", "/a")
    wait_until(lambda: any(o.count() for o in three), "the first")
    first = next(o for o in three if o.count())
    clock.advance(AFTER_S + 1)
    wait_until(lambda: sum(o.count() for o in three) == 2, "the second")
    second = next(o for o in three if o.count() and o is not first)
    third = next(o for o in three if not o.count())
    third.on("/*").reply(200, "third", cache_control="no-store")
    gates[first.name].release()
    w1.wait_metric("forebay_upstream_in_flight", 0, server=str(first))
    for origin in three:
        origin.on("GET /meanwhile").reply(200, "meanwhile", cache_control="no-store")
    w1.get("/meanwhile").expect(200)
    assert third.count("GET /a") == 0                       # the second may still answer
    gates[second.name].release()
    c.answer().expect(200, "third")
    assert [o.count("GET /a") for o in three] == [1, 1, 1]
    assert w1.access(path="/a")[0]["tries"] == 3


def test_the_budget_ends_it_where_all_are_slow(origins, forebay, clock):
    three = [origins(f"o{n}") for n in range(3)]
    for origin in three:
        origin.on("/*").reply(200, "late", cache_control="no-store").hold()
    w1 = hedged(forebay, three, {"after": AFTER, "budget": "10%"}, connections={"max": 100})
    clients = [w1.client().ask("GET", f"/{n}") for n in range(60)]
    wait_until(lambda: sum(o.count() for o in three) == 60, "all of them asked once")
    clock.advance(AFTER_S + 1)
    wait_until(lambda: w1.metric("forebay_upstream_hedges_total") + w1.metric("forebay_upstream_hedges_denied_total") == 60,
               "each of them late")
    assert w1.metric("forebay_upstream_hedges_total") == 10     # as many as are saved up at most
    for origin in three:
        origin.open_gates()
    for c in clients:
        c.answer().expect(200, "late")
    assert sum(o.count() for o in three) == 70


def test_without_another_fit_server_there_is_no_second_request(two, forebay, clock):
    w1 = hedged(forebay, two, ejection={"errors": 1, "time": "10m", "max_time": "10m", "share": "50%"}, timeouts={"total": "100s", "response": "10m"})
    two[0].on("/*").hangup()
    for _ in range(4):
        w1.get("/a").expect(200, "o2")
    gate = two[1].on("/*").reply(200, "o2", cache_control="no-store").hold()
    asked = two[0].count(), two[1].count()
    c = w1.client().ask("GET", "/b")
    two[1].wait_asked(asked[1] + 1)
    clock.advance(101)
    c.answer().expect(504)                                  # and so it was due
    gate.release()
    assert (two[0].count(), two[1].count()) == (asked[0], asked[1] + 1)
    assert w1.metric("forebay_upstream_hedges_total") == w1.metric("forebay_upstream_hedges_denied_total") == 0


def test_a_client_that_leaves_takes_both_with_it(two, forebay, clock):
    hold_first(two)
    w1 = hedged(forebay, two, route={"cache": False})
    c = w1.client().ask("GET", "/a")
    second_asked(clock, slow_and_quick(two)[1])
    c.close()
    for origin in two:
        w1.wait_metric("forebay_upstream_in_flight", 0, server=str(origin))


def test_the_whole_time_counts_from_the_first(two, forebay, clock):
    hold_first(two)
    w1 = hedged(forebay, two, timeouts={"total": "10m", "response": "1h"})
    c = w1.client().ask("GET", "/a")
    second = slow_and_quick(two)[1]
    clock.advance(400)
    second.wait_asked(1)
    clock.advance(201)
    c.answer().expect(504)


def test_a_server_that_answers_nothing_is_ejected_though_no_request_waits_for_it(origins, forebay, clock):
    stopped, well = origins("stopped"), origins("well")
    stopped.on("/*").reply(200, "late").hold()
    well.on("/*").reply(200, "well", cache_control="no-store")
    w1 = hedged(forebay, [stopped, well], timeouts={"response": "100s"}, ejection={"errors": 3, "time": "10m", "max_time": "10m"})
    rounds = 0
    while w1.metric("forebay_upstream_ejections_total", server=str(stopped)) == 0:
        before = stopped.count(), well.count()
        c = w1.client().ask("GET", f"/{rounds}")
        wait_until(lambda: (stopped.count(), well.count()) != before, "the request")
        clock.advance(AFTER_S + 1)
        c.answer().expect(200, "well")
        rounds += 1
        assert rounds < 60
    assert 4 < stopped.count() < 20
    w1.wait_log(f"{stopped} is not asked for 600 s: others answer for it")


@pytest.mark.tsan
def test_a_part_of_the_answers_says_when(two, forebay, clock):
    w1 = hedged(forebay, two, {"after": "90%", "budget": "100%"})
    gates = hold_first(two)
    c = w1.client().ask("GET", "/early")
    slow_and_quick(two)
    clock.advance(20)                                       # nothing is known yet: no second one
    assert w1.metric("forebay_upstream_hedges_total") == 0
    for gate in gates.values():
        gate.release()
    c.answer().expect(200)

    def ask(me):
        with w1.client() as client:
            for n in range(60):
                client.get(f"/{me}/{n}").expect(200)
    together(*[lambda me=me: ask(me) for me in range(4)])
    known = w1.metric("forebay_upstream_hedges_total")
    gates = hold_first(two)
    before = sum(o.count() for o in two)
    c = w1.client().ask("GET", "/late")
    wait_until(lambda: sum(o.count() for o in two) >= before + 1, "the first server asked")
    clock.advance(5)
    wait_until(lambda: sum(o.count() for o in two) == before + 2, "the second server asked")
    assert w1.metric("forebay_upstream_hedges_total") == known + 1
    for gate in gates.values():
        gate.release()
    c.answer().expect(200)


@pytest.mark.parametrize("hedge, words", [
    ("40%", "50%"), ("100%", "99.9%"), ("0ms", "1ms"), ("soon", "hedge"), ({"budget": "0%"}, "1%"),
])
def test_what_cannot_be_meant_is_told(cli, tmp_path, hedge, words):
    path = tmp_path / "site.yaml"
    path.write_text(f'listen: ":8080"\nupstreams:\n  app:\n    servers: [h:1, h:2]\n    hedge: {hedge}\nroutes: [{{match: /**}}]\n')
    told = cli("check", "-c", path)
    assert told.returncode != 0 and words in told.stderr and "site.yaml:5" in told.stderr
