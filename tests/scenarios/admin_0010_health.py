"""What the daemon tells about itself."""

import re

import pytest

pytestmark = pytest.mark.smoke


def test_it_is_alive_and_ready(origin, forebay):
    w1 = forebay(app=origin)
    assert w1.admin("GET", "/health").expect(200).json()["status"] == "ok"
    told = w1.admin("GET", "/health/ready").expect(200).json()
    assert {"service", "status", "timestamp", "uptime", "checks", "system"} <= set(told)
    assert told["status"] == "ok" and told["service"] == "forebay"
    app = told["checks"]["upstream.app"]
    assert app["healthy"] is True and app["latency"] > 0 and app["message"]


def test_it_is_not_ready_when_its_only_upstream_is_down(origin, forebay):
    w1 = forebay(app=origin)
    origin.refuse()
    told = w1.admin("GET", "/health/ready").expect(503).json()
    assert told["status"] == "unavailable" and told["checks"]["upstream.app"]["healthy"] is False
    w1.admin("GET", "/health").expect(200)


def test_metrics_are_well_formed_and_explained(origin, forebay):
    origin.on("GET /").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    w1.get("/").expect(200)

    m = w1.metrics()
    ours = {name for name in m.types if name.startswith("forebay_")}
    assert ours and all(m.helps.get(name) for name in ours)
    w1.wait_metric("forebay_http_requests_total", 1, method="GET", code="200")
    assert m.sum("forebay_build_info") == 1
    assert m.sum("process_resident_memory_bytes") > 0 and m.sum("process_start_time_seconds") > 0


def test_one_request_is_seen_from_every_side(origin, forebay):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, x_cache_status="MISS")
    w1.get("/news").expect(200, x_cache_status="HIT")

    w1.wait_metric("forebay_http_requests_total", 2)
    w1.wait_metric("forebay_cache_requests_total", 1, status="MISS", tier="origin")
    w1.wait_metric("forebay_cache_requests_total", 1, status="HIT", tier="memory")
    w1.wait_metric("forebay_http_request_duration_seconds_count", 1, status="HIT")
    w1.wait_metric("forebay_http_request_duration_seconds_bucket", 1, status="HIT", le="+Inf")
    w1.wait_metric("forebay_origin_duration_seconds_count", 1)
    w1.wait_metric("forebay_http_requests_ended_total", 2, end="done")
    w1.wait_metric("forebay_upstream_requests_total", 1, upstream="app", server=str(origin))
    w1.wait_metric("forebay_cache_objects", 1)


def test_the_token_guards_all_but_health(origin, forebay):
    w1 = forebay('admin: {address: "127.0.0.1:@ADMIN@", token: s3cret-s3cret-s3cret}', app=origin)
    w1.admin("GET", "/health/ready").expect(200)
    w1.admin("GET", "/metrics").expect(401, www_authenticate=re.compile("^Bearer"))
    w1.admin("GET", "/metrics", authorization="Bearer wrong").expect(401)
    w1.admin("GET", "/nowhere").expect(401)
    page = w1.admin("GET", "/metrics", authorization="Bearer s3cret-s3cret-s3cret").expect(200).text
    assert "forebay_admin_denied_total 3" in page
    w1.admin("POST", "/metrics", authorization="Bearer s3cret-s3cret-s3cret").expect(405, allow="GET, HEAD")
    w1.admin("GET", "/nowhere", authorization="Bearer s3cret-s3cret-s3cret").expect(404)
    assert "s3cret" not in w1.log


def test_a_configuration_that_is_wrong_is_shown_and_nothing_starts(cli, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text('listen: ":8080"\nupstreams: {app: "127.0.0.1:3000"}\nroutes:\n  - match: /**\n    cahce: off\n')
    for command in ("check", "serve"):
        done = cli(command, "-c", path)
        assert done.returncode != 0 and "bad.yaml:5:5" in done.stderr + done.stdout and "cache" in done.stderr + done.stdout
