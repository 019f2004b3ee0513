"""HTTP/2 to clients: the same requests and answers, over streams."""

import re
from pathlib import Path

import pytest

from stage.h2 import END_HEADERS, END_STREAM, H2, HEADERS, MAX_CONCURRENT_STREAMS, PROTOCOL_ERROR, RST_STREAM, block
from stage.peers import curl, run, tool
from stage.waiting import ports

pytestmark = pytest.mark.smoke
ROOT = Path(__file__).resolve().parents[2]
PRIOR = "--http2-prior-knowledge"
TLS = "listen: [{address: '127.0.0.1:@PORT@', tls: [{cert: '%s', key: '%s'}]}]\n"


def test_curl_speaks_it_by_prior_knowledge(origin, forebay):
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=60", x_case="Kept")
    w1 = forebay(app=origin)
    done = curl(PRIOR, "-i", f"http://{w1}/news").expect()
    assert done.out.startswith("HTTP/2 200") and "x-case: Kept" in done.out and done.out.endswith("spring flood")
    assert re.search(r"^x-cache-status: HIT\r?$", curl(PRIOR, "-i", f"http://{w1}/news").expect().out, re.M)
    assert origin.last().headers["Host"] == str(w1) and re.match(r"2 ", origin.last().headers["Via"])
    assert w1.access(2)[-1]["protocol"] == "HTTP/2"
    assert w1.metric("forebay_http2_streams_total") == 2


