"""The PROXY protocol on a listener: who is behind a proxy that passes connections on."""

import re
import select
import socket
import struct
from pathlib import Path

import pytest

from stage.client import Client
from stage.haproxy import Haproxy
from stage.peers import curl
from stage.waiting import USUAL_S, patiently, ports, wait_until

LISTEN = "listen: {address: '127.0.0.1:@PORT@', proxy_protocol: {from: [127.0.0.1], timeout: 60s}}\n"
EXAMPLES = Path(__file__).resolve().parents[2] / "conf" / "examples"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, port=4711):
    return f"PROXY TCP4 {source} 198.51.100.1 {port} 443\r\n".encode()


def v2(source, command=1, tlvs=b"", family=0x11):
    body = socket.inet_aton(source) + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4711, 443) + tlvs
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(body)) + body


def silence_from(w1, sent, half_closed=False):
    """All that comes back until the daemon closes."""
    with socket.create_connection(("127.0.0.1", w1.port())) as sock:
        sock.settimeout(patiently(USUAL_S))
        sock.sendall(sent)
        if half_closed:
            sock.shutdown(socket.SHUT_WR)
        try:
            return sock.recv(1000)
        except ConnectionResetError:
            return b""


@pytest.mark.smoke
@pytest.mark.parametrize("header", [v1("192.0.2.7"), v2("192.0.2.7"), v2("192.0.2.7", tlvs=b"\x05\0\2id" + b"\x04\x01\0" + b"." * 256)],
                         ids=["version 1", "version 2", "with TLVs"])
def test_the_address_in_the_header_is_the_clients_from_then_on(origin, forebay, header):
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    w1 = forebay(LISTEN + "rate_limits: {one: {algorithm: fixed_window, limit: 2, window: 365d, key: client}}\n"
                 "routes: [{match: /**, rate_limit: one}]\n", app=origin)
    for _ in range(2):
        w1.client(prologue=header).get("/a").expect(200, "here")
    w1.client(prologue=header).get("/a").expect(429)
    w1.client(prologue=v1("192.0.2.8")).get("/a").expect(200)
    assert origin.requests[0].headers.get("X-Forwarded-For") == "192.0.2.7"
    assert sorted(line["client"] for line in w1.access(4)) == ["192.0.2.7"] * 3 + ["192.0.2.8"]


def test_trusted_proxies_are_judged_by_the_address_in_the_header(origin, forebay):
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    w1 = forebay(LISTEN + "trusted_proxies: [192.0.2.0/24]\n", app=origin)
    w1.client(prologue=v1("192.0.2.7")).get("/a", x_forwarded_for="203.0.113.9").expect(200)
    w1.client(prologue=v1("198.51.100.7")).get("/a", x_forwarded_for="203.0.113.9").expect(200)
    assert sorted(line["client"] for line in w1.access(2)) == ["198.51.100.7", "203.0.113.9"]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2("192.0.2.7", command=0), v2("192.0.2.7", family=0)],
                         ids=["UNKNOWN", "LOCAL", "UNSPEC"])
def test_a_proxy_that_speaks_for_itself_is_the_client(origin, forebay, header):
    origin.on("GET /a").reply(200, "here")
    if header[13:14] == b"\0" and header[:1] == b"\r":
        header = header[:14] + b"\0\0"
    w1 = forebay(LISTEN, app=origin)
    w1.client(prologue=header).get("/a").expect(200, "here")
    assert w1.access()[0]["client"] == "127.0.0.1"


