"""Servers by name, against a real name server: who answers follows DNS, and nothing is lost while DNS is ill."""

import threading
import time

import pytest
from stage.checks import EVERY_S
from stage.daemon import ROOT
from stage.dns import AAAA
from stage.waiting import ports, wait_until

TTL = 5
PATIENT = ", timeouts: {connect: 60s}"     # which holds for an answer of the name server too


@pytest.fixture
def cast(origins, nameserver):
    """Three servers on one port of 127.0.0.2 to 4, and the name server."""
    dns, port = nameserver(), ports.free()
    made = {}
    for n in (2, 3, 4):
        origin = origins(f"o{n}")
        origin.listen(f"127.0.0.{n}", port)
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
        made[n] = origin
    return dns, port, made


def in_front_of(forebay, dns, port, upstream="", **how):
    upstream += "" if "timeouts" in upstream else PATIENT
    return forebay(f'resolver: "@dns@"\nupstreams: {{app: {{servers: "app.test:{port}"{upstream}}}}}\n', dns=dns, **how)


def who(w1, n=12):
    return {w1.get("/").expect(200).text for _ in range(n)}


def wait_servers(w1, port, *wanted):
    """Until these are the name's addresses, and no others."""
    names = {f"app.test:{port}/127.0.0.{n}" for n in wanted}
    wait_until(lambda: w1.metrics().label_values("forebay_upstream_up", "server") == names, f"{names} to be all")


def wait_who(w1, wanted):
    wait_until(lambda: who(w1) == wanted, f"{wanted} to answer")


@pytest.mark.tsan
def test_requests_under_load_follow_the_name_and_none_is_lost(cast, forebay, clock):
    dns, port, made = cast
    dns.says("app.test", "127.0.0.2", "127.0.0.3", ttl=1)
    w1 = in_front_of(forebay, dns, port, ", retries: off, ejection: off")
    over, bad, done = threading.Event(), [], []

    def ask():
        with w1.client() as c:
            while not over.is_set():
                answer = c.get("/")
                done.append(answer.text)
                if answer.status != 200:
                    bad.append(answer.status)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for now in ((3, 4), (2,), (2, 3, 4), (4,)):
            dns.says("app.test", *(f"127.0.0.{n}" for n in now), ttl=1)
            wait_until(lambda: set(done[-60:]) == {f"o{n}" for n in now}, f"{now} to be asked, and nobody else", 60)
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert not bad, bad[:5]
    made[2].wait_connections(0)          # what was idle there is closed
    wait_servers(w1, port, 4)
    w1.wait_log("app.test:[0-9]+ has other addresses: 1 new, 2 left|has other addresses: 0 new, 2 left")


@pytest.mark.parametrize("how", ["nxdomain", "servfail", "refused", "silent", "garbage", "empty"])
def test_while_dns_is_ill_the_last_addresses_stay_and_then_it_is_believed_again(cast, forebay, clock, how):
    dns, port, _ = cast
    dns.says("app.test", "127.0.0.2", "127.0.0.3", ttl=TTL)
    w1 = in_front_of(forebay, dns, port)
    wait_who(w1, {"o2", "o3"})
    if how == "empty":
        dns.says("app.test")
    else:
        dns.fails("app.test", how)
    asked = dns.asked("app.test")
    clock.advance(TTL + 1)
    wait_until(lambda: dns.asked("app.test") > asked, "the name to be asked for again")
    assert who(w1) == {"o2", "o3"}
    clock.advance(3600)                    # an hour of it
    assert who(w1) == {"o2", "o3"}
    w1.wait_log("warning: upstream app: app.test:[0-9]+ is not resolved: .*; the last addresses stay")
    assert w1.admin("GET", "/health/ready").status == 200
    dns.says("app.test", "127.0.0.4", ttl=TTL)

    def moved():
        clock.advance(6)
        return who(w1, 4) == {"o4"}
    wait_until(moved, "the new address to be taken")
    w1.wait_log("app.test:[0-9]+ is answered again")


def test_where_one_kind_of_address_cannot_be_had_the_other_does_not_replace_it(cast, forebay, clock, origins):
    dns, port, made = cast
    made[4].listen("::1", port)
    dns.says("app.test", "127.0.0.2", "::1", ttl=TTL)
    w1 = in_front_of(forebay, dns, port)
    wait_who(w1, {"o2", "o4"})
    dns.fails("app.test", "servfail", AAAA)
    asked = dns.asked("app.test", AAAA)
    clock.advance(TTL + 1)
    wait_until(lambda: dns.asked("app.test", AAAA) > asked, "the name to be asked for again")
    clock.advance(60)
    assert who(w1) == {"o2", "o4"}


def test_an_answer_holds_for_its_ttl_and_one_of_nothing_for_a_second(cast, forebay, clock):
    dns, port, _ = cast
    dns.says("app.test", "127.0.0.2", ttl=3000)
    w1 = in_front_of(forebay, dns, port)
    w1.wait_metric("forebay_upstream_up", 1)    # found before any request could ask beside the watch
    wait_who(w1, {"o2"})
    dns.says("app.test", "127.0.0.3", ttl=0)
    clock.advance(2900)
    assert who(w1, 40) == {"o2"} and dns.asked("app.test") == 1
    clock.advance(101)
    wait_who(w1, {"o3"})
    asked, began = dns.asked("app.test"), time.monotonic()
    who(w1, 40)
    assert dns.asked("app.test") <= asked + 2 + (time.monotonic() - began)
    asked = dns.asked("app.test")
    clock.advance(1.1)
    wait_until(lambda: dns.asked("app.test") > asked, "the name to be asked for again")


