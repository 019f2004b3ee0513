"""A server is taken out by command, and put back: nobody notices, and the command says when it may be stopped."""

import json
import subprocess
import threading

import pytest
from stage.checks import CHECKS, Rounds
from stage.daemon import ROOT, binary
from stage.waiting import patiently, wait_until


@pytest.fixture
def three(origins):
    made = [origins(f"o{n}") for n in (1, 2, 3)]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    return made


def in_front_of(forebay, servers, routes="- match: /**\n", **upstream):
    app = json.dumps({"servers": [str(s) for s in servers], **upstream}).replace('"off"', "off")
    return forebay(f'log: {{level: info, audit: "@DIR@/audit.log", access: {{path: "@DIR@/access.log", format: json}}}}\n'
                   f"upstreams: {{app: {app}}}\nroutes:\n  {routes}")


def listed(w1, server):
    top = json.loads(w1.cli("servers", "--json").stdout)
    return next(s for u in top["upstreams"] for s in u["servers"] if s["server"] == str(server))


def who(w1, n=12, **words):
    return {w1.get("/", **words).expect(200).text for _ in range(n)}


@pytest.mark.tsan
def test_a_server_that_is_drained_and_then_dies_under_load_is_missed_by_nobody(three, forebay):
    # retries and ejection are off: it is the drain alone that keeps them whole
    w1 = in_front_of(forebay, three, retries="off", ejection="off")
    over, bad, done = threading.Event(), [], []

    def ask(method):
        with w1.client() as c:
            while not over.is_set():
                answer = c.request(method, "/", b"x" if method == "POST" else None)
                done.append(answer.text)
                if answer.status != 200:
                    bad.append((method, answer.status))

    askers = [threading.Thread(target=ask, args=(m,)) for m in ("GET", "GET", "POST", "POST")]
    for asker in askers:
        asker.start()
    try:
        for dying in three:
            wait_until(lambda: dying.name in done[-200:], f"{dying} to be asked", 60)
            w1.cli("drain", f"app/{dying}")
            asked = dying.count()
            dying.refuse()
            seen = len(done)
            wait_until(lambda: len(done) > seen + 100, "some more requests", 60)
            assert dying.count() == asked
            dying.accept()
            w1.cli("undrain", f"app/{dying}")
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert not bad, bad[:5]


def test_the_command_waits_for_what_is_on_its_way_and_no_longer(three, forebay):
    w1 = in_front_of(forebay, three[:2])
    for origin in three[:2]:
        origin.on("GET /slow").reply(200, "at last", cache_control="no-store")
    gates = [origin.hold() for origin in three[:2]]
    said_to_client = []
    client = threading.Thread(target=lambda: said_to_client.append(w1.get("/slow").text))
    client.start()
    slow = wait_until(lambda: next((o for o in three[:2] if o.count("GET /slow")), None), "a server to be asked")

    said = w1.cli("drain", f"app/{slow}", "--wait", "1", check=1)
    assert "1 requests and 1 connections are still under way there; it stays drained" in said.stderr
    here = listed(w1, slow)
    assert (here["state"], here["in_flight"], here["connections"]) == ("drained", 1, 1)
    waiting = subprocess.Popen([binary(), "drain", f"app/{slow}", "-c", str(w1.config_path)], env=w1.env, stdout=subprocess.PIPE, text=True)
    for gate in gates:
        gate.release()
    assert waiting.wait(patiently(60)) == 0
    assert "is drained, and nothing is on its way there" in waiting.stdout.read()
    waiting.stdout.close()
    client.join()
    assert said_to_client == ["at last"]
    slow.wait_connections(0)
    assert who(w1) == {"o1", "o2"} - {slow.name}


def test_drained_stays_so_over_reloads_that_change_the_upstream_but_not_over_a_restart(three, forebay):
    w1 = in_front_of(forebay, three)
    w1.cli("drain", f"app/{three[0]}")
    assert who(w1) == {"o2", "o3"}
    text = w1.config_path.read_text()
    w1.config_path.write_text(text.replace('upstreams: {app: {', 'upstreams: {app: {"balance": "least_connections", '))
    assert "generation 2" in w1.cli("reload").stdout
    assert who(w1) == {"o2", "o3"}
    assert listed(w1, three[0])["state"] == "drained"
    assert w1.metric("forebay_upstream_drained", server=str(three[0])) == 1
    assert "3 of 3 servers accept connections; not asked: 1 drained" in w1.cli("status").stdout
    w1.cli("undrain", f"app/{three[0]}")
    assert who(w1) == {"o1", "o2", "o3"}
    w1.cli("drain", f"app/{three[0]}")
    w1.restart()
    assert who(w1) == {"o1", "o2", "o3"}


