"""A browser with a page of fifty assets. The page itself tells what it got."""

from collections import Counter
from contextlib import contextmanager
from textwrap import dedent

import pytest

from stage.peers import run, tool
from stage.process import Process
from stage.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.patience(360)]
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"]
TEN = range(10)
ASSETS = {
    **{f"/style/{n}.css": ("text/css", f"body {{ --style-{n}: {n}; }}\n" + "/* room */\n" * 100) for n in TEN},
    **{f"/script/{n}.js": ("text/javascript", "window.ran = (window.ran || 0) + 1;\n" + "// room\n" * 200) for n in TEN},
    **{f"/image/{n}.svg": ("image/svg+xml", f'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><!-- {n} --></svg>')
       for n in range(20)},
    **{f"/data/{n}.json": ("application/json", f'{{"n": {n}}}') for n in TEN},
}
PAGE = """<!doctype html>
<title>Spring flood</title>
{styles}
{images}
{scripts}
<script src="/tell.js"></script>
"""
TELL = """
const ten = [...Array(10).keys()];
const data = Promise.all(ten.map(n => fetch(`/data/${n}.json`).then(r => r.json())));
const events = new Promise(heard => {
	const source = new EventSource("/events"), got = [];
	source.onmessage = e => { if (got.push(e.data) == 3) { source.close(); heard(got); } };
});
const said = new Promise(heard => {
	const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}/ws`);
	socket.onopen = () => socket.send("hello");
	socket.onmessage = e => { heard(e.data); socket.close(); };
});
addEventListener("load", async () => {
	const body = getComputedStyle(document.body);
	const told = {
		data: (await data).map(d => d.n), events: await events, said: await said,
		images: [...document.images].filter(i => i.complete && i.naturalWidth == 8).length,
		scripts: window.ran,
		styles: ten.filter(n => body.getPropertyValue(`--style-${n}`) == n).length,
	};
	await fetch("/told", {method: "POST", body: JSON.stringify(told)});
});
"""
ALL_OF_IT = {"data": [*TEN], "events": ["0", "1", "2"], "said": "hello", "images": 20, "scripts": 10, "styles": 10}
ROUTES = """
    routes:
      - {match: GET /ws, upstream: shop}
      - {match: /**, upstream: site}
"""


@pytest.fixture
def site(origin):
    page = PAGE.format(styles="\n".join(f'<link rel="stylesheet" href="/style/{n}.css">' for n in TEN),
                       images="\n".join(f'<img src="/image/{n}.svg">' for n in range(20)),
                       scripts="\n".join(f'<script src="/script/{n}.js"></script>' for n in TEN))
    origin.on("GET /").reply(200, page, content_type="text/html; charset=utf-8", cache_control="no-cache", etag='"1"',
                             revalidates=True)
    for path, (kind, text) in {**ASSETS, "/tell.js": ("text/javascript", TELL)}.items():
        origin.on(f"GET {path}").reply(200, text, content_type=kind, cache_control="public, max-age=3600", etag='"1"')
    origin.on("GET /events").reply(200, [f"data: {n}\n\n" for n in range(3)], content_type="text/event-stream",
                                   cache_control="no-store")
    origin.on("GET /favicon.ico").reply(404)
    origin.on("POST /told").reply(204)
    return origin


@contextmanager
def browser(url, profile):
    profile.mkdir(exist_ok=True)
    trust = ["--ignore-certificate-errors"] if url.startswith("https") else []
    command = [tool("chromium", "chromium"), *FLAGS, *trust, "--remote-debugging-port=0", f"--user-data-dir={profile}", url]
    process = Process("browser", command, profile / "browser.log")
    try:
        yield
        process.child.terminate()               # so that it keeps what it has
        process.wait_exit(60)
    finally:
        process.kill()


def visit(w1, site, profile, scheme="http"):
    """Opens the page; returns what the page told once it was through."""
    before = site.count("POST /told")
    with browser(f"{scheme}://{w1}/", profile):
        wait_until(lambda: site.count("POST /told") > before, lambda: f"the page to tell; asked: {site.requests[-20:]}", 90)
    return site.last("POST /told").json()


def test_a_page_with_fifty_assets_loads_and_costs_the_origin_one_request_each(site, shop, forebay, tmp_path):
    w1 = forebay(ROUTES, site=site, shop=shop)

    assert visit(w1, site, tmp_path / "ada") == ALL_OF_IT
    assert visit(w1, site, tmp_path / "grace") == ALL_OF_IT             # somebody else: nothing is in this browser's cache
    assert len(ASSETS) == 50 and [path for path in ASSETS if site.count(f"GET {path}") != 1] == []

    def otherwise():
        seen = Counter((line["path"], line["cache"]) for line in w1.access())
        return [path for path in ASSETS if (seen[path, "MISS"], seen[path, "HIT"]) != (1, 1)]
    wait_until(lambda: otherwise() == [], lambda: f"each asset once from the origin and once from the cache, not: {otherwise()}")

    assert visit(w1, site, tmp_path / "ada") == ALL_OF_IT               # her browser has the assets, and asks about the page
    w1.access(1, path="/", status=304)
    assert len(w1.access(2, path="/image/7.svg")) == 2


def test_over_tls_it_speaks_http_2_and_its_websocket_is_one_of_the_streams(site, shop, forebay, certs, tmp_path):
    pair = certs.certificate("127.0.0.1")
    w1 = forebay(f"listen: [{{address: '127.0.0.1:@PORT@', tls: [{{cert: '{pair.cert}', key: '{pair.key}'}}]}}]\n" + dedent(ROUTES),
                 site=site, shop=shop)
    assert visit(w1, site, tmp_path / "ada", "https") == ALL_OF_IT
    lines = w1.access(55)
    assert {line["protocol"] for line in lines} == {"HTTP/2"}
    w1.access(1, path="/ws", end="tunnel", protocol="HTTP/2")
    assert w1.metric("forebay_http2_connections_total") < 6             # which is as many as of HTTP/1.1; one, and what it opens in case


@pytest.mark.parametrize("coding", ["zstd", "br"])
def test_over_tls_it_takes_every_coding_that_is_offered(site, shop, forebay, certs, tmp_path, coding):
    pair = certs.certificate("127.0.0.1")
    w1 = forebay(f"compression: {coding}\nlisten: [{{address: '127.0.0.1:@PORT@', tls: [{{cert: '{pair.cert}', key: '{pair.key}'}}]}}]\n" + dedent(ROUTES),
                 site=site, shop=shop)
    assert visit(w1, site, tmp_path / "ada", "https") == ALL_OF_IT
    assert visit(w1, site, tmp_path / "grace", "https") == ALL_OF_IT
    assert w1.metric("forebay_compressed_total") >= 20              # styles and scripts, each at least once


def test_a_strict_policy_is_understood_by_the_browser(origin, forebay, tmp_path):
    """What the preset forbids is not run, what comes from the site itself is."""
    origin.on("GET /").reply(200, '<title>quiet</title><body><script>document.title = "inline"</script><script src="/own.js"></script>',
                             content_type="text/html")
    origin.on("GET /own.js").reply(200, 'document.body.append(document.title, " and own")', content_type="text/javascript")
    origin.on("GET /favicon.ico").reply(404)
    w1 = forebay("security_headers: {preset: strict}", app=origin)
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = run(tool("chromium", "chromium"), *FLAGS, profile, "--dump-dom", f"http://{w1}/").expect()
    assert "quiet and own" in done.out, done.out
