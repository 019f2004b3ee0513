"""Purging by hand: POST /purge and forebay purge, GET /cache and forebay cache ls; who did it stands in the audit log."""

import json
import re

import pytest

from stage.waiting import wait_until

PAGE = dict(cache_control="max-age=600")
CONFIG = """
    log: {level: info, audit: "@DIR@/audit.log", access: {path: "@DIR@/access.log", format: json}}
    routes:
      - match: GET /products/{id}
        cache: {ttl: 10m, tags: [products, "product:{id}"], stale_while_revalidate: 1h}
      - match: GET /vehicles/{id}/{part}
        cache: {ttl: 10m, tags: ["vehicle:{id}:{part}"]}
      - match: PUT /vehicles/{id}
        purge: {tags: ["vehicle:{id}:*"], patterns: ["/reports/*/vehicle-{id}"]}
      - match: /**
"""
HOST = "www.a.test"


@pytest.fixture
def w1(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    origin.on("PUT /*").reply(204)
    return forebay(CONFIG, app=origin)


def words(w1, *targets, host=HOST):
    return [w1.get(target, host=host).expect(200).cache_status for target in targets]


def purge(w1, **order):
    return w1.admin("POST", "/purge", json.dumps(order)).expect(200).json()


def audit(w1, n):
    """Its n lines, once they are there: they are written behind the requests."""
    path = w1.directory / "audit.log"
    wait_until(lambda: path.read_text().count("\n") >= n, f"{n} lines in the audit log")
    return [json.loads(line) for line in path.read_text().splitlines()]


SHOP = [f"/products/{n}" for n in range(12)]


@pytest.mark.parametrize("order, count, gone", [
    ({"urls": ["https://WWW.a.test:443/products/%31"]}, 1, [1]),
    ({"urls": ["www.a.test/products/1", "/products/2"]}, 2, [1, 2]),
    ({"urls": ["http://other.test/products/1"]}, 0, []),
    ({"prefixes": ["www.a.test/products/1"]}, 3, [1, 10, 11]),
    ({"prefixes": ["/products/1"]}, 3, [1, 10, 11]),
    ({"patterns": ["*/1*"]}, 3, [1, 10, 11]),
    ({"tags": ["products"]}, 12, range(12)),
    ({"tags": ["product:3"]}, 1, [3]),
    ({"tags": ["product:1*"]}, 3, [1, 10, 11]),
    ({"all": True}, 12, range(12)),
])
@pytest.mark.tsan
def test_each_form_takes_what_it_names_and_tells_how_many(w1, order, count, gone):
    words(w1, *SHOP)
    dry = purge(w1, **order, dry_run=True)
    assert (dry["count"], dry["exact"]) == (count, True)
    assert words(w1, *SHOP) == ["HIT"] * 12
    answer = purge(w1, **order)
    assert (answer["count"], answer["exact"], answer["level"]) == (count, True, "here")
    assert [n for n, word in enumerate(words(w1, *SHOP)) if word == "MISS"] == list(gone)


def test_what_is_gone_is_not_counted_again(w1):
    words(w1, *SHOP)
    assert purge(w1, tags=["product:3"])["count"] == 1
    assert purge(w1, tags=["product:3"])["count"] == 0
    assert purge(w1, prefixes=["/products/"])["count"] == 11
    assert purge(w1, urls=["www.a.test/products/1"])["count"] == 0


def test_a_url_whose_objects_have_more_in_their_keys_is_not_counted_exactly(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    w1 = forebay("routes: [{match: /keyed, cache: {key: {headers: [X-Kind]}}}, {match: /**}]", app=origin)
    for kind in ("a", "b"):
        w1.get("/keyed", host=HOST, x_kind=kind).expect(200)
    assert purge(w1, urls=["www.a.test/keyed"])["exact"] is False
    assert purge(w1, prefixes=["www.a.test/keyed"]) == {"count": 0, "exact": True, "soft": False, "level": "here", "shared": False}
    for kind in ("a", "b"):
        w1.get("/keyed", host=HOST, x_kind=kind).expect(200, x_cache_status="MISS")
    assert purge(w1, patterns=["*/keyed"])["count"] == 2


def test_a_soft_purge_makes_stale(w1):
    words(w1, "/products/1")
    assert purge(w1, tags=["products"], soft=True) == {
        "count": 1, "exact": True, "soft": True, "level": "here", "shared": False}
    assert words(w1, "/products/1") == ["STALE"]


def test_what_must_be_validated_once_stale_is_no_stand_in_after_a_soft_purge(origin, forebay):
    origin.on("GET /strict").reply(200, "page", cache_control="max-age=600, must-revalidate")
    origin.on("GET /lax").reply(200, "page", cache_control="max-age=600, stale-if-error=60")
    w1 = forebay("routes: [{match: /**}]", app=origin)
    words(w1, "/strict", "/lax")
    purge(w1, urls=["/strict", "/lax"], soft=True)
    origin.refuse()
    w1.get("/strict", host=HOST).expect(502)
    w1.get("/lax", host=HOST).expect(200, "page", x_cache_status="STALE")


def test_a_dry_run_lists_the_first(w1):
    words(w1, *SHOP)
    answer = purge(w1, tags=["products"], dry_run=True, limit=3)
    assert answer["count"] == 12 and len(answer["objects"]) == 3
    assert all(o["url"].startswith("http://www.a.test/products/") and "products" in o["tags"] for o in answer["objects"])


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"urls": "/a"}', '{"urls": [1]}', '{"urls": [""]}', '{"urls": ["/a%zz"]}', '{"tags": [""]}',
                                  '{"all": 1}', '{"soft": true}', '{"all": true, "limit": 1001}'])
