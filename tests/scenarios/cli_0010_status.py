"""What an operator types beside the running daemon: how is it, and take the new file."""

import json

import pytest

from stage.waiting import ports, wait_until

pytestmark = pytest.mark.smoke


def test_a_daemon_with_all_it_needs_is_ready(origin, forebay):
    w1 = forebay(app=origin)
    said = w1.cli("status").stdout
    assert "is ok" in said and f"pid {w1.pid}" in said and "generation 1" in said
    assert "upstream.app   good: 1 of 1 servers" in said
    told = json.loads(w1.cli("status", "--json").stdout)
    assert told["status"] == "ok" and told["system"]["pid"] == w1.pid


def test_one_whose_upstream_is_down_is_alive_but_not_ready(origin, forebay):
    w1 = forebay(app=origin)
    origin.refuse()
    said = w1.cli("status", check=1).stdout
    assert "is unavailable" in said and "upstream.app   DOWN" in said
    assert "is ok" in w1.cli("status", "--alive").stdout


def test_where_nobody_runs_it_says_what_to_do(origin, forebay):
    w1 = forebay(app=origin)
    w1.stop()
    done = w1.cli("status", check=2)
    assert "Connection refused" in done.stderr and "is Forebay running" in done.stderr
    assert w1.cli("status", "--alive", check=1).stdout == ""
    assert "is Forebay running" in w1.cli("reload", check=2).stderr


def test_the_address_can_be_named_and_the_token_is_shown(origin, forebay, cli):
    w1 = forebay('admin: {address: "127.0.0.1:@ADMIN@", token: s3cret-s3cret-s3cret}', app=origin)
    assert "is ok" in w1.cli("status").stdout
    done = cli("status", "--address", f"127.0.0.1:{w1.port('ADMIN')}")
    assert done.returncode == 0, done.stderr
    origin.on("GET /health/ready").reply(404)
    done = cli("status", "--address", w1.address)
    assert done.returncode == 2 and "not as Forebay's admin interface" in done.stderr


def test_a_reload_tells_when_the_new_file_is_in_use(origin, forebay):
    origin.on("GET /**").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    w1.configure("routes:\n  - match: /new\n    respond: {status: 204}\n  - match: /**\n")
    assert "generation 2" in w1.cli("reload").stdout
    w1.get("/new").expect(204)
    told = json.loads(w1.cli("reload", "--json").stdout)
    assert told["result"] == "taken" and told["pid"] == w1.pid


def test_a_wrong_file_is_shown_and_not_sent(origin, forebay):
    w1 = forebay(app=origin)
    w1.configure("routes:\n  - match: /**\n    cahce: off\n")
    done = w1.cli("reload", check=1)
    assert 'did you mean "cache"?' in done.stderr and "nothing was sent" in done.stderr
    assert json.loads(w1.cli("reload", "--json", check=1).stdout)["result"] == "wrong"
    assert "generation 1" in w1.cli("status", "--address", f"127.0.0.1:{w1.port('ADMIN')}", check=None).stdout


def test_what_only_the_daemon_finds_is_told_too(origins, forebay):
    o1 = origins("o1")
    w1, taken = forebay(app=o1), forebay(app=o1)
    w1.configure(f'listen: ["127.0.0.1:@PORT@", "{taken.address}"]')
    done = w1.cli("reload", check=1)
    assert "goes on with the old configuration" in done.stderr
    w1.wait_log("is taken")
    assert "1 reload refused" in w1.cli("status").stdout
    assert w1.metric("forebay_config_reloads_failed_total") == 1
    w1.configure("")
    assert "has taken" in w1.cli("reload").stdout


def test_a_file_that_moves_the_admin_interface(origin, forebay):
    w1 = forebay(app=origin)
    w1.configure('admin: {address: "127.0.0.1:@ADMIN2@"}')
    assert "--pid" in w1.cli("reload", check=2).stderr
    assert "has taken" in w1.cli("reload", "--pid", w1.pid).stdout
    assert "generation 2" in w1.cli("status").stdout


def test_without_an_admin_interface_the_daemon_can_be_told_but_not_asked(origin, forebay):
    origin.on("GET /*").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    w1.configure("admin: off\nroutes:\n  - match: /new\n    respond: {status: 204}\n  - match: /**\n")
    assert "nobody to ask" in w1.cli("status", check=2).stderr
    assert "its log" in w1.cli("reload", "--pid", w1.pid).stdout
    wait_until(lambda: w1.get("/new").status == 204, "the new configuration")


@pytest.mark.parametrize("command", ["status", "reload"])
def test_they_explain_themselves(cli, command):
    done = cli(command, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: forebay {command}")
    done = cli(command, "now")
    assert done.returncode == 2 and "--help" in done.stderr


def test_a_state_directory_is_one_daemons_own(origin, forebay, cli):
    w1 = forebay(app=origin)
    other = w1.directory / "other.yaml"
    other.write_text(f'listen: "127.0.0.1:{ports.free()}"\nadmin: off\nroutes:\n  - match: /**\n    respond: {{status: 204}}\n')
    done = cli("serve", "-c", other, env=w1.env)
    assert done.returncode == 1 and f"pid {w1.pid}" in done.stderr and "a directory of its own" in done.stderr
