"""Servers by SRV records, against a real name server: ports, priorities and weights are the records', and move with them."""

import json

import pytest
from stage.checks import EVERY_S, Rounds
from stage.daemon import ROOT
from stage.waiting import wait_until

TTL = 5
SERVICE = "_http._tcp.app.test"


@pytest.fixture
def cast(origins, nameserver):
    """Three servers on ports of their own, a.test to c.test on the same address, and the name server."""
    dns = nameserver()
    made = [origins(f"o{n}") for n in (1, 2, 3)]
    for origin in made:
        origin.on("/*").reply(200, origin.name, cache_control="no-store")
    for name in ("a.test", "b.test", "c.test"):
        dns.says(name, "127.0.0.1", ttl=300)
    return dns, made, [o.listeners[0].address[1] for o in made]


def in_front_of(forebay, dns, upstream="", **how):
    upstream += ", timeouts: {connect: 60s}"        # which holds for an answer of the name server too
    return forebay(f'resolver: "@dns@"\nupstreams: {{app: {{servers: [{{srv: {SERVICE}}}]{upstream}}}}}\n', dns=dns, **how)


def answers(w1, n):
    return [w1.get("/").expect(200).text for _ in range(n)]


def wait_who(w1, wanted):
    wait_until(lambda: set(answers(w1, 12)) == wanted, f"{wanted} to answer")


def test_weights_and_ports_are_the_records(cast, forebay, clock):
    dns, _, ports = cast
    dns.says_srv(SERVICE, (10, 3, ports[0], "a.test"), (10, 1, ports[1], "b.test"), (10, 0, ports[2], "c.test"), ttl=TTL)
    w1 = in_front_of(forebay, dns)
    wait_who(w1, {"o1", "o2"})
    seen = answers(w1, 80)
    assert 57 <= seen.count("o1") <= 63 and 17 <= seen.count("o2") <= 23 and seen.count("o3") <= 1
    listed = json.loads(w1.cli("servers", "--json").stdout)["upstreams"][0]["servers"]
    assert [s["server"] for s in listed] == [f"{SERVICE}/127.0.0.1:{port}" for port in ports]
    assert [s["priority"] for s in listed] == [10, 10, 10] and listed[0]["weight"] == pytest.approx(3 * listed[1]["weight"])
    dns.says_srv(SERVICE, (10, 1, ports[0], "a.test"), (10, 3, ports[1], "b.test"), ttl=TTL)
    clock.advance(TTL + 1)
    wait_until(lambda: answers(w1, 8).count("o2") == 6, "the new weights to hold")


@pytest.mark.tsan
def test_a_later_priority_stands_in_while_the_first_is_away(cast, forebay, clock):
    dns, made, ports = cast
    dns.says_srv(SERVICE, (1, 0, ports[0], "a.test"), (1, 0, ports[1], "b.test"), (2, 0, ports[2], "c.test"), ttl=TTL)
    w1 = in_front_of(forebay, dns, f", ejection: off, health: {{path: /health, interval: {EVERY_S}s, timeout: {EVERY_S}s, fall: 2, rise: 2}}")
    wait_who(w1, {"o1", "o2"})
    clock.advance(EVERY_S)
    rounds, names = Rounds(w1, clock), [f"{SERVICE}/127.0.0.1:{port}" for port in ports]
    made[0].refuse()
    assert set(answers(w1, 6)) == {"o2"}       # by retries, then because checks say so
    rounds.until(names[0], up=False)
    assert set(answers(w1, 6)) == {"o2"}
    made[1].refuse()
    assert set(answers(w1, 6)) == {"o3"}
    rounds.until(names[1], up=False)
    assert w1.metric("forebay_upstream_up") == 1 and set(answers(w1, 6)) == {"o3"}
    made[0].accept()
    rounds.until(names[0], up=True)
    assert set(answers(w1, 6)) == {"o1"}


def test_records_and_targets_are_asked_for_again_as_their_lives_end(cast, forebay, clock):
    dns, made, ports = cast
    made[1].listen("127.0.0.5", ports[0])
    dns.says("a.test", "127.0.0.1", ttl=TTL)
    dns.says_srv(SERVICE, (1, 1, ports[0], "a.test"), ttl=300)
    w1 = in_front_of(forebay, dns)
    wait_who(w1, {"o1"})
    dns.says("a.test", "127.0.0.5", ttl=300)       # the target moves, the record stays
    clock.advance(TTL + 1)
    wait_who(w1, {"o2"})
    dns.says_srv(SERVICE, (1, 1, ports[2], "c.test"), ttl=TTL)
    clock.advance(290)
    assert set(answers(w1, 12)) == {"o2"}
    clock.advance(11)
    wait_who(w1, {"o3"})
    made[0].wait_connections(0)


