"""Every directive of listeners and of the servers behind: what it cannot be is told where it stands."""

import json

import pytest

TABLES = {"listen": "address listen", "listen_tls": "certificates listen_tls", "certificate": "certificate", "proxy_protocol": "from proxy_protocol",
          "upstream": "servers upstream", "upstream_server": "server upstream_server", "upstream_hash": "upstream_hash",
          "upstream_retries": "upstream_retries", "upstream_hedge": "upstream_hedge", "upstream_ejection": "upstream_ejection",
          "upstream_health": "no_path upstream_health", "upstream_affinity": "secret upstream_affinity", "upstream_tls": "upstream_tls",
          "upstream_connections": "upstream_connections", "upstream_timeouts": "upstream_timeouts"}

# What surrounds a table's directives, and then for each of them values that it cannot have; ^ is the place that must be told.
AROUND = {
    "listen": 'listen: [{{address: ":8080", {0}}}]\nupstreams: {{app: "127.0.0.1:3000"}}\n',
    "address": 'listen: [{{{0}}}]\nupstreams: {{app: "127.0.0.1:3000"}}\n',
    "listen_tls": 'listen: [{{address: ":8080", tls: {{certificates: [{{cert: a.pem, key: a.key}}], {0}}}}}]\nupstreams: {{app: "127.0.0.1:3000"}}\n',
    "certificates": 'listen: [{{address: ":8080", tls: {{{0}}}}}]\nupstreams: {{app: "127.0.0.1:3000"}}\n',
    "certificate": 'listen: [{{address: ":8080", tls: [{{{0}}}]}}]\nupstreams: {{app: "127.0.0.1:3000"}}\n',
    "proxy_protocol": 'listen: [{{address: ":8080", proxy_protocol: {{from: [10.0.0.1], {0}}}}}]\nupstreams: {{app: "127.0.0.1:3000"}}\n',
    "from": 'listen: [{{address: ":8080", proxy_protocol: {{{0}}}}}]\nupstreams: {{app: "127.0.0.1:3000"}}\n',
    "upstream": 'listen: ":8080"\nupstreams: {{app: {{servers: ["127.0.0.1:3000", "127.0.0.1:3001"], {0}}}}}\n',
    "servers": 'listen: ":8080"\nupstreams: {{app: {{{0}}}}}\n',
    "upstream_server": 'listen: ":8080"\nupstreams: {{app: [{{address: "127.0.0.1:3000", {0}}}]}}\n',
    "server": 'listen: ":8080"\nupstreams: {{app: [{{{0}}}]}}\n',
    "upstream_affinity": 'listen: ":8080"\nupstreams: {{app: {{servers: "127.0.0.1:3000", affinity: {{secret: 0123456789abcdef, {0}}}}}}}\n',
    "secret": 'listen: ":8080"\nupstreams: {{app: {{servers: "127.0.0.1:3000", affinity: {{{0}}}}}}}\n',
    "upstream_health": 'listen: ":8080"\nupstreams: {{app: {{servers: "127.0.0.1:3000", health: {{path: /h, {0}}}}}}}\n',
    "no_path": 'listen: ":8080"\nupstreams: {{app: {{servers: "127.0.0.1:3000", health: {{{0}}}}}}}\n',
    **{f"upstream_{name}": f'listen: ":8080"\nupstreams: {{{{app: {{{{servers: "127.0.0.1:3000", {name}: {{{{{{0}}}}}}}}}}}}}}\n'
       for name in ("hash", "retries", "hedge", "ejection", "tls", "connections", "timeouts")},
}
BAD = {
    "address": ['address: ^":99999"', "address: ^8080", 'address: ^"1.2.3.4"', 'address: ":8080"}, {address: ^":8080"'],
    "listen": ["tls: ^on", "tls: ^{}", "http2: ^maybe", "https_redirect: ^0", "https_redirect: ^65536", "https_redirect: ^443, tls: [{cert: a, key: b}]",
               "proxy_protocol: ^on", "^bakclog: 4"],
    "certificates": ["certificates: ^[]"],
    "listen_tls": ["ticket_keys: ^nowhere", 'client_ca: ^""', "client_certificates: ^maybe", "client_certificates: ^required",
                   "client_certificates: ^optional", "expiry_warning: ^7", "expiry_warning: ^400d"],
    "certificate": ["^cert: a.pem", "^key: a.key", "cert: ^forebay.yaml, key: forebay.yaml", 'cert: ^"", key: a', 'cert: a, key: ^""'],
    "from": ["from: ^[10.0.0.0/33]", "from: ^[]", "^timeout: 1s"],
    "proxy_protocol": ["timeout: ^1", "timeout: ^2h"],
    "servers": ["servers: ^[]", "^balance: round_robin", 'servers: ["127.0.0.1:3000", ^"127.0.0.1:3000"]',
                "servers: [{srv: _a._tcp.b.test}, {srv: ^_a._tcp.b.test}]"],
    "server": ["^{}", 'address: ^"10.0.0.1"', 'address: ^"a b:1"', 'address: ^"10.0.0.1:0"', 'address: ^":3000"', 'address: ^"http://10.0.0.1:80"',
               "srv: ^app.internal", 'address: "10.0.0.1:1", srv: ^_http._tcp.app.internal'],
    "upstream_server": ["weight: ^0", "weight: ^1001", 'zone: ^""', "^backup: yes"],
    "upstream": ["balance: ^random", "hash: {key: ^[body]}", "retries: ^0", "hedge: ^10%", "ejection: {errors: ^0}", "panic: ^101%",
                 "health: ^relative", "affinity: ^{}", "affinity: ^on", "ewma: ^1", "ewma: ^1h", 'zone: ^""', "zone_share: ^0%", "slow_start: ^on",
                 "slow_start: ^100ms", "host: ^origin", "tls: ^maybe", "protocol: ^h3", "protocol: ^auto", "proxy_protocol: ^v1",
                 "connections: ^5", "timeouts: ^5s", "^balnce: random"],
    "upstream_hash": ["key: ^[body]", 'key: ^["header:"]', "spare: ^0%", "spare: ^101%"],
    "upstream_retries": ["max: ^0", "max: ^11", "budget: ^120%", "statuses: ^[6xx]", "statuses: ^[99]"],
    "upstream_hedge": ["after: ^100%", "after: ^0ms", "after: ^5h", "after: ^soon", "budget: ^0%"],
    "upstream_ejection": ["errors: ^0", "statuses: ^[abc]", "latency: ^1", "time: ^1", "time: 10m, max_time: ^1m", "max_time: ^2d", "share: ^0%"],
    "no_path": ["path: ^relative", 'path: ^"/a b"', "body: ^ok", "host: ^a.test", "statuses: ^[200]"],
    "upstream_health": ['body: ^""', 'host: ^"a b"', "interval: ^50ms", "interval: 1s, timeout: ^2s", "timeout: ^5ms", "statuses: ^[]", "statuses: ^[2xy]",
                        "fall: ^0", "rise: ^101"],
    "secret": ["^cookie: a", "secret: ^short"],
    "upstream_affinity": ['cookie: ^"a b"', "life: ^1s", "same_site: ^maybe", "secure: ^maybe", "same_site: none, secure: ^off"],
    "upstream_tls": ["ca: ^nowhere", "ca: ^forebay.yaml", 'name: ^"a b"', "cert: ^a.pem", "key: ^a.key", "cert: ^nowhere, key: nowhere", "min_version: ^1.1"],
    "upstream_connections": ["max: ^0", "max: ^65536", "idle: ^0", "life: ^1ms", "requests: ^0", "streams: ^0", "pending: ^-1", "pending: ^1000001"],
    "upstream_timeouts": ["connect: ^0", "try: ^2h", "total: ^5", "response: ^off", "response: ^0"],
}


