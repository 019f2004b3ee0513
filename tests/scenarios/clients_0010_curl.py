"""curl, as people use it."""

import hashlib
import json
import re
import zlib

import pytest

from stage.bulk import Bulk
from stage.peers import curl, run

pytestmark = pytest.mark.smoke
CHUNK = bytes(range(256)) * 64


@pytest.fixture
def bulk():
    bulk = Bulk()
    yield bulk
    bulk.close()


def headers_of(path):
    """The fields of the last answer that curl --dump-header wrote, names in lower case."""
    head = path.read_text().strip().split("\n\n")[-1]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines()[1:])}


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY"])
def test_every_method_reaches_the_origin(origin, forebay, tmp_path, method):
    origin.on(f"{method} /thing", times=1).reply(200, "" if method == "HEAD" else "done", x_says=method)
    w1 = forebay(app=origin)

    body = [] if method in ("GET", "HEAD", "OPTIONS") else ["--data-binary", "some text", "-H", "Content-Type: text/plain"]
    verb = ["--head"] if method == "HEAD" else ["-X", method]
    done = curl("--fail", *verb, *body, "-D", tmp_path / "head", f"http://{w1}/thing?a=b").expect()
    assert headers_of(tmp_path / "head")["x-says"] == method
    assert method == "HEAD" or done.out == "done"
    assert origin.last().text == ("some text" if body else "") and origin.last().target == "/thing?a=b"


def test_options_may_ask_about_the_server_itself(origin, forebay):
    origin.on("OPTIONS *").reply(204, allow="GET")
    w1 = forebay(app=origin)
    done = curl("-i", "-X", "OPTIONS", "--request-target", "*", f"http://{w1}").expect()
    assert re.search(r"^allow: GET\r?$", done.out, re.M | re.I)


def test_a_redirect_is_followed_and_a_form_arrives(origin, forebay):
    origin.on("POST /login").reply(302, location="/home")
    origin.on("GET /home").reply(200, "welcome")
    origin.on("POST /form").reply(200, "thanks")
    w1 = forebay(app=origin)

    assert curl("-L", "-d", "name=ada", f"http://{w1}/login").expect().out == "welcome"
    assert curl("-F", "name=ada", "-F", f"file=@{__file__}", f"http://{w1}/form").expect().out == "thanks"
    form = origin.last("POST /form")
    assert b'name="name"\r\n\r\nada' in form.body and b"as people use it" in form.body


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_100_megabytes_go_up_whole(bulk, forebay, tmp_path, framing):
    path = tmp_path / "upload"
    path.write_bytes(CHUNK * 6104)                  # 100,007,936 bytes
    w1 = forebay(app=bulk)

    if framing == "length":
        done = curl("-T", path, f"http://{w1}/up?crc")
    else:
        done = run("sh", "-c", f"curl -sS --noproxy '*' -T - 'http://{w1}/up?crc' <{path}")
    assert json.loads(done.expect().out) == {"bytes": path.stat().st_size, "complete": True, "crc": zlib.crc32(path.read_bytes())}
    line = w1.access(1)[0]
    assert line["status"] == 200


