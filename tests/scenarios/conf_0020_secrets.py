"""A password in a URL is shown in no complaint about the line it stands in, nor anywhere in the log."""

import pytest

URLS = ["redis://:open-sesame@127.0.0.1:1/0", "redis://user:open-sesame@127.0.0.1:1", "rediss://user:open-sesame@127.0.0.1:1/0?ca=/nowhere/ca.pem",
        "redis+cluster://user:open-sesame@127.0.0.1:1,127.0.0.1:2/", "redis://user:open-sesame@127.0.0.1:1/not-a-number"]


@pytest.mark.parametrize("url", URLS)
def test_a_password_in_a_url_is_not_shown(origin, forebay, url):
    w = forebay(f'cache: {{redis: {{url: "{url}", state_url: "{url}", timeout: 50 }}}}', app=origin, start=False)
    w.config_path.chmod(0o644)

    told = w.cli("check", check=1)

    assert "open-sesame" not in told.stdout + told.stderr
    assert "timeout" in told.stderr


def test_a_daemon_that_warns_does_not_tell(origin, forebay):
    w = forebay('cache: {redis: {url: "redis://:open-sesame@127.0.0.1:1/0"}}', app=origin, start=False)
    w.config_path.chmod(0o644)
    w.start()

    w.wait_log("everybody on this machine can read it")

    assert "open-sesame" not in w.log
