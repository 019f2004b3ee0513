"""A configuration is judged before it is used: what is wrong, where, and what was meant."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.smoke
CONF = Path(__file__).resolve().parents[2] / "conf"
OURS = [CONF / "forebay.yaml", *sorted((CONF / "examples").glob("*.yaml"))]
LEAST = 'listen: ":8080"\nupstreams: {app: "127.0.0.1:3000"}\nroutes:\n'


@pytest.fixture
def check(cli, tmp_path):
    def run(text, *words):
        path = tmp_path / "site.yaml"
        path.write_text(text)
        return cli("check", "-c", path, *words)
    return run


def test_the_least_is_good(check):
    done = check(LEAST + "  - match: /**\n")
    assert (done.returncode, done.stderr) == (0, "") and "good" in done.stdout


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_what_we_hand_out_is_good(cli, path):
    done = cli("check", "--elsewhere", "-c", path)
    assert done.returncode == 0, done.stderr


def test_every_error_is_told_at_once_with_its_place(check):
    done = check(LEAST + "  - match: /a\n    cahce: off\n  - match: /b/{id}\n    purge: {tags: ['x:{di}']}\n    upstream: ap\n")
    assert done.returncode == 1
    assert "site.yaml:5:5: error" in done.stderr and 'did you mean "cache"?' in done.stderr
    fixed = check(LEAST + "  - match: /a\n  - match: /b/{id}\n    purge: {tags: ['x:{di}']}\n    upstream: ap\n")
    assert fixed.returncode == 1 and "2 errors" in fixed.stdout
    assert "site.yaml:6:19: error" in fixed.stderr and "site.yaml:7:15: error" in fixed.stderr


def test_a_route_for_purge_is_said_to_be_of_no_use(check):
    told = check(LEAST + "  - match: PURGE|DELETE /news\n  - match: /**\n").stderr
    assert "site.yaml:4:12: warning: PURGE never comes to a route" in told
    assert "warning: PURGE" not in check(LEAST + "  - match: DELETE /news\n  - match: /**\n").stderr


def test_a_warning_is_told_and_counts_only_when_strict(check):
    shadowed = LEAST + "  - match: /**\n  - match: /news\n"
    done = check(shadowed)
    assert done.returncode == 0 and "site.yaml:5:12: warning: this route can never match" in done.stderr
    assert "1 warning" in done.stdout
    assert check(shadowed, "--strict").returncode == 1


def test_programs_read_it_as_json(check):
    done = check(LEAST + "  - match: /**\n  - match: /news\n    ttl: 5\n", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1 and done.stderr == "" and told["errors"] == 1
    first = told["diagnostics"][0]
    assert (first["severity"], first["line"], first["column"]) == ("error", 6, 5) and "ttl" in first["message"]


def test_a_secret_is_never_shown(check, tmp_path):
    token = tmp_path / "token"
    token.write_text("swordfish\n")
    token.chmod(0o644)
    done = check(f'admin: {{token: "${{file:{token}}}", adress: x}}\n' + LEAST + "  - match: /**\n")
    assert done.returncode == 1 and "everybody on this machine can read" in done.stderr
    assert "swordfish" not in done.stdout + done.stderr


def test_without_a_name_the_usual_file_is_taken(cli, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "forebay.yaml").write_text(LEAST + "  - match: [\n")
    done = cli("check")
    assert done.returncode == 1 and "conf/forebay.yaml" in done.stderr


@pytest.mark.parametrize("words", [["--colour"], ["-c"], ["this.yaml"]], ids=" ".join)
def test_a_misuse_is_told(cli, words):
    done = cli("check", *words)
    assert done.returncode == 2 and "--help" in done.stderr


@pytest.mark.parametrize("address", ["example.com:80", "web:8080", "forebay.internal:443"])
@pytest.mark.parametrize("where", ["listen", "admin"])
def test_an_address_to_listen_on_is_no_name(check, where, address):
    listen, admin = (address, "off") if where == "listen" else (":8080", f"'{address}'")
    done = check(f'listen: "{listen}"\nadmin: {admin}\nupstreams: {{app: "127.0.0.1:3000"}}\nroutes: [{{match: /**}}]\n')
    line, port = (1 if where == "listen" else 2), address.partition(":")[2]
    assert done.returncode == 1
    assert f"site.yaml:{line}:{len(where) + 3}: error: address: \"{address}\" names no address of this machine" in done.stderr
    assert f"expected :{port} (all addresses), 127.0.0.1:{port}, [::1]:{port} or unix:/path" in done.stderr


@pytest.mark.parametrize("address", [":8080", "*:8080", "127.0.0.1:8080", "localhost:8080", "[::1]:8080", "unix:/run/a.sock"])
def test_what_may_be_listened_on_is_good(check, address):
    assert check(f'listen: "{address}"\nupstreams: {{app: "127.0.0.1:3000"}}\nroutes: [{{match: /**}}]\n').returncode == 0


@pytest.mark.parametrize("timeouts, says", [
    ("try: 2s, total: 1s", "total ends the request before"),
    ("total: 2s, try: 2s", "total ends the request at the same time"),
    ("try: 40s", "response ends the request before"),
    ("try: 2s, total: 3s", None),
    ("total: 1s", None),
])
def test_a_try_that_lasts_as_long_as_all_tries_is_warned_of(check, timeouts, says):
    done = check(f'listen: ":8080"\nupstreams:\n  app: {{servers: ["127.0.0.1:1", "127.0.0.1:2"], timeouts: {{{timeouts}}}}}\nroutes: [{{match: /**}}]\n')
    assert done.returncode == 0
    column = f'  app: {{servers: ["127.0.0.1:1", "127.0.0.1:2"], timeouts: {{{timeouts}'.index("try:") + 6 if says else 0
    assert (f"site.yaml:3:{column}: warning: try: no other server is ever tried: {says}" in done.stderr) if says else done.stderr == ""


def test_certificates_that_are_not_there_are_told_alike_of_listeners_and_servers(check):
    text = ("listen: {address: ':8443', tls: [{cert: /nowhere/site.pem, key: /nowhere/site.key}]}\n"
            "upstreams:\n  app: {servers: 'app.internal:8443', tls: {ca: /nowhere/ca.pem}}\n"
            "cache: {redis: {url: 'rediss://127.0.0.1:6379?ca=/nowhere/redis.pem'}}\nroutes: [{match: /**}]\n")
    for words, weight in ([], "error"), (["--elsewhere"], "warning"):
        done = check(text, *words)
        assert done.returncode == (weight == "error")
        for line, says in (3, "ca: /nowhere/ca.pem"), (4, "url: /nowhere/redis.pem"):
            assert re.search(rf"site.yaml:{line}:\d+: {weight}: {says}: No such file or directory", done.stderr), done.stderr
    assert re.search(r"site.yaml:1:\d+: warning: cert: /nowhere/site.pem: No such file or directory", done.stderr), done.stderr


def test_a_file_that_is_not_there_is_told(cli, tmp_path):
    done = cli("check", "-c", tmp_path / "nowhere.yaml")
    assert done.returncode == 1 and "nowhere.yaml" in done.stderr and "No such file" in done.stderr


@pytest.mark.parametrize("command", ["check", "schema"])
def test_each_command_explains_itself(cli, command):
    done = cli(command, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: forebay {command}")


def test_editors_have_a_schema_that_knows_what_is_good(cli):
    import jsonschema
    import yaml

    schema = json.loads(cli("schema").stdout)
    judge = jsonschema.Draft202012Validator(schema)
    judge.check_schema(schema)
    for path in OURS:
        judge.validate(yaml.safe_load(path.read_text()))
    assert not judge.is_valid({"listen": ":8080", "routes": [{"match": "/**", "cahce": "off"}]})
    assert not judge.is_valid({"listen": ":8080"})
    assert not judge.is_valid({"listen": ":8080", "routes": [{"match": "products"}]})