def test_a_name_is_asked_for_again_though_nobody_comes(cast, forebay, clock):
    dns, port, made = cast
    dns.says("app.test", "127.0.0.2", ttl=TTL)
    w1 = in_front_of(forebay, dns, port, f", health: {{path: /health, interval: {EVERY_S}s, timeout: {EVERY_S}s}}")
    wait_servers(w1, port, 2)
    clock.advance(EVERY_S)
    made[2].wait_asked(1, "GET /health")   # before any request
    dns.says("app.test", "127.0.0.3", ttl=TTL)
    clock.advance(TTL + 1)
    wait_servers(w1, port, 3)
    asked = made[2].count()
    clock.advance(EVERY_S)
    made[3].wait_asked(1, "GET /health")
    assert w1.get("/").expect(200).text == "o3"
    assert made[2].count("GET /") == 0 and made[2].count() <= asked + 1


def test_requests_wait_for_a_first_answer_and_fail_when_there_is_none(cast, forebay, clock):
    dns, port, _ = cast
    dns.fails("app.test", "silent")
    w1 = in_front_of(forebay, dns, port, ", timeouts: {connect: 300ms}")
    w1.get("/").expect(502)
    assert w1.access(1, fetch_end="unresolved")
    dns.fails("app.test", "nxdomain")
    w1.get("/").expect(502)
    dns.says("app.test", "127.0.0.2")
    wait_until(lambda: w1.get("/").status == 200, "the name to be found")


def test_aliases_and_long_answers_by_tcp_are_followed(cast, forebay, clock):
    dns, port, _ = cast
    dns.truncates = True
    dns.says_alias("app.test", "real.test", ttl=2)
    dns.says("real.test", "127.0.0.2", ttl=300)
    w1 = in_front_of(forebay, dns, port)
    wait_who(w1, {"o2"})
    assert dns.asked("app.test", by="tcp") >= 1
    dns.says_alias("app.test", "other.test", ttl=2)     # the alias' life is the shorter
    dns.says("other.test", "127.0.0.3", ttl=300)
    clock.advance(3)
    wait_who(w1, {"o3"})


def test_a_reload_asks_another_name_server_and_the_next_is_asked_when_one_is_silent(cast, forebay, clock, nameserver):
    dns, port, _ = cast
    other = nameserver()
    dns.fails("app.test", "silent")
    other.says("app.test", "127.0.0.3", ttl=TTL)
    w1 = forebay(f'resolver: ["@dns@", "@other@"]\nupstreams: {{app: {{servers: "app.test:{port}"{PATIENT}}}}}\n', dns=dns, other=other)
    wait_who(w1, {"o3"})
    assert dns.asked("app.test") >= 1
    dns.says("app.test", "127.0.0.2", ttl=TTL)
    other.fails("app.test", "silent")
    assert "configuration" in w1.reload(f'resolver: "@dns@"\nupstreams: {{app: {{servers: "app.test:{port}"{PATIENT}}}}}\n')[0]
    clock.advance(TTL + 1)
    wait_who(w1, {"o2"})


def test_what_is_no_name_server_is_told_in_its_place(cli, tmp_path):
    for bad in ("dns.example", "10.0.0.1:0", "10.0.0.1:99999", "[::1", ":53", "10.0.0"):
        path = tmp_path / "bad.yaml"
        path.write_text(f'listen: ":8080"\nresolver: ["10.0.0.53", "{bad}"]\nroutes: [{{match: /**, respond: {{status: 204}}}}]\n')
        done = cli("check", "-c", path)
        assert done.returncode == 1, bad
        assert f'bad.yaml:2:11: error: resolver: "{bad}" is no address of a name server' in done.stdout + done.stderr
    path.write_text('listen: ":8080"\nresolver: ["10.0.0.53", "[fd00::53]:5353", "fd00::53", "10.0.0.1:5353"]\n'
                    "routes: [{match: /**, respond: {status: 204}}]\n")
    assert cli("check", "-c", path).returncode == 0


def test_the_example_on_the_page_is_what_is_played(cast, forebay, clock):
    page = (ROOT / "docs" / "operations.md").read_text().partition("## Servers by name")[2].partition("\n## ")[0]
    example = page.partition("```yaml\n")[2].partition("```")[0]
    dns, port, _ = cast
    dns.says("app.internal", "127.0.0.2", ttl=TTL)
    w1 = forebay(example.replace("[10.0.0.53, 10.0.1.53]", '"@dns@"').replace(":3000", f":{port}"), dns=dns)
    wait_who(w1, {"o2"})
    dns.says("app.internal", "127.0.0.3", ttl=TTL)
    clock.advance(TTL + 1)
    wait_who(w1, {"o3"})
    assert "upstream app: app.internal:3000 has other addresses: 1 new, 1 left" in page
    w1.wait_log(f"upstream app: app.internal:{port} has other addresses: 1 new, 1 left")
    assert f"{port}/127.0.0.3" in w1.cli("servers").stdout
