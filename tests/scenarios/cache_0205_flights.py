"""One fetch for many: what they may count on, and what becomes of them when it goes wrong."""

import pytest

from stage.client import Hangup
from stage.gate import Gate
from stage.origin import Reply

pytestmark = pytest.mark.tsan


def crowd(w1, n, target="/news", **words):
    return [w1.client().ask("GET", target, **words) for _ in range(n)]


def all_ride(w1, n):
    w1.wait_metric("forebay_flights_total", n, role="ride")


def test_a_hundred_at_once_are_one_request(origin, forebay):
    gate = origin.on("GET /news", times=1).reply(200, "spring flood" * 9000, cache_control="max-age=60").hold()
    w1 = forebay("workers: 4", app=origin)
    clients = crowd(w1, 100)
    all_ride(w1, 99)
    gate.release()
    words = [c.answer().expect(200, "spring flood" * 9000).cache_status for c in clients]
    assert set(words) <= {"MISS"}
    assert w1.metric("forebay_flights_total", role="lead") == 1


def test_all_who_wait_read_along_over_all_workers(origin, forebay):
    first, second = Gate(), Gate()
    origin.on("GET /long", times=1).reply(200, [first, "a" * 70000, second, "b" * 70000], cache_control="max-age=60")
    w1 = forebay("workers: 4", app=origin)
    clients = crowd(w1, 30, "/long")
    all_ride(w1, 29)
    first.release()
    answers = [(c, c.begin_answer()) for c in clients]
    for _, r in answers:
        assert r.stream.at_least(70000)[:70000] == b"a" * 70000     # and the rest has not been sent
    late = w1.client()
    r = late.begin("GET", "/long")
    assert r.stream.at_least(70000)[:70000] == b"a" * 70000         # who comes late is given what there is
    second.release()
    for c, r in [*answers, (late, r)]:
        c.finish(r).expect(200, "a" * 70000 + "b" * 70000)


@pytest.mark.parametrize("when", ["before the head", "in the body"])
def test_the_first_may_leave(origin, forebay, when):
    start, middle = Gate(), Gate(is_open=when == "before the head")
    origin.on("GET /long", times=1).reply(200, [start, "a" * 50000, middle, "b"], cache_control="max-age=60")
    w1 = forebay("workers: 3", app=origin)
    leader = w1.client().ask("GET", "/long")
    origin.wait_asked(1)
    others = crowd(w1, 6, "/long")
    all_ride(w1, 6)
    if when == "in the body":
        start.release()
        assert leader.begin_answer().stream.at_least(50000)
    leader.reset()
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_gone")
    start.release()
    middle.release()
    for c in others:
        c.answer().expect(200, "a" * 50000 + "b")
    w1.wait_metric("forebay_cache_objects", 1)
    w1.get("/long").expect(200, "a" * 50000 + "b", x_cache_status="HIT")


def test_a_fetch_nobody_waits_for_any_more_is_kept_all_the_same(origin, forebay):
    gate = origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60").hold()
    w1 = forebay(app=origin)
    leader = w1.client().ask("GET", "/news")
    origin.wait_asked(1)
    leader.reset()
    w1.wait_metric("forebay_http_requests_ended_total", 1, end="client_gone")
    gate.release()
    w1.wait_metric("forebay_cache_objects", 1)
    w1.get("/news").expect(200, "spring flood", x_cache_status="HIT")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("then", ["close", "reset"])
def test_half_a_body_is_never_passed_off_as_a_whole_one(origin, forebay, framing, then):
    start, middle = Gate(), Gate()
    rule = origin.on("GET /long").reply(200, [start, "a" * 50000, middle, "b" * 50000], framing=framing, cut=50000, then=then,
                                        **({"length": 100000} if framing == "length" else {}), cache_control="max-age=60")
    rule.reply(200, "whole", cache_control="max-age=60")
    w1 = forebay("workers: 3", app=origin)
    clients = crowd(w1, 9, "/long")
    all_ride(w1, 8)
    start.release()
    answers = [(c, c.begin_answer()) for c in clients]
    for _, r in answers:
        r.stream.at_least(50000)
    middle.release()
    for c, r in answers:
        c.finish(r)
        assert r.status == 200 and not r.complete
    w1.get("/long").expect(200, "whole", x_cache_status="MISS")     # and nothing of it was kept


def test_a_close_delimited_body_that_is_reset_is_not_kept(origin, forebay):
    rule = origin.on("GET /old").reply(200, "half of", framing="close", then="reset", cache_control="max-age=60")
    rule.reply(200, "all of it", cache_control="max-age=60")
    w1 = forebay(app=origin)
    r = w1.get("/old")
    assert not r.complete or r.status == 502
    w1.get("/old").expect(200, "all of it", x_cache_status="MISS")


@pytest.mark.parametrize("fields", [{"cache_control": "no-store"}, {"cache_control": "private, max-age=60"}, {"set_cookie": "sid=1", "cache_control": "max-age=60"},
                                    {"vary": "*", "cache_control": "max-age=60"}])
