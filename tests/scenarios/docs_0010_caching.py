"""docs/caching.md means what it says: each of its configurations, played."""

import re
import subprocess
from pathlib import Path

import pytest
from stage.daemon import binary
from stage.film import Film
from stage.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "conf" / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("caching-*.yaml"))


def example(name):
    """Without the two lines that name addresses: the stage has its own."""
    return re.sub(r"^(listen|upstreams):.*\n", "", (EXAMPLES / name).read_text(), flags=re.M)


def statuses(w1, target, **fields):
    return [w1.get(target, **fields).cache_status for _ in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_good_and_meant(name):
    told = subprocess.run([binary(), "check", "--strict", "-c", EXAMPLES / name], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_lives(origin, forebay, clock):
    origin.on("GET /news/1").reply(200, "x")
    origin.on("GET /news/2").reply(200, "x", cache_control="max-age=29")
    origin.on("GET /assets/a").reply(200, "x", cache_control="no-store")
    origin.on("GET /cart/1").reply(200, "x", cache_control="max-age=5")
    origin.on("GET /missing").reply(404, "x")
    w1 = forebay(example("caching-freshness.yaml"), app=origin)
    for target in ("/news/1", "/news/2", "/assets/a", "/missing"):
        assert statuses(w1, target) == ["MISS", "HIT"], target
    assert statuses(w1, "/cart/1") == ["BYPASS", "BYPASS"]
    clock.advance(30)
    seen = {target: w1.get(target).cache_status for target in ("/news/1", "/news/2", "/assets/a", "/missing")}
    assert seen == {"/news/1": "HIT", "/news/2": "EXPIRED", "/assets/a": "HIT", "/missing": "HIT"}
    clock.advance(60)
    assert w1.get("/missing").cache_status == "EXPIRED"


def test_cookies(origin, forebay):
    for path in ("/guarded/a", "/same/a", "/bare/a", "/language/a"):
        origin.on(f"GET {path}").reply(200, path)
    origin.on("GET /guarded/b").reply(200, "x", cache_control="max-age=60")
    w1 = forebay(example("caching-cookies.yaml"), app=origin)
    assert statuses(w1, "/guarded/a", cookie="id=1") == ["MISS", "MISS"]        # nothing is stored from it,
    assert statuses(w1, "/guarded/a") == ["MISS", "HIT"]
    assert statuses(w1, "/guarded/a", cookie="id=1") == ["BYPASS", "BYPASS"]    # nor answered with what is
    assert statuses(w1, "/guarded/b", cookie="id=1") == ["MISS", "HIT"]
    assert statuses(w1, "/same/a", cookie="id=1") == ["MISS", "HIT"]
    assert statuses(w1, "/bare/a", cookie="id=1") == ["MISS", "HIT"]
    assert statuses(w1, "/language/a", cookie="id=1; lang=de") == ["MISS", "HIT"]
    assert w1.get("/language/a", cookie="lang=de; id=2").cache_status == "HIT"
    assert w1.get("/language/a", cookie="lang=en").cache_status == "MISS"


def test_keys(origin, forebay):
    for path in ("/search?page=2&q=boat", "/offers?id=1", "/greeting", "/news/1"):
        origin.on(f"GET {path}").reply(200, path)
    w1 = forebay(example("caching-key.yaml"), app=origin)
    assert w1.get("/search?q=boat&utm_source=mail&page=2").cache_status == "MISS"
    assert w1.get("/search?page=2&q=boat").cache_status == "HIT"
    assert w1.get("/offers?id=1&gclid=7").cache_status == "MISS"
    assert w1.get("/offers?id=1").cache_status == "HIT"
    assert w1.get("/greeting", accept_language="de").cache_status == "MISS"
    assert w1.get("/greeting", accept_language="en").cache_status == "MISS"
    assert w1.get("/greeting", accept_language="de").cache_status == "HIT"
    assert w1.get("/news/1", accept_language="de-AT,de;q=0.9,en;q=0.8").cache_status == "MISS"
    assert w1.get("/news/1", accept_language="es, de;q=0.1").cache_status == "HIT"


def test_stale(origin, forebay, clock):
    for path in ("/page", "/prices/1"):
        origin.on(f"GET {path}").reply(200, "old").reply(200, "new")
    w1 = forebay(example("caching-stale.yaml"), app=origin)
    for path in ("/page", "/prices/1"):
        w1.get(path).expect(200, "old")
    clock.advance(15)
    w1.get("/page").expect(200, "old", x_cache_status="STALE")
    wait_until(lambda: w1.get("/page").text == "new", "the refresh behind it")
    w1.get("/prices/1").expect(200, "new", x_cache_status="EXPIRED")
    origin.refuse()
    clock.advance(600)
    w1.get("/prices/1").expect(200, "new", x_cache_status="STALE")
    clock.advance(3600)
    w1.get("/prices/1").expect(502)


def test_purges(origin, forebay):
    paths = ("/products", "/products/1", "/products/1?lang=de", "/products/2", "/users/7/skills", "/profile/7")
    for path in paths:
        origin.on(f"GET {path}").reply(200, path)
    for write in ("PUT /products/1", "POST /import", "PUT /profile/7"):
        origin.on(write).reply(204)
    w1 = forebay(example("caching-purge.yaml"), app=origin)

    def after(method, path):
        for each in paths:
            w1.get(each).expect(200)
        w1.request(method, path, "x").expect(204)
        return [each for each in paths if w1.get(each).cache_status != "HIT"]

    assert after("PUT", "/products/1") == ["/products", "/products/1", "/products/1?lang=de"]
    assert after("PUT", "/profile/7") == ["/users/7/skills", "/profile/7"]
    assert after("POST", "/import") == ["/products", "/products/1", "/products/1?lang=de", "/products/2"]


def test_warming(origin, forebay, tmp_path):
    origin.on("GET /*").reply(200, "page")
    origin.on("GET /sitemap.xml").reply(200, "<urlset><url><loc>https://www.example.com/about</loc></url></urlset>", content_type="text/xml")
    w1 = forebay(example("caching-warming.yaml") + f'trusted_proxies: [127.0.0.1]\nstate_dir: "{tmp_path}"\n', app=origin)
    for target in ("/", "/products", "/about"):
        wait_until(lambda target=target: origin.count(f"GET {target}") == 1, f"{target} is asked for")
    wait_until(lambda: "warming done" in w1.log, "the run is over")
    for target in ("/", "/products", "/about"):
        w1.get(target, host="www.example.com", x_forwarded_proto="https").expect(200, x_cache_status="HIT")


def test_all_tracking_parameters_are_listed():
    named = re.findall(r'"([\w*]+)"', (ROOT / "src/http/tracking.c").read_text())
    listed = re.search(r"These are (.*?)\. Scripts", (ROOT / "docs/caching.md").read_text(), re.S).group(1)
    assert re.findall(r"`([\w*]+)`", listed) == named


def test_ranges(origin, forebay):
    origin.on("GET /film", times=1).reply(200, "0123456789", cache_control="max-age=60", etag='"1"')
    w1 = forebay(example("caching-freshness.yaml"), app=origin)
    w1.get("/film", range="bytes=2-3").expect(206, "23", x_cache_status="MISS")
    w1.get("/film", range="bytes=-2").expect(206, "89", x_cache_status="HIT")
    w1.get("/film", range="bytes=2-3", if_range='"other"').expect(200, "0123456789")


def test_video(origin, forebay):
    film = Film(4 << 20, fields={"Cache-Control": "public"})
    origin.on("GET /videos/*").do(film)
    origin.on("POST /videos/7").reply(204)
    w1 = forebay(example("caching-video.yaml").replace("2GiB", "64MiB"), app=origin)
    w1.get("/videos/7/hd.mp4", range="bytes=3000000-3000009", cookie="s=1").expect(206, film.piece(3000000, 3000009))
    assert film.parts == [(2 << 20, (3 << 20) - 1)]
    w1.get("/videos/7/hd.mp4", cookie="s=2").expect(200, film.piece(0, film.length - 1))
    wait_until(lambda: w1.get("/videos/7/hd.mp4").cache_status == "HIT", "all of it to be stored")
    w1.post("/videos/7").expect(204)
    film.version = 2
    w1.get("/videos/7/hd.mp4").expect(200, film.piece(0, film.length - 1), x_cache_status="MISS")