@pytest.mark.parametrize("how", ["nxdomain", "servfail", "silent", "garbage", "empty", "gone", "target away", "target unknown"])
def test_while_dns_is_ill_the_last_servers_stay(cast, forebay, clock, how):
    dns, _, ports = cast
    dns.says_srv(SERVICE, (1, 1, ports[0], "a.test"), (1, 1, ports[1], "b.test"), ttl=TTL)
    dns.says("b.test", "127.0.0.1", ttl=TTL)
    w1 = in_front_of(forebay, dns)
    wait_who(w1, {"o1", "o2"})
    if how == "empty":
        dns.says_srv(SERVICE)
    elif how == "gone":
        dns.says_srv(SERVICE, (0, 0, 0, "."), ttl=TTL)     # "decidedly not available"
    elif how.startswith("target"):
        dns.fails("b.test", "servfail" if how == "target away" else "nxdomain")
    else:
        dns.fails(SERVICE, how)
    asked = dns.asked(SERVICE, 33)
    clock.advance(TTL + 1)
    wait_until(lambda: dns.asked(SERVICE, 33) > asked, "the service to be asked for again")
    if how == "target unknown":
        wait_who(w1, {"o1"})                   # that one is known to be gone
        return
    clock.advance(3600)
    assert set(answers(w1, 12)) == {"o1", "o2"}
    assert w1.admin("GET", "/health/ready").status == 200
    if how != "target away":
        w1.wait_log(f"upstream app: {SERVICE} is not resolved: .*; the last addresses stay")


def test_the_host_sent_is_the_services_domain_and_drains_know_its_servers(cast, forebay, clock):
    dns, made, ports = cast
    dns.says_srv(SERVICE, (1, 1, ports[0], "a.test"), (1, 1, ports[1], "b.test"), ttl=TTL)
    w1 = in_front_of(forebay, dns, ", host: server")
    wait_who(w1, {"o1", "o2"})
    assert made[0].last().headers["Host"] == "app.test"
    w1.cli("drain", f"app/{SERVICE}/127.0.0.1:{ports[0]}")
    assert set(answers(w1, 8)) == {"o2"}
    w1.cli("undrain", f"app/{SERVICE}")
    assert set(answers(w1, 8)) == {"o1", "o2"}


@pytest.mark.parametrize("server,says", [
    ("{srv: app.test}", 'srv: "app.test" is no name of a service'),
    ("{srv: _http.app.test}", "expected _service._proto.domain, as in _http._tcp.example.com"),
    ("{srv: _http._tcp.app.test:80}", 'srv: "_http._tcp.app.test:80" is no name of a service'),
    ("{srv: _http._tcp.app.test, address: 10.0.0.1:80}", "srv: a server has an address or a service, not both"),
    ("{weight: 2}", "servers: a server needs an address"),
])
def test_what_is_wrong_is_told_in_its_place(cli, tmp_path, server, says):
    path = tmp_path / "bad.yaml"
    path.write_text(f'listen: ":8080"\nupstreams:\n  app:\n    servers:\n      - {server}\nroutes: [{{match: /**}}]\n')
    done = cli("check", "-c", path)
    assert done.returncode == 1 and "bad.yaml:5:" in done.stdout + done.stderr and says in done.stdout + done.stderr
    assert "bad address" not in done.stdout + done.stderr


def test_the_example_on_the_page_is_what_is_played(cast, forebay, clock):
    page = (ROOT / "docs" / "operations.md").read_text().partition("### By SRV records")[2].partition("\n## ")[0]
    example = page.partition("```yaml\n")[2].partition("```")[0]
    dns, _, ports = cast
    dns.says_srv("_http._tcp.app.internal", (10, 3, ports[0], "a.test"), (10, 1, ports[1], "b.test"), (20, 0, ports[2], "c.test"), ttl=60)
    w1 = forebay('resolver: "@dns@"\n' + example + "routes: [{match: /**}]\n", dns=dns)
    wait_who(w1, {"o1", "o2"})
    assert answers(w1, 8).count("o1") == 6