def test_what_is_for_one_is_fetched_by_each_and_at_the_same_time(origin, forebay, fields):
    rule = origin.on("GET /mine")
    for n in range(11):
        rule.reply(200, f"for number {n}", **fields)
    gate = rule.hold()
    w1 = forebay("workers: 3", app=origin)
    clients = crowd(w1, 10, "/mine")
    all_ride(w1, 9)
    gate.wait_arrived()
    gate.release()
    gate.hold()
    origin.wait_asked(10)                                           # all nine, before one of them is answered
    gate.release()
    assert sorted(c.answer().expect(200).text for c in clients) == sorted(f"for number {n}" for n in range(10))


def test_a_key_that_proved_to_be_private_makes_nobody_wait_again(origin, forebay, clock):
    rule = origin.on("GET /mine").reply(200, "mine", cache_control="private")
    w1 = forebay(app=origin)
    w1.get("/mine").expect(200)
    gate = rule.hold()
    clients = crowd(w1, 8, "/mine")
    origin.wait_asked(9)                                            # side by side at once
    gate.release()
    for c in clients:
        c.answer().expect(200, "mine")
    assert w1.metric("forebay_flights_total", role="ride") == 0


def test_a_fetch_without_an_answer_fails_all_who_wait_at_once(origin, forebay):
    gate = origin.on("GET /news", times=1).hangup().hold()
    w1 = forebay("workers: 3", app=origin)
    clients = crowd(w1, 10)
    all_ride(w1, 9)
    gate.release()
    for c in clients:
        c.answer().expect(502)


def speak(exchange):
    text = f"in {exchange.request.headers.get('Accept-Language')}"
    exchange.head(200, [("Content-Length", len(text)), ("Vary", "Accept-Language"), ("Cache-Control", "max-age=60")])
    exchange.send(text)


def test_each_waits_for_its_own_variant_which_is_fetched_once(origin, forebay):
    gate = origin.on("GET /news").do(speak).hold()
    w1 = forebay("workers: 3", app=origin)
    clients = [(language, w1.client().ask("GET", "/news", accept_language=language)) for language in ("de", "fr", "it") * 10]
    all_ride(w1, 29)
    gate.release()
    for language, c in clients:
        c.answer().expect(200, f"in {language}")
    assert origin.count("GET /news") == 3


def test_nobody_waits_for_a_variant_that_is_known_to_be_for_others(origin, forebay):
    rule = origin.on("GET /news").do(speak)
    w1 = forebay("workers: 3", app=origin)
    w1.get("/news", accept_language="de").expect(200, "in de")
    gate = rule.hold()
    clients = [(language, w1.client().ask("GET", "/news", accept_language=language)) for language in ("fr", "it") * 5]
    origin.wait_asked(3)                                            # both at once
    all_ride(w1, 8)
    gate.release()
    for language, c in clients:
        c.answer().expect(200, f"in {language}")
    assert origin.count("GET /news") == 3


def test_a_slow_reader_does_not_hold_up_the_others(origin, forebay):
    body = bytes(range(256)) * 16384                                # 4 MiB, kept as it is under max_object
    origin.on("GET /film", times=1).reply(200, body, cache_control="max-age=60")
    w1 = forebay(app=origin)
    slow = w1.client()
    r = slow.begin("GET", "/film")                                  # reads no more for now
    for _ in range(3):
        w1.get("/film").expect(200, body)
    slow.finish(r).expect(200, body)


@pytest.mark.parametrize("fields", [{}, {"vary": "Accept-Language"}, {"cache_control": "no-cache"}])
def test_a_failing_origin_is_asked_once_for_all_who_wait(origin, forebay, fields):
    gate = origin.on("GET /news", times=1).reply(503, "out of order", **fields).hold()
    w1 = forebay("workers: 3", app=origin)
    clients = crowd(w1, 10)
    all_ride(w1, 9)
    gate.release()
    for c in clients:
        r = c.answer().expect(503, "out of order")
        assert "stored" not in r.headers["cache-status"]            # none of them claims that it is


def test_those_who_come_after_a_failure_gather_again(origin, forebay):
    rule = origin.on("GET /news", times=2).reply(500, "out of order").reply(200, "spring flood", cache_control="max-age=60")
    w1 = forebay("workers: 3", app=origin)
    w1.get("/news").expect(500)
    gate = rule.hold()
    clients = crowd(w1, 10)
    all_ride(w1, 9)
    gate.release()
    for c in clients:
        c.answer().expect(200, "spring flood")


def gated(*answers):
    """The answers, each behind a gate of its own: plays and gates."""
    def play(gate, answer):
        def run(exchange):
            gate.pass_through()
            answer(exchange)
        return run
    gates = [Gate() for _ in answers]
    return [play(g, a) for g, a in zip(gates, answers)], gates


PRIVATE_FAILURES = [{"cache_control": "no-store"}, {"cache_control": "private"}, {"set_cookie": "sid=1"}, {"vary": "*"}]


