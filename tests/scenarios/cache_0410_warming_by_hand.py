"""forebay warm and /warm: pages named by hand, how far it is, an end to it."""

import json
import os
import pty
import re
import subprocess

import pytest

from stage.daemon import binary
from stage.waiting import patiently, wait_until

SITE = {"host": "www.a.test"}
PAGE = dict(cache_control="max-age=600")
PLAIN = "routes: [{match: /**}]"


@pytest.fixture
def pages(origin):
    origin.on("GET /*").reply(200, "page", **PAGE)
    return origin


def test_pages_named_on_the_command_line_are_cached_when_it_returns(pages, forebay):
    w = forebay(PLAIN, app=pages)

    told = w.cli("warm", "--base", "http://www.a.test", "/a", "/b", "http://www.a.test/c").stdout

    assert "3 pages: 3 fetched, 0 cached before, 0 not cacheable, 0 failed" in told
    w.get("/c", **SITE).expect(200, x_cache_status="HIT")


def test_a_page_that_fails_is_told_by_the_exit_code(pages, forebay):
    pages.on("GET /broken").reply(503)
    w = forebay(PLAIN, app=pages)

    answer = json.loads(w.cli("warm", "--base", "http://www.a.test", "/a", "/broken", "--json", check=1).stdout)

    assert (answer["state"], answer["fetched"], answer["failed"]) == ("done", 1, 1)


def test_a_file_of_addresses_and_a_sitemap(pages, forebay, tmp_path):
    pages.on("GET /map.xml").reply(200, "<urlset><url><loc>/in-the-map</loc></url></urlset>", content_type="text/xml")
    (tmp_path / "list").write_text("# pages\n/a\n\n/b\n")
    w = forebay(PLAIN, app=pages)

    told = w.cli("warm", "--base", "http://www.a.test", "--file", tmp_path / "list", "--sitemap", "/map.xml").stdout

    assert "3 pages: 3 fetched" in told and "1 sitemaps read, 0 not" in told
    w.get("/in-the-map", **SITE).expect(200, x_cache_status="HIT")


def test_without_addresses_the_configured_ones_are_meant(pages, forebay):
    w = forebay("""
        cache: {warm: {base: "http://www.a.test", urls: [/a], at_start: no}}
        routes: [{match: /**}]
        """, app=pages)
    assert json.loads(w.cli("warm", "--status", "--json").stdout)["state"] == "idle"

    assert "1 pages: 1 fetched" in w.cli("warm").stdout
    assert "1 pages: 0 fetched, 1 cached before" in w.cli("warm").stdout


@pytest.mark.parametrize("where, first, last", [
    ("a terminal", rb"\r\[#{27}\.{3}\] 9 of 10 pages, 0 failed", rb"\r\[#{30}\] 10 of 10 pages, 0 failed"),
    ("a pipe", rb"(?m)^9 of 10 pages, 0 failed\n", rb"9 of 10 pages, 0 failed\n(10 of 10 pages, 0 failed\n)?\Z"),
])
def test_how_far_it_is_is_shown(pages, forebay, where, first, last):
    w = forebay(PLAIN, app=pages)
    reader, writer = pty.openpty() if where == "a terminal" else os.pipe()
    told = b""
    with pages.on("GET /held").reply(200, "page", **PAGE).hold():
        run = subprocess.Popen([binary(), "warm", "-c", w.config_path, "--base", "http://www.a.test", "/held", *(f"/{n}" for n in range(9))],
                               stdout=subprocess.DEVNULL, stderr=writer)
        os.close(writer)
        while not re.search(first, told):
            more = os.read(reader, 4096)
            assert more, told
            told += more
    assert run.wait(patiently(40)) == 0
    try:
        while more := os.read(reader, 4096):
            told += more
    except OSError:
        pass                                                        # how a terminal says that nobody writes to it any more
    os.close(reader)
    assert re.search(last, told), told


def test_a_second_run_waits_for_nobody(pages, forebay):
    w = forebay(PLAIN, app=pages)
    with pages.on("GET /held").reply(200, "page", **PAGE).hold():
        w.cli("warm", "--base", "http://www.a.test", "/held", "--no-wait")
        wait_until(lambda: pages.count("GET /held") == 1, "the visit")
        assert "a run is under way" in w.cli("warm", "--base", "http://www.a.test", "/b", check=1).stderr
        assert json.loads(w.cli("warm", "--status", "--json").stdout)["state"] == "running"

        assert "stopped" in w.cli("warm", "--stop").stdout


@pytest.mark.parametrize("body", ["[]", "{", '{"urls": "/a"}', '{"urls": [1]}', '{"rate": 0}', '{"sitemaps": {}}'])
def test_a_body_that_says_something_else_is_refused(pages, forebay, body):
    w = forebay(PLAIN, app=pages)

    w.admin("POST", "/warm", body).expect(400)

    w.admin("GET", "/warm").expect(200)


def test_a_body_comes_in_pieces_or_is_too_large(pages, forebay):
    w = forebay(PLAIN, app=pages)
    client = w.client("ADMIN")
    client.send("POST /warm HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"base\": \"http:/\r\n")
    client.send("21\r\n/www.a.test\", \"urls\": [\"/a\"]    }\r\n0\r\n\r\n")
    client.answer().expect(202)

    w.admin("POST", "/warm", "x" * 70000).expect(413)


def test_nothing_is_warmed_where_nothing_is_cached(pages, forebay):
    w = forebay("cache: off", app=pages)

    assert "nothing is cached" in w.cli("warm", "--base", "http://a.test", "/a", check=1).stderr


def test_nothing_is_named(pages, forebay):
    w = forebay(PLAIN, app=pages)

    assert "cache.warm names nothing" in w.cli("warm", check=1).stderr


def test_what_is_stopped_before_it_begins_does_not_begin(pages, forebay):
    w = forebay("""
        cache: {warm: {base: "http://www.a.test", urls: [/a], at_start: no}}
        routes: [{match: /**}]
        """, app=pages)

    def order_and_stop():
        w.admin("POST", "/warm").expect(202)
        w.admin("DELETE", "/warm").expect(202)
        return wait_until(has_ended, "an end")

    def has_ended():
        now = w.admin("GET", "/warm").json()
        return now if now["state"] in ("stopped", "done") else None
    w.cli("warm")
    before = has_ended()
    for _ in range(10):                                             # a run begins within a second: the stop may come too late
        now = order_and_stop()
        if now["began"] == before["began"]:
            break
        before = now
    assert (now["state"], now["began"]) == ("stopped", before["began"])
