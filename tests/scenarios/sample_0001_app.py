"""The sample application by itself: what it promises to those who put it behind Forebay."""

import os
import re

import pytest

from stage.client import Client, together
from stage.peers import run
from stage.waiting import wait_until

pytestmark = pytest.mark.smoke
MINUTE = "public, max-age=60"


@pytest.fixture
def c1(shop, client):
    return client(shop.address)


def test_the_front_page_and_its_assets_are_there(c1):
    page = c1.get("/").expect(200, re.compile("The sample shop"), content_type="text/html; charset=utf-8", cache_control=MINUTE)
    assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text))
    assert assets == {"/static/logo.svg", "/static/style.css", "/static/app.js"}
    for asset in assets:
        r = c1.get(asset).expect(200, cache_control="public, max-age=31536000, immutable")
        c1.get(asset, if_none_match=r.headers["etag"]).expect(304, b"")
    assert c1.connections == 1


def test_a_product_is_read_changed_and_deleted(c1):
    first = c1.get("/products/7").expect(200, cache_control=MINUTE)
    c1.get("/products/7", if_none_match=first.headers["etag"]).expect(304, etag=first.headers["etag"])
    c1.head("/products/7").expect(200, b"", content_length=len(first.body))

    changed = c1.patch("/products/7", '{"stock": 3}').expect(200).json()
    assert changed["stock"] == 3 and changed["name"] == first.json()["name"] and changed["version"] > first.json()["version"]
    assert c1.get("/products/7", if_none_match=first.headers["etag"]).expect(200).json() == changed
    put = c1.put("/products/7", '{"name": "Tent", "price_cents": 100, "stock": 1}').expect(200).json()
    assert c1.get("/products/7").json() == put
    c1.delete("/products/7").expect(204)
    c1.get("/products/7").expect(404)
    assert c1.put("/products/7", '{"name": "Back"}').expect(200).json()["version"] > put["version"] + 1
    made = c1.post("/products", '{"name": "Sled"}').expect(201)
    c1.get(made.headers["location"]).expect(200, re.compile("Sled"))
    assert len(c1.get("/products?limit=5").expect(200, cache_control=MINUTE).json()["products"]) == 5


def test_queries_are_counted(c1, shop):
    c1.post("/stats/reset").expect(200)
    for _ in range(5):
        c1.get("/products/1").expect(200)
    c1.patch("/products/1", '{"stock": 3}').expect(200)
    counted = shop.stats()
    assert (counted["reads"], counted["writes"], counted["queries"]) == (7, 1, 8)


def test_a_profile_says_nothing_about_caching_and_has_views(c1):
    c1.get("/profile/1").expect(200, cache_control=None, etag=None)
    c1.put("/profile/1", '{"name": "Ada L.", "skills": ["notes"]}').expect(200)
    assert c1.get("/profile/1").json()["name"] == "Ada L."
    assert c1.get("/users/1/skills").json()["skills"] == ["algebra", "notes"]
    c1.delete("/profile/1").expect(204)
    c1.get("/profile/1").expect(404)


def test_the_account_is_for_those_who_logged_in(c1):
    c1.get("/account").expect(401, cache_control="private, no-store")
    c1.post("/login", "name=ada&password=wrong", content_type="application/x-www-form-urlencoded").expect(401, set_cookie=None)
    r = c1.post("/login", "name=ada&password=open+sesame", content_type="application/x-www-form-urlencoded").expect(200)
    cookie = r.headers["set-cookie"].split(";")[0]
    assert c1.get("/account", cookie=f"a=b; {cookie}").expect(200, cache_control="private, no-store").json()["name"] == "ada"
    c1.post("/logout", cookie=cookie).expect(204)
    c1.get("/account", cookie=cookie).expect(401)


def test_events_arrive_one_by_one(c1):
    r = c1.begin("GET", "/events?every=0.01&count=3")
    assert r.headers["content-type"] == "text/event-stream"
    r.stream.until(b"id: 1\n")
    c1.finish(r).expect(200, re.compile("id: 3\n"))
    assert len(r.stream.chunks) == 3 and c1.is_open


def test_an_http_1_0_client_is_understood(c1):
    c1.ask("GET", "/events?every=0.01&count=2", version="HTTP/1.0").answer().expect(200, re.compile("id: 2\n"), transfer_encoding=None)
    c1.get("/health").expect(200)


def test_big_bodies_and_uploads_travel_whole(c1):
    r = c1.get("/big?bytes=3000001").expect(200, content_length=3000001)
    assert len(r.body) == 3000001
    c1.post("/echo", os.urandom(10) + b"x" * 300000, content_type="image/png").expect(200, content_type="image/png", content_length=300010)
    c1.ask("POST", "/echo", ["one", "two"]).answer().expect(200, "onetwo")
    c1.post("/echo", b"").expect(200, b"")


def test_what_makes_no_sense_is_refused(c1):
    c1.get("/nowhere").expect(404)
    c1.delete("/products").expect(405, allow="GET, POST")
    c1.put("/products/1", "{").expect(400)
    c1.put("/products/x", "{}").expect(404)
    c1.patch("/products/1", '{"stock": "many"}').expect(400)
    c1.get("/slow?seconds=x").expect(400)
    assert c1.connections == 1
    c1.send(b"nonsense\r\n\r\n")
    c1.answer().expect(400, connection="close")


def test_a_websocket_echoes_fragments_and_closes(c1):
    r = c1.begin("GET", "/ws", upgrade="websocket", connection="Upgrade",
                 headers={"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"})
    r.expect(101, sec_websocket_accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

    def frame(first, data, mask=b"\1\2\3\4"):
        return bytes([first, 0x80 | len(data)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))
    c1.send(frame(0x01, b"he") + frame(0x89, b"ping") + frame(0x80, b"llo"))
    assert c1.read(6) == b"\x8a\x04ping" and c1.read(7) == b"\x81\x05hello"
    c1.send(frame(0x88, b"\x03\xe8"))
    assert c1.read_to_end() == b"\x88\x02\x03\xe8"


def test_hundreds_of_visitors_are_served(shop):
    def visit():
        with Client(shop.address, timeout=50) as visitor:
            return [visitor.get(f"/products/{n}").expect(200).status for n in (1, 2, 3)]
    assert together(*[visit] * 400, timeout=50) == [[200] * 3] * 400
    wait_until(lambda: shop.stats()["connections"] == 1, "the visitors to be gone")


def test_it_stops_cleanly_and_keeps_its_file(stage, tmp_path):
    path = tmp_path / "kept.sqlite"
    for stock in (41, 42):
        shop = stage.shop("--db", path, "--unix", tmp_path / f"{stock}.sock", products=5)
        with Client(f"unix:{tmp_path}/{stock}.sock") as c1:
            assert c1.get("/products/1").json()["stock"] != stock
            c1.patch("/products/1", f'{{"stock": {stock}}}').expect(200)
            shop.close()
            assert c1.wait_closed() == b""
    assert not (tmp_path / "42.sock").exists()


def test_a_port_that_is_taken_is_said_plainly(shop):
    from stage.shop import APP
    done = run("/usr/bin/python3", APP, "--port", shop.address.split(":")[1]).expect(1)
    assert "address already in use" in done.err and "Traceback" not in done.err