def test_a_header_may_come_in_pieces_and_with_the_request_behind_it(origin, forebay):
    origin.on("GET /a").reply(200, "here")
    w1 = forebay(LISTEN, app=origin)
    for header in (v1("192.0.2.7"), v2("192.0.2.8")):
        with socket.create_connection(("127.0.0.1", w1.port())) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header + b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n":
                sock.sendall(bytes([byte]))
            assert b"".join(iter(lambda: sock.recv(1000), b"")).endswith(b"here")
        c1 = Client(w1.address).connect()
        c1.send(header + b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        c1.answer().expect(200, "here")
        c1.close()
    assert sorted(line["client"] for line in w1.access(4)) == ["192.0.2.7"] * 2 + ["192.0.2.8"] * 2


BAD = {
    "no header": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare LF": b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "too long": b"PROXY UNKNOWN " + b"x" * 200,
    "bad address": b"PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
    "version 3": SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
    "too short for its family": SIGNATURE + b"\x21\x21\0\x0c" + bytes(12),
    "huge": SIGNATURE + b"\x21\x11\xff\xff",
    "wrong checksum": v2("192.0.2.7", tlvs=b"\x03\0\4\1\2\3\4"),
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD.keys())
def test_a_malformed_header_gets_no_answer(forebay, sent):
    w1 = forebay(LISTEN + "routes: [{match: /**, respond: {body: here}}]\n")
    assert silence_from(w1, sent) == b""
    w1.wait_metric("forebay_proxy_headers_bad_total", 1)
    w1.wait_log(r"PROXY header from 127\.0\.0\.1: \w+")
    w1.wait_metric("forebay_connections_open", 1)    # who asks


def test_a_header_that_does_not_come_gets_no_answer(forebay):
    w1 = forebay(LISTEN.replace("60s", "500ms") + "routes: [{match: /**, respond: {body: here}}]\n")
    assert silence_from(w1, b"") == b""
    assert silence_from(w1, b"PROXY TCP4 192.0") == b""
    w1.wait_log("did not come in time")
    w1.wait_metric("forebay_proxy_headers_bad_total", 2)


def test_a_header_that_breaks_off_gets_no_answer(forebay):
    w1 = forebay(LISTEN + "routes: [{match: /**, respond: {body: here}}]\n")
    assert silence_from(w1, b"PROXY TCP4 192.0", half_closed=True) == b""
    w1.wait_log("ended before it was whole")
    w1.wait_metric("forebay_proxy_headers_bad_total", 1)


def test_nobody_else_s_header_is_believed(forebay):
    w1 = forebay(LISTEN.replace("127.0.0.1]", "127.0.0.2]") + "routes: [{match: /**, respond: {body: here}}]\n")
    w1.get("/").expect(200, "here")
    c1 = Client(w1.address).connect()
    c1.send(v1("192.0.2.7") + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    c1.answer().expect(400)
    c1.close()
    w1.client(source="127.0.0.2", prologue=v1("192.0.2.7")).get("/").expect(200, "here")
    assert sorted(line["client"] for line in w1.access(3)) == ["127.0.0.1", "127.0.0.1", "192.0.2.7"]


def test_the_header_comes_before_tls_and_on_unix_sockets(forebay, certs):
    shop = certs.certificate("shop.example")
    w1 = forebay(f"""
        listen:
          - address: 127.0.0.1:@PORT@
            tls: [{{cert: {shop.cert}, key: {shop.key}}}]
            proxy_protocol: 127.0.0.0/8
          - address: unix:@DIR@/sock
            proxy_protocol: 127.0.0.0/8
        routes: [{{match: /**, respond: {{body: here}}}}]
    """)
    c1 = w1.client(tls=certs.client_context(), server_name="shop.example", prologue=v2("192.0.2.7"))
    c1.get("/").expect(200, "here")
    with Client(f"unix:{w1.directory}/sock", prologue=v1("192.0.2.8")) as c2:
        c2.get("/").expect(200, "here")
    assert sorted(line["client"] for line in w1.access(2)) == ["192.0.2.7", "192.0.2.8"]


@pytest.mark.tsan
def test_who_must_send_one_changes_with_a_reload(forebay):
    fixed = "routes: [{match: /**, respond: {body: here}}]\n"
    w1 = forebay(LISTEN + fixed)
    assert silence_from(w1, BAD["no header"]) == b""
    w1.reload("listen: '127.0.0.1:@PORT@'\n" + fixed)
    w1.get("/").expect(200, "here")
    w1.reload(LISTEN + fixed)
    assert silence_from(w1, BAD["no header"]) == b""


def test_who_owes_a_header_counts_as_a_connection(forebay):
    w1 = forebay(LISTEN + "limits: {connections: 3}\nroutes: [{match: /**, respond: {body: here}}]\n")
    owing = [socket.create_connection(("127.0.0.1", w1.port())) for _ in range(10)]
    wait_until(lambda: len(select.select(owing, [], [], 0)[0]) == 7, "all but three to be closed")
    for sock in owing:
        sock.close()
    wait_until(lambda: "ended before it was whole" in w1.log, "them to be gone")
    w1.wait_metric("forebay_connections_open", 1)    # who asks
    w1.client(prologue=v1("192.0.2.7")).get("/").expect(200, "here")


def test_a_stop_does_not_wait_longer_for_a_header_than_the_drain(forebay):
    w1 = forebay(LISTEN + "limits: {drain_timeout: 100ms}\nroutes: [{match: /**, respond: {body: here}}]\n")
    with socket.create_connection(("127.0.0.1", w1.port())) as sock:
        sock.sendall(b"PROXY")
        w1.client(prologue=v1("192.0.2.7")).get("/").expect(200)
        w1.stop()


@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_in_front(origin, forebay, tmp_path, words):
    origin.on("GET /a").reply(200, "here", cache_control="no-store")
    w1 = forebay(LISTEN, app=origin)
    port = ports.free()
    haproxy = Haproxy(tmp_path, f"""
defaults
    mode tcp
    timeout connect 60s
    timeout client 60s
    timeout server 60s
frontend in
    bind 127.0.0.1:{port}
    unique-id-format %[uuid()]
    default_backend out
backend out
    server forebay {w1.address} {words}
""")
    try:
        with Client(f"127.0.0.1:{port}", source="127.0.0.66") as c1:
            c1.get("/a").expect(200, "here")
            c1.get("/a").expect(200, "here")
    finally:
        haproxy.kill()
    assert origin.requests[0].headers.get("X-Forwarded-For") == "127.0.0.66"
    assert sorted(line["client"] for line in w1.access(2)) == ["127.0.0.66"] * 2


def test_curl_in_front(origin, forebay):
    origin.on("GET /a").reply(200, "here")
    w1 = forebay(LISTEN, app=origin)
    assert str(curl("--haproxy-protocol", f"http://{w1.address}/a").expect(0)) == "here"


@pytest.mark.parametrize("conf, said", [
    ("proxy_protocol: {from: [10.0.0.0/40]}", r"forebay\.yaml:\d+:\d+.*no network|no network"),
    ("proxy_protocol: {timeout: 1s}", r"from"),
    ("proxy_protocol: {from: [10.0.0.0/8], timeout: 1h}", r"timeout"),
    ("proxy_protocol: on", r"\"from\" is missing"),
])
def test_a_bad_value_is_told_in_its_place(cli, tmp_path, conf, said):
    path = tmp_path / "forebay.yaml"
    path.write_text(f"listen: {{address: '127.0.0.1:8080', {conf}}}\nroutes: [{{match: /**, respond: {{body: here}}}}]\n")
    done = cli("check", "-c", path)
    assert done.returncode != 0 and "forebay.yaml:1:" in done.stdout + done.stderr
    assert re.search(said, done.stdout + done.stderr), done.stdout + done.stderr


def test_the_example_means_what_it_says(origin, forebay):
    origin.on("GET /a").reply(200, "here")
    text = (EXAMPLES / "behind-haproxy.yaml").read_text().replace('":8080"', "'127.0.0.1:@PORT@'").replace("127.0.0.1:3000", "@app@")
    w1 = forebay(text, app=origin)
    assert str(curl("--haproxy-protocol", f"http://{w1.address}/a").expect(0)) == "here"
    assert silence_from(w1, BAD["no header"]) == b""


def test_to_believe_everybody_is_warned_of(cli, tmp_path):
    path = tmp_path / "forebay.yaml"
    path.write_text("listen: {address: ':8080', proxy_protocol: 0.0.0.0/0}\nroutes: [{match: /**, respond: {body: here}}]\n")
    done = cli("check", "-c", path)
    assert done.returncode == 0 and "can choose its address" in done.stderr, done.stderr
