"""A queue holds what comes too early, and gives way in order."""

import pytest

from stage.waiting import wait_until

DECIDED = "forebay_ratelimit_decisions_total"


def queued(rest, key="client", limit=1, window="10m"):
    return f"""
        rate_limits:
          one: {{algorithm: fixed_window, limit: {limit}, window: {window}, key: "{key}", {rest}}}
        routes: [{{match: /**, rate_limit: one, cache: off}}]
    """


class Line:
    """Clients that stand in line, in the order they came."""

    def __init__(self, w1):
        self.w1, self.clients = w1, []

    def join(self, name):
        self.clients.append(self.w1.client().ask("GET", f"/{name}"))
        self.w1.wait_metric(DECIDED, len(self.clients), limit="one", decision="queued")
        return self.clients[-1]


@pytest.fixture
def line(origin, forebay):
    origin.on("GET /*").reply(200)

    def begin(rest):
        w1 = forebay(queued(rest), app=origin)
        w1.get("/0").expect(200)
        return Line(w1)
    return begin


def test_the_oldest_goes_first(line, origin, clock):
    stand = line("queue: 5, queue_timeout: 1h")
    for name in "abc":
        stand.join(name)
    for n in range(3):
        clock.advance(601)
        stand.clients[n].answer().expect(200)
        assert [r.path for r in origin.requests] == ["/0", "/a", "/b", "/c"][:n + 2]
    stand.w1.wait_metric(DECIDED, 3, limit="one", decision="granted")


def test_the_newest_goes_first_where_the_limit_says_so(line, origin, clock):
    stand = line("queue: 2, queue_timeout: 1h, queue_order: newest_first")
    a, b = stand.join("a"), stand.join("b")
    c = stand.join("c")
    a.answer().expect(429)                                  # displaced by c
    for client, name in ((c, "/c"), (b, "/b")):
        clock.advance(601)
        client.answer().expect(200)
        assert origin.last().path == name


def test_what_the_queue_cannot_hold_is_refused_at_once(line):
    stand = line("queue: 2, queue_timeout: 1h")
    stand.join("a"), stand.join("b")
    r = stand.w1.get("/c").expect(429)
    assert 1200 <= int(r.headers["retry-after"]) <= 1800     # behind the two who wait


def test_nobody_waits_longer_than_the_timeout(line, clock, origin):
    stand = line("queue: 2, queue_timeout: 2m")
    a = stand.join("a")
    clock.advance(121)
    r = a.answer().expect(429)
    assert 400 <= int(r.headers["retry-after"]) <= 480
    stand.w1.wait_metric(DECIDED, 1, limit="one", decision="queue_timeout")
    assert origin.count() == 1


def test_who_leaves_the_queue_gives_his_place_away(line, clock, origin):
    stand = line("queue: 2, queue_timeout: 1h")
    a, b = stand.join("a"), stand.join("b")
    a.reset()
    stand.w1.wait_metric(DECIDED, 1, limit="one", decision="cancelled")
    c = stand.join("c")                                     # there is room again
    clock.advance(601)
    b.answer().expect(200)
    clock.advance(601)
    c.answer().expect(200)
    assert [r.path for r in origin.requests] == ["/0", "/b", "/c"]


def test_waiting_holds_no_connection_to_the_origin(line, origin):
    stand = line("queue: 5, queue_timeout: 1h")
    for name in "abcd":
        stand.join(name)
    assert origin.connections == 1 and origin.count() == 1


@pytest.mark.tsan
def test_a_crowd_on_all_workers_passes_in_windows(origin, forebay, clock):
    origin.on("GET /*").reply(200)
    w1 = forebay("workers: 4\n" + queued("queue: 30, queue_timeout: 1h", limit=10).replace("\n        ", "\n"), app=origin)
    clients = [w1.client().ask("GET", f"/{n}") for n in range(45)]
    w1.wait_metric(DECIDED, 30, limit="one", decision="queued")
    w1.wait_metric(DECIDED, 5, limit="one", decision="refused")
    for n in (10, 20, 30, 40):
        w1.wait_metric("forebay_http_requests_total", n, code="200")    # answered, or the clock would run past the origin's time-out
        assert origin.count() == n
        clock.advance(601)
    statuses = [c.answer().status for c in clients]
    assert statuses.count(200) == 40 and statuses.count(429) == 5


def test_a_crowd_that_leaves_while_it_is_served(forebay, clock):
    w1 = forebay("workers: 3\n" + queued("queue: 60, queue_timeout: 1h", limit=20).replace("\n        ", "\n").replace("cache: off", "respond: 204"))
    clients = [w1.client().ask("GET", f"/{n}") for n in range(80)]
    w1.wait_metric(DECIDED, 60, limit="one", decision="queued")
    for n, c in enumerate(clients):
        if n % 2:
            c.reset()
        if n == 40:
            clock.advance(601)
    w1.wait_metric("forebay_http_requests_ended_total", lambda gone: gone > 0, end="client_gone")
    for _ in range(3):
        before = w1.metric(DECIDED, decision="granted")
        clock.advance(601)
        wait_until(lambda: w1.metric(DECIDED, decision="granted") + w1.metric(DECIDED, decision="cancelled") >= 60
                   or w1.metric(DECIDED, decision="granted") >= before + 20, "the next window")
    for c in clients[::2]:
        assert c.answer().status == 204
    wait_until(lambda: w1.metric(DECIDED, decision="granted") + w1.metric(DECIDED, decision="cancelled") == 60, "all to be settled")


def test_a_stop_does_not_wait_for_the_queue_for_ever(line):
    stand = line("queue: 2, queue_timeout: 1h")
    a = stand.join("a")
    stand.w1.reload(stand.w1.config_path.read_text() + "\nlimits: {drain_timeout: 1s}\n", says="generation 2")
    stand.w1.stop()
    assert not a.is_open