def test_http_1_and_2_are_answered_from_one_cache(origin, forebay):
    origin.on("GET /news", times=1).reply(200, "spring flood", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/news").expect(200, x_cache_status="MISS")
    assert "x-cache-status: HIT" in curl(PRIOR, "-i", f"http://{w1}/news").expect().out


def test_it_is_agreed_on_over_tls(origin, forebay, certs, tmp_path):
    origin.on("GET /news").reply(200, "spring flood")
    pair = certs.certificate("localhost")
    w1 = forebay(TLS % (pair.cert, pair.key), app=origin)
    how = ("--cacert", certs.cert, "--resolve", f"localhost:{w1.port()}:127.0.0.1", "-o", "/dev/null", "-w",
           "%{http_version} %{http_code}")
    assert curl(*how, f"https://localhost:{w1.port()}/news").expect().out == "2 200"
    assert curl("--http1.1", *how, f"https://localhost:{w1.port()}/news").expect().out == "1.1 200"
    assert origin.last().headers["X-Forwarded-Proto"] == "https"


def test_where_it_is_off_nobody_speaks_it(origin, forebay, certs):
    origin.on("GET /news").reply(200, "spring flood")
    pair = certs.certificate("localhost")
    p = ports.free()
    w1 = forebay("listen: [{address: '127.0.0.1:@PORT@', http2: off}, {address: '127.0.0.1:%d', http2: off, tls: [{cert: '%s', key: '%s'}]}]\n"
                 % (p, pair.cert, pair.key), app=origin)
    c1 = w1.client()
    c1.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    c1.answer().expect(505)
    assert curl("--cacert", certs.cert, "--resolve", f"localhost:{p}:127.0.0.1", "-o", "/dev/null", "-w", "%{http_version}",
                f"https://localhost:{p}/news").expect().out == "1.1"


def test_nghttp_gets_many_at_a_time(origin, forebay):
    origin.on("/*").reply(200, "x" * 100_000, cache_control="max-age=60")
    w1 = forebay(app=origin)
    urls = [f"http://{w1}/{i}" for i in range(40)]
    run(tool("nghttp", "nghttp2-client"), "-n", *urls).expect()
    assert w1.metric("forebay_http2_streams_total") == 40 and w1.metric("forebay_http2_connections_total") == 1


def test_a_body_of_any_size_comes_whole(origin, forebay):
    w1 = forebay(app=origin)
    for n in (0, 1, 4096, 4097, 16384, 16385, 65535, 65536, 1_000_003):
        body = bytes(i * 7 % 251 for i in range(1009)) * (n // 1009 + 1)
        origin.on(f"GET /{n}").reply(200, body[:n], cache_control="max-age=60")
        with H2(w1.address) as c1:
            for status in ("MISS", "HIT"):
                c1.answer(c1.get(f"/{n}")).expect(200, body[:n], x_cache_status=status, content_length=str(n))


def test_head_and_204_and_304_have_no_body(origin, forebay):
    origin.on("/page").reply(200, "text", cache_control="max-age=60", etag='"1"')
    origin.on("/nothing").reply(204)
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        c1.answer(c1.get("/page")).expect(200, "text")
        c1.answer(c1.open(c1.head("HEAD", "/page"))).expect(200, b"", content_length="4")
        c1.answer(c1.get("/page", [("if-none-match", '"1"')])).expect(304, b"")
        c1.answer(c1.get("/nothing")).expect(204, b"")


def test_uploads_come_whole_whether_their_length_is_told_or_not(origin, forebay):
    origin.on("POST /form").reply(200, "thanks")
    w1 = forebay(app=origin)
    text = "ä" * 150_000
    for how in ([], ["-H", "Content-Length:"]):
        assert curl(PRIOR, *how, "--data-binary", "@-", f"http://{w1}/form", feed=text).expect().out == "thanks"
        assert origin.last().text == text and origin.last().complete
    with H2(w1.address) as c1:
        c1.answer(c1.post("/form", "a=b")).expect(200, "thanks")
        assert origin.last().text == "a=b" and origin.last().headers["Transfer-Encoding"] == "chunked"
        c1.answer(c1.post("/form", "a=b", [("content-length", "3")])).expect(200, "thanks")
        assert origin.last().headers["Content-Length"] == "3"


def test_a_client_that_asks_first_is_told_to_go_on(origin, forebay):
    origin.on("POST /form").reply(200, "thanks")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/form", [("expect", "100-continue"), ("content-length", "3")]), end=False)
        assert c1.next(HEADERS, stream=s).fields == [(":status", "100")]
        c1.data(s, "a=b", end=True)
        c1.answer(s).expect(200, "thanks")


def test_trailers_go_both_ways(origin, forebay):
    origin.on("POST /call").reply(200, ["data"], trailers=[("Grpc-Status", "0")])
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/call", [("te", "trailers")]), end=False)
        c1.data(s, "ping")
        c1.frame(HEADERS, END_HEADERS | END_STREAM, s, block([("x-sum", "12"), ("content-length", "9")]))
        answer = c1.answer(s).expect(200, "data")
        assert answer.trailers.get("grpc-status") == "0"
        assert origin.last().trailers.get("x-sum") == "12" and "content-length" not in origin.last().trailers


def test_early_hints_are_passed_on(origin, forebay):
    origin.on("GET /page").raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
                               b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntext")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        answer = c1.answer(c1.get("/page")).expect(200, "text")
        assert [(status, fields.get("link")) for status, fields in answer.interim] == [(103, "</a.css>; rel=preload")]


def test_crumbs_of_cookies_are_one_field_again(origin, forebay):
    origin.on("GET /me").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        c1.answer(c1.get("/me", [("cookie", "a=1"), ("x-other", "y"), ("cookie", "b=2")])).expect(200)
    assert origin.last().headers.all("Cookie") == ["a=1; b=2"]


MALFORMED = {
    "upper case in a name": {"headers": [("X-Upper", "1")]},
    "a control character": {"headers": [("x-a", "b\r\nhost: evil")]},
    "blanks around a value": {"headers": [("x-a", " b")]},
    "a name that is no token": {"headers": [("x a", "b")]},
    "an empty name": {"headers": [("", "b")]},
    "a colon in a name": {"headers": [("x:a", "b")]},
    "connection": {"headers": [("connection", "close")]},
    "keep-alive": {"headers": [("keep-alive", "5")]},
    "proxy-connection": {"headers": [("proxy-connection", "close")]},
    "transfer-encoding": {"headers": [("transfer-encoding", "chunked")]},
    "upgrade": {"headers": [("upgrade", "websocket")]},
    "te": {"headers": [("te", "gzip")]},
    "another host": {"headers": [("host", "evil.example")]},
    "no method": {"method": None},
    "no path": {"path": None},
    "an empty path": {"path": ""},
    "a path that is none": {"path": "http://evil.example/"},
    "a path with a blank": {"path": "/a HTTP/1.1"},
    "a star for a path": {"path": "*"},
    "no scheme": {"scheme": None},
    "another scheme": {"scheme": "ftp"},
    "a user in the authority": {"authority": "user@host"},
    "an empty authority": {"authority": ""},
    "a method with a blank": {"method": "GET /"},
    "protocol without CONNECT": {"protocol": "websocket"},
    "an unknown pseudo-field": {"odd": "1"},
    "a late pseudo-field": {"headers": [("x-a", "b"), (":path", "/b")]},
    "a pseudo-field twice": {"headers": [(":path", "/b")]},
    "a response's pseudo-field": {"headers": [(":status", "200")]},
    "two lengths": {"headers": [("content-length", "0"), ("content-length", "0")]},
    "a signed length": {"headers": [("content-length", "+0")]},
    "a length without a body": {"headers": [("content-length", "5")]},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_malformed_is_refused_and_goes_nowhere(origin, forebay, what):
    origin.on("GET /good").reply(200, "here")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        how = {"method": "GET", "path": "/", **MALFORMED[what]}
        s = c1.open(c1.head(**how))
        c1.answer(s).expect(400)
        assert c1.next(RST_STREAM, stream=s).code == PROTOCOL_ERROR
        c1.answer(c1.get("/good")).expect(200, "here")
    assert [r.path for r in origin.requests] == ["/good"]
    assert w1.metric("forebay_http_malformed_total") == 1


def test_without_authority_host_says_where(origin, forebay):
    origin.on("GET /").reply(200, "here")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        c1.answer(c1.get("/", [("host", "a.example")], authority=None)).expect(200)
        assert origin.last().headers.all("Host") == ["a.example"]
        c1.answer(c1.get("/", [("host", "A.example")], authority="a.example")).expect(200)
        c1.answer(c1.get("/", authority=None)).expect(400)


@pytest.mark.parametrize("length, sent", [("5", b"1234"), ("3", b"1234")])
def test_a_body_of_another_length_than_told_is_refused(origin, forebay, length, sent):
    origin.on("POST /form").reply(200)
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.open(c1.head("POST", "/form", [("content-length", length)]), end=False)
        c1.data(s, sent, end=True)
        answer = c1.answer(s)
        assert answer.status == 400 or answer.reset == PROTOCOL_ERROR
    assert not any(r.complete for r in origin.requests)


def test_a_head_that_is_too_large_is_refused_and_the_next_is_not(origin, forebay):
    origin.on("GET /good").reply(200, "here")
    w1 = forebay("limits: {head_size: 4KiB}\n", app=origin)
    with H2(w1.address) as c1:
        c1.answer(c1.get("/", [("x-a", "b" * 4096)])).expect(431)
        c1.answer(c1.get("/", [(f"x-{i}", "b") for i in range(200)])).expect(431)
        c1.answer(c1.get("/good")).expect(200, "here")


def test_connect_is_refused(origin, forebay):
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        answer = c1.answer(c1.open([(":method", "CONNECT"), (":authority", "a.example:443")]))
        assert answer.status in (400, 405, 501)
        answer = c1.answer(c1.open(c1.head("CONNECT", "/", protocol="connect-udp"), end=False))
        assert answer.status == 501


def test_more_streams_than_allowed_are_refused(origin, forebay):
    gate = origin.on("GET /slow").reply(200, "late", cache_control="no-store").hold()
    w1 = forebay("limits: {streams: 3}\n", app=origin)
    with H2(w1.address) as c1:
        streams = [c1.get(f"/slow?{i}") for i in range(5)]
        assert {c1.next(RST_STREAM).stream for _ in range(2)} == set(streams[3:])
        gate.release()
        for s in streams[:3]:
            c1.answer(s).expect(200, "late")
        assert w1.metric("forebay_http2_refused_total") == 2


def test_h2load_loses_nothing(origin, forebay):
    origin.on("/*").reply(200, "x" * 1024, cache_control="max-age=60")
    w1 = forebay(app=origin)
    done = run(tool("h2load", "nghttp2-client"), "-n", "3000", "-c", "7", "-m", "30", f"http://{w1}/k1").expect()
    assert "3000 succeeded, 0 failed, 0 errored" in done.out


@pytest.mark.parametrize("secure", [False, True])
def test_a_proxy_that_passes_connections_on_says_for_whom(origin, forebay, certs, secure):
    origin.on("GET /").reply(200, "here", cache_control="no-store")
    pair = certs.certificate("localhost")
    tls = f", tls: [{{cert: '{pair.cert}', key: '{pair.key}'}}]" if secure else ""
    w1 = forebay("listen: [{address: '127.0.0.1:@PORT@', proxy_protocol: [127.0.0.0/8]%s}]\n" % tls, app=origin, ready="/health")
    with H2(w1.address, tls=certs.client_context(["h2"]) if secure else None,
            prologue=b"PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n") as c1:
        c1.answer(c1.get("/")).expect(200, "here")
    assert origin.last().headers["X-Forwarded-For"] == "203.0.113.7"
    assert w1.access(1)[-1]["client"] == "203.0.113.7"


def test_the_example_of_the_operations_page_means_what_it_says(origin, forebay, certs, tmp_path):
    origin.on("GET /").reply(200, "here")
    page, file = (ROOT / "docs/operations.md").read_text(), (ROOT / "conf/examples/http2.yaml").read_text()
    shown = re.search(r"## HTTP/2\n.*?```yaml\n(.*?)```", page, re.S)[1]
    bare = [re.sub(r"\s+#.*", "", line) for line in shown.splitlines()]
    assert [line for line in bare if line not in file.splitlines()] == []
    pair, plain, tls = certs.certificate("localhost"), ports.free(), ports.free()
    text = re.sub(r"^upstreams:.*\n", "", file, flags=re.M).replace(":8080", f"127.0.0.1:{plain}").replace(":8443", f"127.0.0.1:{tls}")
    forebay(text.replace("site.pem", str(pair.cert)).replace("site.key", str(pair.key)), app=origin)
    say = ("-k", "-o", "/dev/null", "-w", "%{http_version}\n")
    assert curl(*say, f"https://localhost:{tls}/").expect().out == "2\n"
    assert curl(*say, f"http://localhost:{plain}/").expect().out == "1.1\n"
    with H2(f"127.0.0.1:{tls}", tls=certs.client_context(["h2"])) as c1:
        c1.answer(c1.get("/")).expect(200, "here")
        assert c1.settings[MAX_CONCURRENT_STREAMS] == 200
