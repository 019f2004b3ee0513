"""What the daemon tells about itself."""

import pytest

pytestmark = pytest.mark.smoke


def test_it_is_alive_and_ready(origin, forebay):
    w1 = forebay(app=origin)
    w1.admin("GET", "/health").expect(200)
    told = w1.admin("GET", "/health/ready").expect(200).json()
    assert {"service", "status", "timestamp", "uptime", "checks", "system"} <= set(told)


def test_metrics_are_well_formed_and_explained(origin, forebay):
    origin.on("GET /").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    w1.get("/").expect(200)

    m = w1.metrics()
    ours = {name for name in m.types if name.startswith("forebay_")}
    assert ours and all(m.helps.get(name) for name in ours)
    w1.wait_metric("forebay_http_requests_total", 1, method="GET", code="200")
    assert m.sum("forebay_build_info") == 1


def test_a_configuration_that_is_wrong_is_shown_and_nothing_starts(cli, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text('listen: ":8080"\nupstreams: {app: "127.0.0.1:3000"}\nroutes:\n  - match: /**\n    cahce: off\n')
    for command in ("check", "serve"):
        done = cli(command, "-c", path)
        assert done.returncode != 0 and "bad.yaml:5:5" in done.stderr + done.stdout and "cache" in done.stderr + done.stdout