def test_whoever_began_with_it_goes_on_elsewhere_and_stays_there(three, forebay):
    w1 = in_front_of(forebay, three, affinity={"secret": "0123456789abcdef"})
    first = w1.get("/")
    cookie = first.headers["Set-Cookie"].partition(";")[0]
    gone = next(o for o in three if o.name == first.text)
    w1.cli("drain", f"app/{gone}")
    moved = w1.get("/", cookie=cookie)
    assert moved.text != first.text
    cookie = moved.headers["Set-Cookie"].partition(";")[0]
    w1.cli("undrain", f"app/{gone}")
    assert who(w1, cookie=cookie) == {moved.text}


def test_checks_go_on_while_it_is_out_and_it_comes_back_when_they_are_well(three, forebay, clock):
    w1 = in_front_of(forebay, three, health={**CHECKS, "path": "/health"})
    rounds = Rounds(w1, clock)
    w1.cli("drain", f"app/{three[0]}")
    three[0].refuse()
    for _ in range(2):
        rounds.next()
    assert listed(w1, three[0])["checks"] == "down" and listed(w1, three[0])["state"] == "drained"
    w1.cli("undrain", f"app/{three[0]}")
    assert listed(w1, three[0])["state"] == "down"
    assert who(w1) == {"o2", "o3"}
    three[0].accept()
    rounds.until(three[0], up=True)
    assert listed(w1, three[0])["state"] == "up"
    assert who(w1) == {"o1", "o2", "o3"}


def test_the_last_is_not_drained_by_mistake(three, forebay):
    w1 = in_front_of(forebay, three[:2])
    w1.cli("drain", f"app/{three[0]}")
    said = w1.cli("drain", f"app/{three[1]}", check=1)
    assert "no other server of the upstream is up" in said.stderr
    assert who(w1) == {"o2"}
    w1.cli("drain", f"app/{three[1]}", "--force")
    assert who(w1) == {"o1", "o2"}            # with nobody left, all are asked all the same


def test_wrong_orders_are_told_what_is_wrong(three, forebay, cli):
    w1 = in_front_of(forebay, three)
    assert "no such upstream" in w1.cli("drain", f"ap/{three[0]}", check=1).stderr
    assert "no such server" in w1.cli("drain", "app/127.0.0.1:1", check=1).stderr
    assert "UPSTREAM/SERVER is expected" in w1.cli("drain", str(three[0]), check=2).stderr
    assert "--wait" in w1.cli("drain", f"app/{three[0]}", "--wait", "long", check=2).stderr
    assert "no such upstream" in w1.cli("servers", "ap", check=1).stderr
    for body in (b"", b"[]", b'{"upstream":"app","server":"x"}', b'{"upstream":"app","server":1,"drain":true}',
                 b'{"upstream":"app","server":"x","drain":true,"force":1}'):
        assert w1.admin("POST", "/servers", body).status == 400
    assert w1.admin("GET", "/servers?x=y").status == 400
    for word in ("servers", "drain", "undrain"):
        assert f"usage: forebay {word}" in cli(word, "--help").stdout


def test_the_list_and_the_audit_tell_what_there_is_and_who_said_so(three, forebay):
    w1 = in_front_of(forebay, three)
    who(w1)
    w1.cli("drain", f"app/{three[1]}")
    text = w1.cli("servers").stdout
    assert "app (round_robin)" in text and f"drained      off         1         0           0            4         0  {three[1]}" in text
    w1.cli("undrain", f"app/{three[1]}")
    orders = [json.loads(line) for line in (w1.directory / "audit.log").read_text().splitlines()]
    assert [(o["action"], o["upstream"], o["server"], o["via"], o["by"]) for o in orders if "drain" in o["action"]] == [
        ("drain", "app", str(three[1]), "api", "127.0.0.1"), ("undrain", "app", str(three[1]), "api", "127.0.0.1")]


def test_the_page_shows_what_the_commands_say(three, forebay):
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Taking a server out")[2].partition("\n## ")[0]
    w1 = in_front_of(forebay, three)
    server = str(three[0])
    for said in (w1.cli("servers").stdout.splitlines()[1], w1.cli("drain", f"app/{server}").stdout, w1.cli("undrain", f"app/{server}").stdout):
        assert said.replace(server, "10.0.0.1:3000").rstrip() in page
    told = w1.admin("POST", "/servers", json.dumps({"upstream": "app", "server": server, "drain": True})).expect(200)
    assert told.json()["upstreams"][0]["servers"][0]["state"] == "drained"
    w1.wait_metric("forebay_upstream_drained", 1, upstream="app", server=server)