def test_more_than_is_allowed_is_refused_whatever_the_framing(bulk, forebay, tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(CHUNK * 200)
    w1 = forebay("limits: {body_size: 1MiB}", app=bulk)

    code = ["-o", tmp_path / "answer", "-w", "%{http_code} %{size_upload}"]
    assert curl(*code, "-H", "Expect: 100-continue", "-T", path, f"http://{w1}/up").expect().out == "413 0"
    done = curl(*code, "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "-T", path, f"http://{w1}/up")
    assert done.out.startswith("413 ") and done.code in (0, 55, 56), done       # it may notice while it still sends
    assert all(not upload["complete"] for upload in bulk.came)


def test_expect_100_continue_is_answered_before_the_body(origin, forebay, tmp_path):
    origin.on("PUT /up").reply(201, "stored")
    path = tmp_path / "upload"
    path.write_bytes(CHUNK * 100)
    w1 = forebay(app=origin)

    done = curl("-v", "--max-time", 60, "--expect100-timeout", 60, "-H", "Expect: 100-continue", "-T", path,
                f"http://{w1}/up").expect()
    assert done.out == "stored" and "< HTTP/1.1 100 Continue" in done.err
    assert origin.last().body == path.read_bytes()


def test_a_refusal_spares_the_client_its_upload(origin, forebay, tmp_path):
    unread = origin.on("PUT /up").reply(401, "who are you?").early().hold_body()
    path = tmp_path / "upload"
    path.write_bytes(CHUNK * 1000)
    w1 = forebay(app=origin)

    done = curl("--max-time", 60, "--expect100-timeout", 60, "-H", "Expect: 100-continue", "-w", " %{http_code}",
                "-T", path, f"http://{w1}/up")
    unread.release()
    assert done.out == "who are you? 401" and done.code in (0, 55, 56), done


def test_ranges_come_from_what_is_stored(origin, forebay, tmp_path):
    body = CHUNK * 10
    origin.on("GET /file", times=1).reply(200, body, cache_control="max-age=60", etag='"1"', content_type="application/octet-stream")
    w1 = forebay(app=origin)
    w1.get("/file").expect(200, body)

    for asked, wanted in (("0-99", body[:100]), ("1000-", body[1000:]), ("-5", body[-5:])):
        curl("--fail", "-r", asked, "-D", tmp_path / "head", "-o", tmp_path / "part", f"http://{w1}/file").expect()
        assert (tmp_path / "part").read_bytes() == wanted
        assert headers_of(tmp_path / "head")["x-cache-status"] == "HIT"
    assert curl("-r", f"{len(body)}-", "-o", "/dev/null", "-w", "%{http_code}", f"http://{w1}/file").out == "416"
    parts = curl("-r", "0-9,20-29", "-i", "-o", tmp_path / "parts", f"http://{w1}/file").expect()
    assert b"multipart/byteranges" in (tmp_path / "parts").read_bytes() and parts.code == 0


@pytest.mark.parametrize("cached", [True, False])
def test_a_broken_download_is_resumed(origin, forebay, tmp_path, cached):
    body = CHUNK * 64

    def file(exchange):
        asked = re.fullmatch(r"bytes=(\d+)-", exchange.request.headers.get("Range") or "bytes=0-")
        at = int(asked[1])
        head = [("Content-Length", len(body) - at), ("ETag", '"1"'), ("Cache-Control", "max-age=60" if cached else "no-store")]
        if at:
            head.append(("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}"))
        exchange.head(206 if at else 200, head)
        exchange.send(body[at:])
    origin.on("GET /file").do(file)
    w1 = forebay(app=origin)
    if cached:
        w1.get("/file").expect(200)

    path = tmp_path / "file"
    path.write_bytes(body[:300000])
    curl("--fail", "-C", "-", "-o", path, f"http://{w1}/file").expect()
    assert path.read_bytes() == body


@pytest.mark.parametrize("coding", ["br", "gzip", "zstd"])
def test_compressed_bodies_unfold_to_what_was_sent(origin, forebay, tmp_path, coding):
    text = "the forebay holds water for the turbine\n" * 500
    origin.on("GET /page", times=1).reply(200, text, cache_control="max-age=60", content_type="text/html", etag='"1"')
    w1 = forebay(app=origin)

    for status in ("MISS", "HIT", "HIT"):
        done = curl("--fail", "--compressed", "-H", f"Accept-Encoding: {coding}", "-D", tmp_path / "head",
                    "-w", "\n%{size_download}", f"http://{w1}/page").expect()
        got, _, size = done.out.rpartition("\n")
        assert got == text and int(size) < len(text) / 10
        head = headers_of(tmp_path / "head")
        assert (head["content-encoding"], head["x-cache-status"], head["vary"].lower()) == (coding, status, "accept-encoding")
    done = curl("--compressed", "-D", tmp_path / "head", f"http://{w1}/page").expect()          # all that it knows
    assert done.out == text and headers_of(tmp_path / "head")["content-encoding"] == "br"
    done = curl("-D", tmp_path / "head", f"http://{w1}/page").expect()
    assert done.out == text and "content-encoding" not in headers_of(tmp_path / "head")


def test_what_the_client_has_is_not_sent_again(origin, forebay, tmp_path):
    origin.on("GET /page", times=1).reply(200, "spring flood", etag='"7"', cache_control="max-age=60",
                                          last_modified="Mon, 02 Nov 2026 10:00:00 GMT")
    w1 = forebay(app=origin)
    tag, code = tmp_path / "tag", ["-w", "%{http_code}", "-o", tmp_path / "page"]

    assert curl(*code, "--etag-save", tag, f"http://{w1}/page").expect().out == "200"
    assert curl(*code, "--etag-compare", tag, f"http://{w1}/page").expect().out == "304"
    assert curl(*code, "-z", "Tue, 03 Nov 2026 10:00:00 GMT", f"http://{w1}/page").expect().out == "304"
    assert curl(*code, "-z", "Sun, 01 Nov 2026 10:00:00 GMT", f"http://{w1}/page").expect().out == "200"


def test_one_connection_serves_a_hundred_urls(origin, forebay):
    origin.on("GET /*").reply(200, "page", cache_control="max-age=60")
    w1 = forebay(app=origin)
    urls = f"http://{w1}/[1-50]"
    done = curl("--fail", "-w", "%{http_code} %{num_connects}\n", "-o", "/dev/null", urls, "-o", "/dev/null", urls).expect()
    lines = done.out.split("\n")
    assert lines[:-1] == ["200 1"] + ["200 0"] * 99 and origin.count() == 50


def test_many_at_once_each_get_their_own(origin, forebay, tmp_path):
    def mirror(exchange):
        path = exchange.request.path
        exchange.head(200, [("Content-Length", len(path)), ("Cache-Control", "max-age=60")])
        exchange.send(path)
    origin.on("GET /*").do(mirror)
    w1 = forebay(app=origin)
    curl("--fail", "--parallel", "--parallel-max", 30, "-o", tmp_path / "#1", f"http://{w1}/[1-100]").expect()
    assert [(tmp_path / str(n)).read_text() for n in range(1, 101)] == [f"/{n}" for n in range(1, 101)]


def test_http_1_0_is_spoken_too(origin, forebay, tmp_path):
    for method in ("GET", "HEAD"):
        origin.on(f"{method} /chunked").reply(200, ["in ", "pieces"], cache_control="no-store")
    origin.on("POST /up").reply(200, "thanks")
    w1 = forebay(app=origin)
    done = curl("-0", "-D", tmp_path / "head", f"http://{w1}/chunked").expect()
    assert done.out == "in pieces" and "transfer-encoding" not in headers_of(tmp_path / "head")
    assert curl("-0", "-d", "text", f"http://{w1}/up").expect().out == "thanks" and origin.last().text == "text"
    assert curl("-0", "-I", "-w", "%{http_code}", "-o", "/dev/null", f"http://{w1}/chunked").expect().out == "200"


def test_other_roads_lead_in(origin, forebay, tmp_path):
    origin.on("GET /").reply(200, "here", cache_control="no-store")
    w1 = forebay('listen: ["127.0.0.1:@PORT@", "[::1]:@PORT2@", "unix:@DIR@/in.sock"]', app=origin)

    assert curl(f"http://[::1]:{w1.port('PORT2')}/").expect().out == "here"
    assert re.search(r"::1", origin.last().headers["x-forwarded-for"])
    assert curl("--unix-socket", w1.directory / "in.sock", "http://site.test/").expect().out == "here"
    assert origin.last().headers["host"] == "site.test"
    assert curl(f"http://localhost:{w1.port()}/").expect().out == "here"       # tries both families


def test_as_a_proxy_is_asked(origin, forebay):
    """curl -x sends the absolute form."""
    origin.on("GET /page").reply(200, "spring flood", cache_control="no-store")
    w1 = forebay(app=origin)
    done = run("curl", "-sS", "-x", f"http://{w1}", "http://site.test/page").expect()
    assert done.out == "spring flood" and origin.last().target == "/page" and origin.last().headers["host"] == "site.test"
