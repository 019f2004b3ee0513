"""What the origin says a response is to be purged by: Cache-Tag, Surrogate-Key, xkey, Cache-Groups."""

PAGE = dict(cache_control="max-age=600")
CONFIG = """
    routes:
      - match: PUT /tags/{tag}
        purge: {tags: ["{tag}"]}
      - match: GET /seen/**
        cache: {tag_fields: pass}
      - match: GET /uncached/**
        cache: off
      - match: /**
"""


def hits(w1, *targets, host="a.test"):
    return [w1.get(target, host=host).expect(200).headers.get("X-Cache-Status") for target in targets]


def test_clients_do_not_get_the_names(origin, forebay):
    origin.on("GET /*").reply(200, "1", **PAGE, cache_tag="red", surrogate_key="blue", xkey="green", cache_groups='"g"')
    w1 = forebay(CONFIG, app=origin)
    for target, get_them in (("/a", False), ("/a", False), ("/seen/a", True), ("/seen/a", True), ("/uncached/a", True)):
        answer = w1.get(target).expect(200, cache_groups='"g"')
        for name, value in (("Cache-Tag", "red"), ("Surrogate-Key", "blue"), ("xkey", "green")):
            assert answer.headers.get(name) == (value if get_them else None), target


def test_a_response_with_more_tags_than_are_kept_is_not_stored(origin, forebay):
    origin.on("GET /many").reply(200, "1", **PAGE, surrogate_key=" ".join(f"t{n}" for n in range(1000)))
    origin.on("GET /more").reply(200, "1", **PAGE, surrogate_key=" ".join(f"t{n}" for n in range(1001)))
    origin.on("GET /long").reply(200, "1", **PAGE, cache_tag="t" * 1025)
    origin.on("PUT /*").reply(204)
    w1 = forebay(CONFIG, app=origin)
    for target in ("/more", "/long"):
        assert "detail=tags-long" in w1.get(target, host="a.test").expect(200).headers.get("Cache-Status")
        assert hits(w1, target) == ["MISS"]
    assert hits(w1, "/many", "/many") == ["MISS", "HIT"]
    w1.request("PUT", "/tags/t999", "x").expect(204)
    assert hits(w1, "/many") == ["MISS"]


def test_a_write_names_groups_of_its_own_origin(origin, forebay):
    origin.on("GET /both").reply(200, "1", **PAGE, cache_groups='"one", "two words"')
    origin.on("GET /one").reply(200, "1", **PAGE, cache_groups='"one"')
    origin.on("POST /words").reply(200, "ok", cache_group_invalidation='"two words"')
    origin.on("POST /refused").reply(400, "no", cache_group_invalidation='"one"')
    w1 = forebay(CONFIG, app=origin)
    for host in ("a.test", "b.test"):
        assert hits(w1, "/both", "/one", host=host) == ["MISS", "MISS"]
    w1.post("/words", "x", host="a.test").expect(200)
    assert hits(w1, "/both", "/one") == ["MISS", "HIT"]
    assert hits(w1, "/both", "/one", host="b.test") == ["HIT", "HIT"]
    w1.post("/refused", "x", host="a.test").expect(400)
    assert hits(w1, "/both", "/one") == ["MISS", "MISS"]


def test_groups_to_invalidate_mean_nothing_on_a_safe_request_or_out_of_form(origin, forebay):
    origin.on("GET /one").reply(200, "1", **PAGE, cache_groups='"one"')
    origin.on("GET /says").reply(200, "1", cache_group_invalidation='"one"')
    origin.on("POST /wrong").reply(400, "1", cache_group_invalidation='one')
    w1 = forebay(CONFIG, app=origin)
    assert hits(w1, "/one") == ["MISS"]
    w1.get("/says", host="a.test").expect(200)
    w1.post("/wrong", "x", host="a.test").expect(400)
    assert hits(w1, "/one") == ["HIT"]
