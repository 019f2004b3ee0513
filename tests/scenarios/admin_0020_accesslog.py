"""The access log: one line for each request, whatever becomes of the file."""

import json
import re
import signal

import pytest

from stage.waiting import wait_until

COMBINED = re.compile(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "(.*?)" (\d{3}) (\d+) "(.*?)" "(.*?)"')
MEMBERS = ["time", "request_id", "client", "method", "scheme", "host", "path", "protocol", "status", "bytes", "bytes_in",
           "duration_ms", "wait_ms", "origin_ms", "route", "cache", "tier", "reason", "detail", "upstream", "server", "tries", "hedge",
           "end", "fetch_end", "referer", "user_agent"]


@pytest.mark.smoke
def test_a_json_line_tells_what_became_of_a_request(origin, forebay):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=60")
    w1 = forebay(app=origin)
    answer = w1.get("/news?page=2", user_agent="Play/1.0", referer="https://example.com/").expect(200)
    w1.get("/news?page=2").expect(200, x_cache_status="HIT")

    miss, = w1.access(path="/news?page=2", cache="MISS")
    hit, = w1.access(path="/news?page=2", cache="HIT")
    assert list(miss) == MEMBERS
    assert miss["request_id"] == answer.headers.get("X-Request-Id") != hit["request_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", miss["time"])
    assert (miss["client"], miss["method"], miss["scheme"], miss["protocol"], miss["status"], miss["end"]) == \
        ("127.0.0.1", "GET", "http", "HTTP/1.1", 200, "done")
    assert (miss["tier"], miss["upstream"], miss["user_agent"], miss["referer"]) == \
        ("origin", "app", "Play/1.0", "https://example.com/")
    assert 0 < miss["origin_ms"] <= miss["duration_ms"]
    assert (hit["tier"], hit["origin_ms"]) == ("memory", None)


def test_what_a_client_sends_cannot_forge_a_line_and_secrets_stay_out(origin, forebay):
    origin.on("GET /").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    w1.get("/", user_agent='x"} {"status":500,"a":"\\', authorization="Bearer t0psecret", cookie="sid=t0psecret").expect(200)
    line, = w1.access()
    assert line["user_agent"] == 'x"} {"status":500,"a":"\\' and line["status"] == 200
    assert "t0psecret" not in w1.access_path.read_text()


def test_a_combined_line_is_read_by_every_tool(origin, forebay):
    origin.on("GET /news").reply(200, "spring flood", cache_control="no-store")
    w1 = forebay('log: {access: {path: "@DIR@/access.log", format: combined}}', app=origin)
    w1.get("/news", user_agent='Play "1"').expect(200)
    text = wait_until(lambda: w1.access_path.exists() and re.match(r".*\n", w1.access_path.read_text()), "a line")[0]
    client, _, request, status, size, referer, agent = COMBINED.fullmatch(text.rstrip("\n")).groups()
    assert (client, request, status, referer, agent) == ("127.0.0.1", "GET /news HTTP/1.1", "200", "-", r"Play \x221\x22")
    assert int(size) >= len("spring flood")


def test_after_a_rotation_lines_go_to_the_new_file_and_none_is_lost(origin, forebay):
    origin.on("GET /").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    rotated = w1.access_path.with_suffix(".1")
    for _ in range(5):
        w1.get("/").expect(200)
    w1.access_path.rename(rotated)
    w1.get("/").expect(200)
    w1.wait_metric("forebay_access_log_lines_total", 6)     # the last request has ended, not only been answered
    w1.signal(signal.SIGUSR1)
    wait_until(w1.access_path.exists, "the new file")
    for _ in range(3):
        w1.get("/").expect(200)
    w1.access(3)
    w1.stop()
    old, new = ([json.loads(line) for line in path.read_text().splitlines()] for path in (rotated, w1.access_path))
    assert len(old) + len(new) == 9 and len(old) >= 6


def test_a_stop_writes_the_last_lines(origin, forebay):
    origin.on("GET /").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    for _ in range(20):
        w1.get("/").expect(200)
    w1.stop()
    assert len(w1.access_path.read_text().splitlines()) == 20


def test_a_full_disk_costs_no_request_and_is_said_once(origin, forebay):
    origin.on("GET /").reply(200, "still here", cache_control="no-store")
    w1 = forebay('log: {access: {path: /dev/full, format: json}}', app=origin)
    for _ in range(10):
        w1.get("/").expect(200, "still here")
    w1.wait_metric("forebay_access_log_errors_total", lambda n: n >= 1)
    w1.wait_metric("forebay_access_log_lines_total", 10)    # the last request has ended, not only been answered
    assert w1.metric("forebay_access_log_bytes_total") == 0
    w1.wait_log("access log: No space left")
    assert len(re.findall("access log: No space left", w1.log)) == 1

    w1.reload('log: {access: {path: "@DIR@/access.log", format: json}}', says="generation 2")     # there is room again
    assert len(w1.access(10)) == 10
    w1.wait_log("lines are written again")


def test_off_means_off(origin, forebay):
    origin.on("GET /").reply(200, cache_control="no-store")
    w1 = forebay("log: {access: off}", app=origin)
    w1.get("/").expect(200)
    w1.wait_metric("forebay_http_requests_total", 1)
    assert not w1.access_path.exists()


def test_a_line_names_the_server_that_answered_and_how_many_were_asked(origins, forebay):
    good, bad = origins("good"), origins("bad")
    good.on("/*").reply(200, "good", cache_control="no-store")
    good.on("GET /kept").reply(200, "good", cache_control="max-age=60")
    bad.on("/*").reply(503, "bad", cache_control="no-store")
    bad.on("POST /*").hangup()
    app = {"servers": [str(good), str(bad)], "ejection": "off"}
    w1 = forebay({"upstreams": {"app": app}, "routes": [{"match": "/**"}]})
    asked = [w1.get(f"/{n}").expect(200) for n in range(4)]
    lines = [w1.access(path=f"/{n}")[0] for n in range(len(asked))]
    assert {line["server"] for line in lines} == {str(good)} and {line["tries"] for line in lines} == {1, 2}
    w1.get("/kept").expect(200)
    w1.get("/kept").expect(200, x_cache_status="HIT")
    hit, = w1.access(path="/kept", cache="HIT")
    assert (hit["server"], hit["tries"]) == ("", 0)
    good.on("POST /*").hangup()
    w1.post("/up", b"x").expect(502)
    failed, = w1.access(path="/up")
    assert failed["server"] in (str(good), str(bad)) and (failed["tries"], failed["fetch_end"]) == (1, "closed_early")
    for origin in (good, bad):
        origin.refuse()
    w1.wait_metric("forebay_upstream_connections", 0)       # none is left that looks as if it were good
    w1.get("/none").expect(502)
    none, = w1.access(path="/none")
    assert (none["tries"], none["fetch_end"]) == (2, "refused")


def test_an_extended_line_says_it_in_text(origin, forebay):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=60")
    w1 = forebay('log: {access: {path: "@DIR@/access.log", format: extended}}', app=origin)
    c = w1.client()  # lines of one worker keep their order
    c.get("/news", user_agent="Play/1.0").expect(200)
    c.get("/news", user_agent="Play/1.0").expect(200)
    w1.wait_metric("forebay_access_log_lines_total", 2)
    w1.stop()
    miss, hit = w1.access_path.read_text().splitlines()
    assert re.search(rf'"Play/1.0" MISS {origin} 1 \d+\.\d{{3}} \d+\.\d{{3}}$', miss), miss
    assert re.search(r'"Play/1.0" HIT - 0 - \d+\.\d{3}$', hit), hit