@pytest.mark.parametrize("where", BAD)
def test_a_bad_value_is_told_in_its_place(cli, tmp_path, where):
    path = tmp_path / "forebay.yaml"
    for bad in BAD[where]:
        text = AROUND[where].format(bad) + "routes: [{match: /**}]\n"
        lines = text[:text.index("^")].split("\n")
        path.write_text(text.replace("^", ""))
        done = cli("check", "-c", path)
        assert done.returncode == 1, bad
        # what lacks something is told at the map that lacks it
        places = [f"forebay.yaml:{len(lines)}:{len(lines[-1]) + 1 - back}: error: " for back in (0, 1)]
        assert any(place in done.stderr for place in places), (bad, done.stderr)


@pytest.mark.parametrize("words, column, says", [
    ("hash: {key: [uri]}", 72, 'only balance: consistent_hash goes by it'),
    ("zone: east", 72, 'no server stands in "east"'),
])
def test_what_does_nothing_is_warned_of(cli, tmp_path, words, column, says):
    path = tmp_path / "forebay.yaml"
    path.write_text(AROUND["upstream"].format(words) + "routes: [{match: /**}]\n")
    done = cli("check", "-c", path)
    assert done.returncode == 0 and f"forebay.yaml:2:{column}: warning: {words.partition(':')[0]}: {says}" in done.stderr
    assert cli("check", "--strict", "-c", path).returncode == 1


def test_none_is_left_out(cli):
    """A directive that is added to these tables wants its bad values here."""
    tables = json.loads(cli("schema").stdout)["$defs"]
    for table, groups in TABLES.items():
        forms = tables[table].get("anyOf", [tables[table]])
        names = next(form for form in forms if "properties" in form)["properties"]
        tried = " ".join(f" {bad}" for group in groups.split() for bad in BAD[group]).replace("^", "").replace("{", " ")
        assert [f"{table}.{name}" for name in names if f" {name}: " not in tried] == []
