"""How docs/caching.md says that an application with log-in, a shop and an API are cached: each configuration, played."""

import re
import subprocess
from pathlib import Path

import pytest
from stage.daemon import binary
from stage.waiting import wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "conf" / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("app-*.yaml"))


def example(name):
    """Without the two lines that name addresses: the stage has its own."""
    return re.sub(r"^(listen|upstreams):.*\n", "", (EXAMPLES / name).read_text(), flags=re.M)


class Pages:
    """An application that says who asks, and which version of what."""

    def __init__(self, origin):
        self.version, self.failing = 1, False
        origin.on("*").do(self.play)

    def play(self, exchange):
        request = exchange.request
        if self.failing:
            return exchange.head(503, [("Content-Length", 0)])
        if request.method not in ("GET", "HEAD"):
            self.version += 1
        session = re.search(r"session=(\w+)", request.headers.get("Cookie", ""))
        text = f"version {self.version} for {session.group(1) if session else 'everybody'}"
        exchange.head(200, [("Content-Length", len(text)), ("Content-Type", "text/html")])
        exchange.send(text)


@pytest.fixture
def pages(origin):
    origin.pages = Pages(origin)
    return origin


def seen(w, target, **fields):
    answer = w.get(target, **fields)
    return answer.cache_status, answer.text


@pytest.mark.parametrize("name", NAMES)
def test_each_is_good_and_meant(name):
    told = subprocess.run([binary(), "check", "--strict", "-c", EXAMPLES / name], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_there_are_three_of_them():
    assert NAMES == ["app-api.yaml", "app-login.yaml", "app-shop.yaml"]


# an application with log-in

def test_visitors_share_a_page_and_each_session_has_its_own(pages, forebay):
    w = forebay(example("app-login.yaml"), app=pages)

    assert seen(w, "/profile/7") == ("MISS", "version 1 for everybody")
    assert seen(w, "/profile/7", cookie="_ga=1; consent=yes") == ("HIT", "version 1 for everybody")
    assert seen(w, "/profile/7", cookie="_ga=1; session=anna") == ("MISS", "version 1 for anna")
    assert seen(w, "/profile/7", cookie="session=anna; other=2") == ("HIT", "version 1 for anna")
    assert seen(w, "/profile/7", cookie="session=ben") == ("MISS", "version 1 for ben")


def test_a_form_changes_the_page_for_everybody(pages, forebay):
    w = forebay(example("app-login.yaml"), app=pages)
    views = ["/profile/7", "/users/7/skills"]
    for target in views:
        seen(w, target)
        seen(w, target, cookie="session=anna")
    seen(w, "/profile/8")

    w.request("PUT", "/profile/7", "name=x", cookie="session=anna").expect(200)

    for target in views:
        assert seen(w, target) == ("MISS", "version 2 for everybody")
        assert seen(w, target, cookie="session=anna") == ("MISS", "version 2 for anna")
    assert seen(w, "/profile/8") == ("HIT", "version 1 for everybody")
    seen(w, "/posts")
    w.post("/posts/3/comments", "text", cookie="session=anna").expect(200)
    assert seen(w, "/posts")[0] == "MISS"


def test_an_account_and_a_log_in_are_never_stored(pages, forebay):
    w = forebay(example("app-login.yaml"), app=pages)

    assert [seen(w, "/account/settings", cookie="session=anna")[0] for _ in range(2)] == ["BYPASS", "BYPASS"]
    answers = [w.post("/login", "password=guess").status for _ in range(6)]
    assert answers == [200] * 5 + [429]


# a shop

def test_the_catalogue_is_the_same_for_everybody(pages, forebay):
    w = forebay(example("app-shop.yaml"), app=pages)

    assert seen(w, "/products/7", cookie="session=anna") == ("MISS", "version 1 for everybody")
    assert seen(w, "/products/7?utm_source=mail&gclid=1", cookie="session=ben") == ("HIT", "version 1 for everybody")
    assert seen(w, "/search?q=tea&page=1&sort=price&ref=x") == ("MISS", "version 1 for everybody")
    assert seen(w, "/search?sort=price&q=tea&page=1")[0] == "HIT"
    assert [seen(w, "/cart/", cookie="session=anna") for _ in range(2)] == [("BYPASS", "version 1 for anna")] * 2


def test_the_back_office_makes_stale_and_the_shop_stays_readable(pages, forebay, clock):
    w = forebay(example("app-shop.yaml"), app=pages)
    for target in "/products", "/products/7", "/products/8":
        seen(w, target)

    w.request("PATCH", "/admin/products/7", "price=2").expect(200)
    assert seen(w, "/products/7") == ("STALE", "version 1 for everybody"), "at once, and refreshed behind"
    wait_until(lambda: seen(w, "/products/7") == ("HIT", "version 2 for everybody"), "the refresh")
    assert seen(w, "/products/8") == ("HIT", "version 1 for everybody")

    pages.pages.failing = True
    clock.advance(3 * 3600)
    assert seen(w, "/products/8") == ("STALE", "version 1 for everybody")


def test_a_missing_product_does_not_reach_the_database_each_time(origin, forebay):
    origin.on("GET /*").reply(404, "no such product")
    w = forebay(example("app-shop.yaml"), app=origin)

    assert [seen(w, "/products/99")[0] for _ in range(2)] == ["MISS", "HIT"]


# an API

def test_each_token_has_its_own_copy_and_who_has_none_asks_the_api(pages, forebay):
    w = forebay(example("app-api.yaml"), app=pages)

    assert [seen(w, "/api/vehicles/7", authorization="Bearer anna")[0] for _ in range(2)] == ["MISS", "HIT"]
    assert [seen(w, "/api/vehicles/7", authorization="Bearer ben")[0] for _ in range(2)] == ["MISS", "HIT"]
    pages.on("GET /api/vehicles/7").reply(401, "who are you?")
    assert w.get("/api/vehicles/7").expect(401).cache_status == "MISS"
    assert [seen(w, "/api/me/vehicles", authorization="Bearer anna")[0] for _ in range(2)] == ["BYPASS", "BYPASS"]
    assert [seen(w, "/api/other", authorization="Bearer anna")[0] for _ in range(2)] == ["MISS", "MISS"], "it gives no life"


def test_a_write_drops_every_view_of_a_vehicle(pages, forebay):
    w = forebay(example("app-api.yaml"), app=pages)
    views = ["/api/vehicles/7", "/api/vehicles/7/logs", "/api/dashboard/7", "/api/reports/7", "/api/vehicles?sort=age&page=1"]
    for target in [*views, "/api/vehicles/8"]:
        seen(w, target)

    w.request("PUT", "/api/vehicles/7", "{}").expect(200)

    assert [seen(w, target)[0] for target in views] == ["MISS"] * 5
    assert seen(w, "/api/vehicles/8")[0] == "HIT"


def test_a_token_is_limited_whatever_its_address(pages, forebay):
    w = forebay(example("app-api.yaml"), app=pages)

    answers = [w.request("POST", "/api/vehicles", "{}", authorization="Bearer anna").status for _ in range(31)]

    assert answers == [200] * 30 + [429]
    w.request("POST", "/api/vehicles", "{}", authorization="Bearer ben").expect(200)
