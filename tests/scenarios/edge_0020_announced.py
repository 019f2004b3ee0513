"""The PROXY protocol to servers, and servers on unix sockets; HAProxy is the server that understands it."""

import pytest

from stage.haproxy import Haproxy
from stage.waiting import ports, wait_until


def announcing(directory, origin, *binds):
    """In front of the origin; it tells the origin for whom each connection was announced."""
    return Haproxy(directory, f"""
defaults
    mode http
    timeout connect 60s
    timeout client 600s
    timeout server 600s
frontend in
{"".join(f"    bind {bind}" + chr(10) for bind in binds)}
    http-request set-header X-Seen "%[src]:%[src_port] %[dst]:%[dst_port]"
    default_backend out
backend out
    server origin {origin}
""")


@pytest.fixture
def haproxy(tmp_path, origin):
    made = []

    def make(*binds):
        made.append(announcing(tmp_path, origin, *binds))
        return made[0]
    yield make
    for one in made:
        one.kill()


def seen(origin, i=-1):
    return origin.requests[i].headers.get("X-Seen").split(" ")[0].rpartition(":")[0]


@pytest.mark.smoke
def test_a_server_is_told_for_whom_a_connection_is(origin, forebay, haproxy):
    port = ports.free()
    haproxy(f"127.0.0.1:{port} accept-proxy")
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    w1 = forebay(f"upstreams: {{app: {{servers: '127.0.0.1:{port}', proxy_protocol: v2}}}}\nworkers: 1\ntrusted_proxies: [127.0.0.3]\n")
    c1, c2 = w1.client(source="127.0.0.7"), w1.client(source="127.0.0.8")
    for client, address in ((c1, "127.0.0.7"), (c2, "127.0.0.8"), (c1, "127.0.0.7"), (c2, "127.0.0.8")):
        client.get("/a").expect(200, "here")
        assert seen(origin) == address
    assert origin.requests[-1].headers.get("X-Seen").endswith(f"127.0.0.1:{w1.port()}")
    assert w1.metric("forebay_upstream_connects_total") == 2       # one for each client, and used again
    w1.client(source="127.0.0.3").get("/a", x_forwarded_for="2001:db8::9").expect(200)
    assert seen(origin) == "2001:db8::9"


@pytest.mark.tsan
def test_a_connection_for_another_client_makes_room(origin, forebay, haproxy):
    port = ports.free()
    haproxy(f"127.0.0.1:{port} accept-proxy")
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    w1 = forebay(f"upstreams: {{app: {{servers: '127.0.0.1:{port}', proxy_protocol: v2, connections: {{max: 2}}}}}}\nworkers: 1\n")
    clients = [w1.client(source=f"127.0.0.{i}") for i in range(10, 15)]
    for _ in range(3):
        for i, client in enumerate(clients):
            client.get("/a").expect(200, "here")
            assert seen(origin) == f"127.0.0.{10 + i}"
    assert w1.metric("forebay_upstream_connections") <= 2


def test_what_forebay_asks_for_itself_is_local(origin, forebay, haproxy):
    port = ports.free()
    haproxy(f"127.0.0.1:{port} accept-proxy")
    origin.on("GET /a").reply(200, "here", cache_control="max-age=60")
    w1 = forebay(f"upstreams: {{app: {{servers: '127.0.0.1:{port}', proxy_protocol: v2}}}}\n")
    w1.wait_ready()
    w1.cli("warm", f"http://{w1.address}/a")
    wait_until(lambda: len(origin.requests) == 1, "the page to be asked for")
    assert seen(origin) == "127.0.0.1"
    w1.get("/a").expect(200, "here", x_cache_status="HIT")


def test_a_server_on_a_unix_socket(origin, forebay, haproxy, tmp_path):
    peer = haproxy(f"unix@{tmp_path}/app.sock mode 666")
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    origin.on("POST /a").reply(201, "made")
    conf = f"upstreams: {{app: {{servers: ['unix:{tmp_path}/app.sock'], host: HOST}}}}\nlog: {{level: info, access: {{path: '@DIR@/access.log', format: json}}}}\n"
    w1 = forebay(conf.replace("HOST", "client"))
    w1.wait_ready()
    c1 = w1.client(host="shop.example")
    c1.get("/a").expect(200, "here")
    c1.post("/a", b"x" * 300000).expect(201, "made")
    assert origin.requests[0].headers.get("Host") == "shop.example" and len(origin.requests[1].body) == 300000
    assert w1.metric("forebay_upstream_requests_total", server=f"unix:{tmp_path}/app.sock") == 2
    assert w1.admin("GET", "/health/ready").expect(200).json()["checks"]["upstream.app"]["healthy"]

    w1.reload(conf.replace("HOST", "client") + "limits: {head_timeout: 9s}\n")     # nothing changed about the server
    c1.get("/a").expect(200, "here")
    w1.reload(conf.replace("HOST", "server"))
    w1.get("/a").expect(200, "here")
    assert origin.requests[-1].headers.get("Host") == "localhost"

    peer.kill()
    w1.get("/a").expect(502)
    assert w1.admin("GET", "/health/ready").status == 503
    peer.start()
    w1.wait_ready()
    w1.get("/a").expect(200, "here")


def test_a_unix_socket_may_be_announced_on_too(origin, forebay, haproxy, tmp_path):
    haproxy(f"unix@{tmp_path}/app.sock mode 666 accept-proxy")
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    w1 = forebay(f"upstreams: {{app: {{servers: ['unix:{tmp_path}/app.sock'], proxy_protocol: v2}}}}\n")
    w1.client(source="127.0.0.7").get("/a").expect(200, "here")
    assert seen(origin) == "127.0.0.7"


def test_a_bad_value_is_told_in_its_place(cli, tmp_path):
    path = tmp_path / "forebay.yaml"
    path.write_text("listen: ':8080'\nupstreams: {app: {servers: '127.0.0.1:1', proxy_protocol: v3}}\nroutes: [{match: /**}]\n")
    done = cli("check", "-c", path)
    assert done.returncode != 0 and "forebay.yaml:2:" in done.stderr and "v2" in done.stderr, done.stderr