@pytest.mark.parametrize("fields", PRIVATE_FAILURES)
def test_a_failure_meant_for_one_makes_one_of_the_others_ask_for_all(origin, forebay, fields):
    plays, (first, second) = gated(Reply(500, "for one", **fields), Reply(200, "spring flood", cache_control="max-age=60"))
    origin.on("GET /news", times=2).do(plays[0]).do(plays[1])
    w1 = forebay("workers: 3", app=origin)
    clients = crowd(w1, 10)
    all_ride(w1, 9)
    first.release()
    all_ride(w1, 9 + 8)                                             # eight of the nine behind one of them
    second.release()
    answers = [c.answer() for c in clients]
    assert sorted((r.status, r.text) for r in answers) == [(200, "spring flood")] * 9 + [(500, "for one")]


@pytest.mark.parametrize("fields", PRIVATE_FAILURES)
def test_an_origin_that_goes_on_failing_is_asked_twice_whoever_waits(origin, forebay, fields):
    plays, (first, second) = gated(*[Reply(500, "for one", **fields)] * 2)
    origin.on("GET /news", times=2).do(plays[0]).do(plays[1])
    w1 = forebay("workers: 3", app=origin)
    clients = crowd(w1, 10)
    all_ride(w1, 9)
    first.release()
    all_ride(w1, 9 + 8)
    second.release()
    answers = [c.answer().expect(500) for c in clients]
    assert sum(r.text == "for one" for r in answers) == 2           # each to the one whose request it was
    assert sum("proxy-status" in r.headers for r in answers) == 8


def test_a_failure_caused_with_a_cookie_is_not_shown_to_others(origin, forebay):
    plays, (first, second) = gated(Reply(500, "trouble with your account"), Reply(200, "spring flood", cache_control="max-age=60"))
    origin.on("GET /news", times=2).do(plays[0]).do(plays[1])
    w1 = forebay(app=origin)
    leader = w1.client().ask("GET", "/news", cookie="sid=1")
    origin.wait_asked(1)
    others = crowd(w1, 4)
    all_ride(w1, 4)
    first.release()
    all_ride(w1, 4 + 3)
    second.release()
    leader.answer().expect(500, "trouble with your account")
    for c in others:
        c.answer().expect(200, "spring flood")


BROKEN = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n+0\r\n\r\n"


def broken(exchange):
    exchange.send(BROKEN)
    exchange.end("close")


def test_who_has_had_nothing_of_what_broke_off_asks_once_more(origin, forebay):
    plays, (first, second) = gated(broken, Reply(200, "spring flood", cache_control="max-age=60"))
    origin.on("GET /news", times=2).do(plays[0]).do(plays[1])
    w1 = forebay("workers: 1", app=origin)                          # none hears of the head before the break
    leader = w1.client().ask("GET", "/news")
    origin.wait_asked(1)
    others = crowd(w1, 5)
    all_ride(w1, 5)
    first.release()
    all_ride(w1, 5 + 4)
    second.release()
    leader.answer().expect(502)
    for c in others:
        c.answer().expect(200, "spring flood")


def test_what_breaks_off_again_is_told(origin, forebay):
    plays, (first, second) = gated(broken, broken)
    origin.on("GET /news", times=2).do(plays[0]).do(plays[1])
    w1 = forebay("workers: 1", app=origin)
    clients = crowd(w1, 6)
    all_ride(w1, 5)
    first.release()
    all_ride(w1, 5 + 4)
    second.release()
    for c in clients:
        c.answer().expect(502)


def test_what_must_be_validated_for_each_is_not_waited_for(origin, forebay):
    rule = origin.on("GET /news").reply(200, "spring flood", cache_control="no-cache", etag='"7"', revalidates=True)
    w1 = forebay("workers: 3", app=origin)
    w1.get("/news").expect(200, x_cache_status="MISS")
    gate = rule.hold()
    clients = crowd(w1, 5)
    origin.wait_asked(6)                                            # side by side
    gate.release()
    for c in clients:
        c.answer().expect(200, "spring flood", x_cache_status="REVALIDATED")


def test_a_key_that_can_be_kept_after_all_is_gathered_for_again(origin, forebay, clock):
    rule = origin.on("GET /news").reply(200, "one", cache_control="private")
    rule.reply(200, "two", cache_control="max-age=5").reply(200, "three", cache_control="max-age=5")
    w1 = forebay("workers: 3", app=origin)
    w1.get("/news").expect(200, "one")
    w1.get("/news").expect(200, "two")
    clock.advance(6)                                                # less than what such a key is remembered for
    gate = rule.hold()
    clients = crowd(w1, 5)
    all_ride(w1, 4)
    gate.release()
    for c in clients:
        c.answer().expect(200, "three")
    assert len(origin.requests) == 3


def test_who_forbids_to_store_gathers_nobody(origin, forebay):
    gate = origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=60").hold()
    w1 = forebay("workers: 2", app=origin)
    alone = w1.client().ask("GET", "/news", cache_control="no-store")
    origin.wait_asked(1)
    clients = crowd(w1, 5)
    all_ride(w1, 4)
    gate.release()
    for c in [alone, *clients]:
        c.answer().expect(200, "spring flood")
    assert len(origin.requests) == 2
