"""Active checks: who is down gets no requests, and who is up again does."""

import pytest


def checked(forebay, servers, health, **upstream):
    app = {"servers": [str(o) for o in servers], "health": health, "ejection": "off", **upstream}
    return forebay({"upstreams": {"app": app}})


@pytest.fixture
def two(origins):
    made = [origins("o1"), origins("o2")]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    return made


def until_state(w1, server, up):
    w1.wait_metric("forebay_upstream_up", up, server=str(server))


FAST = {"interval": "500ms", "timeout": "500ms", "fall": 2, "rise": 2}


@pytest.mark.tsan
@pytest.mark.parametrize("path", ["/health", None], ids=["http", "tcp"])
def test_a_server_that_goes_is_down_and_up_again_when_it_comes_back(two, forebay, path):
    w1 = checked(forebay, two, {**FAST, **({"path": path} if path else {})})
    until_state(w1, two[0], 1)
    two[0].refuse()
    until_state(w1, two[0], 0)
    w1.wait_log(f"{two[0]} is down: no connection for a check")
    failures = w1.metric("forebay_upstream_connect_failures_total")
    assert {w1.get("/a").expect(200).text for _ in range(6)} == {"o2"}
    assert w1.metric("forebay_upstream_connect_failures_total") == failures
    two[0].accept()
    until_state(w1, two[0], 1)
    w1.wait_log(f"{two[0]} is up again")
    assert {w1.get("/a").expect(200).text for _ in range(6)} == {"o1", "o2"}


@pytest.mark.parametrize("answer", [
    {"status": 503, "body": "all is well"},
    {"status": 200, "body": "out of order"},
    {"status": 200, "body": [b"all is ", b"broken"]},
], ids=["status", "body", "chunks"])
def test_an_answer_that_is_not_the_expected_one_is_a_failure(two, forebay, answer):
    for origin in two:
        origin.on("GET /health").reply(200, "database: ok; all is well")
    w1 = checked(forebay, two, {**FAST, "path": "/health", "body": "all is well", "host": "checks.test"})
    two[0].wait_asked(3, "GET /health")
    assert two[0].last("GET /health").headers["Host"] == "checks.test"
    until_state(w1, two[0], 1)
    two[0].on("GET /health").reply(answer["status"], answer["body"])
    until_state(w1, two[0], 0)
    assert {w1.get("/a").expect(200).text for _ in range(6)} == {"o2"}


def test_a_check_that_is_not_answered_in_time_is_a_failure(two, forebay):
    gate = two[0].on("GET /health").reply(200, "late").hold()
    w1 = checked(forebay, two, {**FAST, "path": "/health"})
    until_state(w1, two[0], 0)
    w1.wait_log(f"{two[0]} is down: no answer to a check in time")
    gate.release()
    until_state(w1, two[0], 1)


def test_a_reload_goes_on_with_what_is_known_and_off_ends_it(two, forebay):
    w1 = checked(forebay, two, {**FAST, "path": "/health"})
    two[0].refuse()
    until_state(w1, two[0], 0)
    w1.reload()
    assert w1.metric("forebay_upstream_up", server=str(two[0])) == 0
    w1.reload({"upstreams": {"app": {"servers": [str(o) for o in two], "ejection": "off"}}})
    until_state(w1, two[0], 1)
    asked = two[1].count("GET /health")
    for _ in range(3):
        w1.get("/a").expect(200)
    assert two[1].count("GET /health") == asked


def test_what_cannot_be_meant_is_told(cli, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text('listen: ":8080"\nupstreams:\n  app:\n    servers: h:1\n'
                    '    health: {path: "no path", interval: 1s, timeout: 2s, statuses: [ok]}\n    ejection: {time: 10s, max_time: 5s}\nroutes: [{match: /**}]\n')
    told = cli("check", "-c", path).stderr
    for words in ('"no path" is no path', "it is longer than interval", '"ok" is no status', "it is shorter than time"):
        assert words in told


def test_readiness_and_status_tell_who_is_not_asked(two, forebay):
    w1 = checked(forebay, two, {**FAST, "path": "/health"})
    two[0].on("GET /health").reply(500, "no")
    until_state(w1, two[0], 0)
    told = w1.admin("GET", "/health/ready").expect(200).json()["checks"]["upstream.app"]
    assert told["healthy"] and told["message"] == "2 of 2 servers accept connections; not asked: 1 down"
    assert "not asked: 1 down" in w1.cli("status").stdout
