"""Other people's clients of HTTP/2 with settings that nobody has by default: all they ask for comes, and whole."""

import re

import pytest

from stage.peers import curl, run, tool

STORED = {"cache_control": "max-age=60"}
LONG = 300_000
MANY = {
    "more at once than is allowed": (3000, 1000, "-m", "1000", "/short"),
    "one at a time": (1000, 1000, "-m", "1", "/short"),
    "windows of a kilobyte": (100, LONG, "-m", "100", "-w", "10", "-W", "14", "/long"),
    "a connection's window that is less than a stream's": (100, LONG, "-m", "10", "-w", "14", "-W", "12", "/long"),
    "windows without end": (300, LONG, "-m", "100", "-w", "30", "-W", "30", "/long"),
    "no table for our heads": (1000, 1000, "-m", "10", "--header-table-size", "0", "--encoder-header-table-size", "65536", "/short"),
    "what is fetched each time": (300, 20_000, "-m", "200", "/fetched"),
    "many uploads": (300, 2, "-m", "50", "-d", "UPLOAD", "/up"),
}
ONE = {
    "priorities of old": ["--weight=256"],
    "no priorities": ["--no-dep"],
    "a push is allowed": ["--max-concurrent-streams=1"],
    "a head in two frames": ["--continuation"],
    "padded": ["-b", "200"],
    "many of the same": ["-m", "150"],
    "uploaded": ["-d", "UPLOAD"],
    "uploaded without a length": ["--no-content-length", "-d", "UPLOAD"],
    "uploaded when it is wanted": ["--expect-continue", "-d", "UPLOAD"],
    "uploaded with a trailer": ["--no-content-length", "--trailer", "x-sum: 1", "-d", "UPLOAD"],
}


@pytest.fixture
def w1(origin, forebay):
    def upload(exchange):
        exchange.read_body()
        exchange.head(200, [("Content-Length", 2)])
        exchange.send(b"ok")
    origin.on("GET /short").reply(200, "x" * 1000, **STORED)
    origin.on("GET /long").reply(200, "y" * LONG, **STORED)
    origin.on("GET /fetched*").reply(200, "z" * 20_000, cache_control="no-store")
    origin.on("POST /up").do(upload)
    w1 = forebay("upstreams: {app: {servers: ['@app@'], connections: {max: 400}}}\n", app=origin)
    for path in ("/short", "/long"):
        w1.get(path).expect(200)
    return w1


@pytest.fixture
def words(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(b"u" * 50_000)
    return lambda given: [str(path) if word == "UPLOAD" else word for word in given]


@pytest.mark.parametrize("what", MANY)
def test_h2load_gets_all_of_it(w1, words, what):
    n, size, *options, path = MANY[what]
    done = run(tool("h2load", "nghttp2-client"), "-n", n, "-c", "4", *words(options), f"http://{w1.address}{path}").expect()
    assert f"{n} done, {n} succeeded, 0 failed, 0 errored, 0 timeout" in done.out, done.out
    assert re.search(rf"\({n * size}\) data", done.out), done.out


@pytest.mark.parametrize("what", ONE)
def test_nghttp_is_content(w1, origin, words, what):
    path = "up" if "UPLOAD" in ONE[what] else "long"
    done = run(tool("nghttp", "nghttp2-client"), "-v", "-n", *words(ONE[what]), f"http://{w1.address}/{path}").expect()
    times = 150 if "-m" in ONE[what] else 1
    assert done.out.count(":status: 200") == times and "RST_STREAM" not in done.out and "not processed" not in done.err, done
    if path == "up":
        assert len(origin.last("POST /up").body) == 50_000
        assert origin.last("POST /up").trailers.get("x-sum") == ("1" if "--trailer" in ONE[what] else None)


def test_an_upgrade_to_h2c_is_not_taken_up_nor_passed_on(w1, origin):
    done = run(tool("nghttp", "nghttp2-client"), "-u", "-v", "-n", f"http://{w1.address}/fetched")
    assert "HTTP/1.1 200 OK" in done.out and "HTTP Upgrade failed" in done.err, done
    seen = origin.last("GET /fetched").headers
    assert "Upgrade" not in seen and "HTTP2-Settings" not in seen
    assert curl("--http2", f"http://{w1.address}/short", "-o", "/dev/null", "-w", "%{http_version} %{size_download}").out == "1.1 1000"


def test_curl_gets_hundreds_side_by_side(origin, forebay, certs, tmp_path):
    origin.on("GET /fetched/*").reply(200, "z" * 20_000, cache_control="no-store")
    c = certs.certificate("localhost")
    w1 = forebay(f"listen: {{address: '127.0.0.1:@PORT@', tls: {{certificates: [{{cert: {c.cert}, key: {c.key}}}]}}}}\n", app=origin)
    port = w1.address.rpartition(":")[2]
    done = curl("--cacert", certs.cert, "--resolve", f"localhost:{port}:127.0.0.1", "--parallel", "--parallel-max", "100", "-o", tmp_path / "got-#1",
                "-w", "%{http_code} %{http_version} %{size_download}\\n", f"https://localhost:{port}/fetched/[1-200]")
    assert done.out.splitlines() == ["200 2 20000"] * 200, done.err
    w1.wait_metric("forebay_http2_streams_total", 200)
