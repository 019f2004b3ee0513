"""Active checks: who is down gets no requests, and who is up again does."""

import pytest
from stage.checks import CHECKS, EVERY_S, Rounds


def checked(forebay, servers, health, **upstream):
    app = {"servers": [str(o) for o in servers], "health": health, "ejection": "off", **upstream}
    return forebay({"upstreams": {"app": app}})


@pytest.fixture
def two(origins):
    made = [origins("o1"), origins("o2")]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    return made


def who(w1, n=6):
    """Who answers so many requests."""
    return {w1.get("/a").expect(200).text for _ in range(n)}


@pytest.mark.tsan
@pytest.mark.parametrize("path", ["/health", None], ids=["http", "tcp"])
def test_a_server_that_goes_is_down_and_up_again_when_it_comes_back(two, forebay, clock, path):
    w1 = checked(forebay, two, {**CHECKS, **({"path": path} if path else {})})
    rounds = Rounds(w1, clock)
    assert w1.metric("forebay_upstream_up", server=str(two[0])) == 1
    two[0].refuse()
    rounds.until(two[0], up=False)
    w1.wait_log(f"{two[0]} is down: no connection for a check")
    failures = w1.metric("forebay_upstream_connect_failures_total")
    assert who(w1) == {"o2"}
    assert w1.metric("forebay_upstream_connect_failures_total") == failures
    two[0].accept()
    rounds.until(two[0], up=True)
    w1.wait_log(f"{two[0]} is up again")
    assert who(w1) == {"o1", "o2"}


@pytest.mark.parametrize("answer", [
    {"status": 503, "body": "all is well"},
    {"status": 200, "body": "out of order"},
    {"status": 200, "body": [b"all is ", b"broken"]},
], ids=["status", "body", "chunks"])
def test_an_answer_that_is_not_the_expected_one_is_a_failure(two, forebay, clock, answer):
    for origin in two:
        origin.on("GET /health").reply(200, "database: ok; all is well")
    w1 = checked(forebay, two, {**CHECKS, "path": "/health", "body": "all is well", "host": "checks.test"})
    rounds = Rounds(w1, clock)
    for _ in range(2):
        rounds.next()
    assert two[0].count("GET /health") == 3 and two[0].last("GET /health").headers["Host"] == "checks.test"
    assert w1.metric("forebay_upstream_checks_failed_total") == 0 and w1.metric("forebay_upstream_up") == 2
    two[0].on("GET /health").reply(answer["status"], answer["body"])
    rounds.until(two[0], up=False)
    assert who(w1) == {"o2"}


def test_a_check_that_is_not_answered_in_time_is_a_failure(two, forebay, clock):
    gate = two[0].on("GET /health").reply(200, "late").hold()
    w1 = checked(forebay, two, {**CHECKS, "path": "/health"})
    for failed in (1, 2):
        gate.wait_arrived(failed)
        clock.advance(EVERY_S)              # the end of the one, and the beginning of the next
        w1.wait_metric("forebay_upstream_checks_failed_total", failed, server=str(two[0]))
    assert w1.metric("forebay_upstream_up", server=str(two[0])) == 0
    w1.wait_log(f"{two[0]} is down: no answer to a check in time")
    gate.wait_arrived(3)
    gate.release()
    w1.wait_metric("forebay_upstream_checks_total", 3, server=str(two[0]))
    Rounds(w1, clock).until(two[0], up=True)


def test_a_reload_goes_on_with_what_is_known_and_off_ends_it(two, forebay, clock):
    w1 = checked(forebay, two, {**CHECKS, "path": "/health"})
    rounds = Rounds(w1, clock)
    two[0].refuse()
    rounds.until(two[0], up=False)
    w1.reload()
    assert w1.metric("forebay_upstream_up", server=str(two[0])) == 0
    w1.reload({"upstreams": {"app": {"servers": [str(o) for o in two], "ejection": "off"}}})
    w1.wait_metric("forebay_upstream_up", 1, server=str(two[0]))
    asked = two[1].count("GET /health")
    for _ in range(3):
        clock.advance(EVERY_S)
        who(w1, 3)                      # so the workers have seen the time
    assert two[1].count("GET /health") == asked


def test_what_cannot_be_meant_is_told(cli, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text('listen: ":8080"\nupstreams:\n  app:\n    servers: h:1\n'
                    '    health: {path: "no path", interval: 1s, timeout: 2s, statuses: [ok]}\n    ejection: {time: 10s, max_time: 5s}\nroutes: [{match: /**}]\n')
    told = cli("check", "-c", path).stderr
    for words in ('"no path" is no path', "it is longer than interval", '"ok" is no status', "it is shorter than time"):
        assert words in told


def test_readiness_and_status_tell_who_is_not_asked(two, forebay, clock):
    w1 = checked(forebay, two, {**CHECKS, "path": "/health"})
    two[0].on("GET /health").reply(500, "no")
    Rounds(w1, clock).until(two[0], up=False)
    told = w1.admin("GET", "/health/ready").expect(200).json()["checks"]["upstream.app"]
    assert told["healthy"] and told["message"] == "2 of 2 servers accept connections; not asked: 1 down"
    assert "not asked: 1 down" in w1.cli("status").stdout