def test_an_order_that_names_nothing_or_is_no_order_is_refused(w1, body):
    w1.admin("POST", "/purge", body).expect(400, content_type="application/problem+json")


def test_without_the_token_nobody_purges(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    w1 = forebay("""
        admin: {address: "127.0.0.1:@ADMIN@", token: "a-long-secret"}
        routes: [{match: /**}]
        """, app=origin)
    words(w1, "/a")
    w1.admin("POST", "/purge", '{"all": true}').expect(401)
    w1.admin("GET", "/cache").expect(401)
    assert words(w1, "/a") == ["HIT"]
    assert "purged 1 object (here)" in w1.cli("purge", "--all").stdout
    assert words(w1, "/a") == ["MISS"]


def test_the_command_line_purges(w1):
    words(w1, *SHOP)
    told = w1.cli("purge", "--prefix", "/products/1", "--dry-run", "--limit", "2").stdout
    assert "would purge 3 objects" in told and told.count("http://www.a.test/products/1") == 2
    assert "purged 3 objects (here)" in w1.cli("purge", "--prefix", "/products/1").stdout
    assert "made stale 2 objects (here)" in w1.cli("purge", "www.a.test/products/2", "/products/3", "--soft").stdout
    assert json.loads(w1.cli("purge", "--tag", "product:5", "--wait", "--json").stdout)["count"] == 1
    assert "nothing is named" in w1.cli("purge", "--soft", check=2).stderr
    assert "valid path" in w1.cli("purge", "/a%zz", check=1).stderr
    assert "usage: forebay purge" in w1.cli("purge", "--help").stdout


def test_nobody_there_to_purge(cli):
    assert "is Forebay running" in cli("purge", "--all", "--address", "127.0.0.1:1").stderr


def test_what_is_stored_is_listed(w1, origin, clock):
    origin.on("GET /v").reply(200, "x" * 5000, cache_control="max-age=600", vary="Accept-Language", etag='"1"')
    watch = clock.watch()
    words(w1, *SHOP)
    words(w1, "/products/7", "/products/7", "/products/8")
    w1.get("/v", host=HOST, accept_language="de").expect(200)
    clock.advance(100)
    words(w1, "/late")
    clock.advance(20)
    top = w1.admin("GET", "/cache?sort=hits&limit=2").expect(200).json()
    assert top["count"] == 14 and [o["hits"] for o in top["objects"]] == [2, 1]
    assert top["objects"][0]["url"] == "http://www.a.test/products/7"
    assert watch.is_age(top["objects"][0]["age"]) and top["objects"][0]["status"] == 200
    assert re.fullmatch(watch.ttl(600), str(top["objects"][0]["life_left"]))
    big = w1.admin("GET", "/cache?sort=size&limit=1").expect(200).json()["objects"][0]
    assert big["body_bytes"] == 5000 and "accept-language=de" in big["variant"]
    assert w1.admin("GET", "/cache?tag=product:7").expect(200).json()["count"] == 1
    assert w1.admin("GET", "/cache?url=www.a.test/%6cate&prefix=/v").expect(200).json()["count"] == 2
    assert "www.a.test/late" not in w1.cli("cache", "ls", "--sort", "age", "--limit", "13").stdout
    assert "1 object," in w1.cli("cache", "ls", "--pattern", "*/l*").stdout
    for query, count in {"min_hits=1": 2, "min_hits=2": 1, "max_hits=0": 12, "min_age=120s": 13, "max_age=100s": 1, "min_age=20s&max_age=119s": 1, "min_size=5000B": 1,
                         "max_size=4KiB": 13, "prefix=/products/&max_hits=0": 10, "tag=products&min_hits=1&min_age=1m": 2, "min_hits=3": 0}.items():
        top = w1.admin("GET", "/cache?" + query).expect(200).json()
        assert (query, top["count"], len(top["objects"])) == (query, count, count)
    assert "2 objects," in w1.cli("cache", "ls", "--tag", "products", "--min-hits", "1", "--max-age", "8m").stdout
    for query in ("sort=x", "limit=x", "limit=1001", "url=", "what=1", "min_size=5", "min_age=x", "max_hits=-1", "min_left=1s", "max_=1"):
        w1.admin("GET", "/cache?" + query).expect(400)
    assert "the word is ls" in w1.cli("cache", check=2).stderr


def test_routes_purge_by_patterns(w1):
    pages = ["/vehicles/7/door", "/vehicles/7/roof", "/vehicles/77/door", "/reports/2026/vehicle-7", "/reports/2026/vehicle-77"]
    words(w1, *pages)
    w1.request("PUT", "/vehicles/7", "x", host=HOST).expect(204)
    assert words(w1, *pages) == ["MISS", "MISS", "HIT", "MISS", "HIT"]


def test_a_star_in_a_capture_is_only_a_star(w1):
    pages = ["/vehicles/7/door", "/vehicles/*/door", "/reports/1/vehicle-7", "/reports/1/vehicle-*"]
    words(w1, *pages)
    w1.request("PUT", "/vehicles/*", "x", host=HOST).expect(204)
    assert words(w1, *pages) == ["HIT", "MISS", "HIT", "MISS"]


def test_who_purged_stands_in_the_audit_log(w1):
    words(w1, *SHOP)
    w1.cli("purge", "--tag", "products")
    w1.request("PUT", "/vehicles/7", "x", host=HOST).expect(204)
    purge(w1, all=True, soft=True)
    first, declared, last = audit(w1, 3)
    assert (first["action"], first["via"], first["by"], first["count"], first["level"]) == ("purge", "api", "127.0.0.1", 12, "here")
    assert first["user"] and first["what"] == [{"tag": "products"}] and first["soft"] is False
    assert (declared["via"], declared["by"], declared["route"]) == ("route", "127.0.0.1", "PUT /vehicles/{id}")
    assert {"tag": "vehicle:7:*"} in declared["what"]
    assert last["what"] == [{"all": ""}] and last["soft"] is True


def test_without_a_file_orders_stand_in_the_log(origin, forebay):
    w1 = forebay("routes: [{match: /**}]", app=origin)
    purge(w1, all=True)
    w1.wait_log(r'audit: .*"action":"purge"')


def test_groups_that_the_origin_names_stand_in_the_audit_log(origin, w1):
    origin.on("POST /edit").reply(204, cache_group_invalidation='"a", "b"')
    w1.request("POST", "/edit", "x", host=HOST).expect(204)
    line, = audit(w1, 1)
    assert (line["action"], line["via"], line["by"]) == ("purge", "origin", "127.0.0.1") and line["request_id"]
    assert [list(what) for what in line["what"]] == [["tag"], ["tag"]] and line["count"] == 0


def test_what_the_audit_log_does_not_take_stands_in_the_log(origin, forebay):
    w1 = forebay("log: {level: info, audit: /dev/full}", app=origin)
    purge(w1, all=True)
    w1.wait_log(r'audit: .*"action":"purge"')


def test_no_line_of_the_audit_log_is_lost_at_a_stop(w1):
    for i in range(50):
        w1.request("PUT", f"/vehicles/{i}", "x", host=HOST).expect(204)
    w1.stop()
    assert [line["what"][0]["tag"] for line in audit(w1, 50)] == [f"vehicle:{i}:*" for i in range(50)]


METHOD = """
    purge: 127.0.0.0/8
    trusted_proxies: 127.0.0.0/8
    routes:
      - match: GET /products/{id}
        cache: {ttl: 10m, tags: [products, "product:{id}"], stale_while_revalidate: 1h}
      - match: /**
"""


@pytest.fixture
def open_to_purge(origin, forebay):
    origin.on("GET /*").reply(200, "page", **PAGE)
    return forebay(METHOD, app=origin)


@pytest.mark.parametrize("target, fields, gone", [
    ("/products/1", {}, [1]),
    ("/products/1*", {}, [1, 10, 11]),
    ("/", {"xkey": "product:1 product:3"}, [1, 3]),
    ("/", {"xkey_purge": "product:1"}, [1]),
    ("/", {"surrogate_key": "products"}, range(12)),
    ("/", {"cache_tag": "product:1,product:2"}, [1, 2]),
])
def test_the_method_purge(open_to_purge, origin, target, fields, gone):
    words(open_to_purge, *SHOP)
    answer = open_to_purge.request("PURGE", target, host=HOST, **fields).expect(200).json()
    assert answer["level"] == "here"
    assert [n for n, word in enumerate(words(open_to_purge, *SHOP)) if word == "MISS"] == list(gone)
    assert origin.count("PURGE /*") == 0


@pytest.mark.parametrize("fields", [{"fastly_soft_purge": "1"}, {"xkey_softpurge": "product:1"}])
def test_the_method_purge_makes_stale_too(open_to_purge, fields):
    words(open_to_purge, "/products/1")
    open_to_purge.request("PURGE", "/products/1", host=HOST, **fields).expect(200)
    assert words(open_to_purge, "/products/1") == ["STALE"]


def test_strangers_do_not_purge(open_to_purge, origin):
    words(open_to_purge, "/products/1")
    open_to_purge.request("PURGE", "/products/1", host=HOST, x_forwarded_for="192.0.2.1").expect(403)
    assert words(open_to_purge, "/products/1") == ["HIT"]
    assert origin.count("PURGE /*") == 0


def test_where_it_is_off_nobody_does(w1, origin):
    w1.request("PURGE", "/products/1", host=HOST).expect(405, allow="GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
    assert origin.count("PURGE /*") == 0
