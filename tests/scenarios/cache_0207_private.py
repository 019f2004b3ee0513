"""One user's answer is never another's."""

import pytest

FRESH = {"cache_control": "max-age=60"}


@pytest.fixture
def mine(origin):
    """Pages that say whom they were made for."""
    def make(target, headers=()):
        def play(exchange):
            asked = exchange.request.headers
            text = f"for {asked.get('Cookie') or asked.get('Authorization') or 'nobody'}"
            exchange.head(200, [("Content-Length", len(text)), *headers])
            exchange.send(text)
        return origin.on(target).do(play)
    return make


@pytest.mark.parametrize("fields", [[("Cache-Control", "private")], [("Cache-Control", "max-age=60, private")],
                                    [("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")],
                                    [("Cache-Control", "max-age=60,,no-store")], [("Cache-Control", 'max-age=60, x=",", private')],
                                    [("Cache-Control", "max-age=60"), ("Set-Cookie", "sid=1")],
                                    [("Cache-Control", "max-age=60, public"), ("Set-Cookie", "sid=1")]])
def test_what_is_marked_as_ones_own_is_not_shared(forebay, origin, mine, fields):
    mine("GET /me", fields)
    w1 = forebay("routes: [{match: /**, cache: 10m}]", app=origin)
    assert w1.get("/me", cookie="alice").text == "for alice"
    assert w1.get("/me", cookie="bob").text == "for bob"
    assert w1.get("/me").text == "for nobody"


@pytest.mark.parametrize("who", ["cookie", "authorization"])
def test_a_life_by_the_route_is_not_for_those_with_credentials(forebay, origin, mine, who):
    mine("GET /me")
    w1 = forebay("routes: [{match: /**, cache: 10m}]", app=origin)
    assert w1.get("/me", **{who: "alice"}).text == "for alice"
    assert w1.get("/me", **{who: "bob"}).text == "for bob"
    assert w1.get("/me").expect(200, "for nobody", x_cache_status="MISS")
    assert w1.get("/me").expect(200, "for nobody", x_cache_status="HIT")
    w1.get("/me", **{who: "alice"}).expect(200, "for alice", x_cache_status="BYPASS")      # nor are they given the others'


def test_a_life_by_guess_is_not_for_those_with_a_cookie(forebay, origin, mine):
    mine("GET /me", [("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT")])
    w1 = forebay(app=origin)
    assert w1.get("/me", cookie="alice").text == "for alice"
    assert w1.get("/me", cookie="bob").text == "for bob"


@pytest.mark.parametrize("who, how", [("cookie", "cookies: ignore"), ("authorization", "authorization: ignore")])
def test_a_route_may_say_that_it_is_the_same_for_everybody(forebay, origin, mine, who, how):
    mine("GET /same", [])
    w1 = forebay(f"routes: [{{match: /**, cache: {{ttl: 10m, {how}}}}}]", app=origin)
    w1.get("/same", **{who: "alice"}).expect(200, "for alice", x_cache_status="MISS")
    w1.get("/same", **{who: "bob"}).expect(200, "for alice", x_cache_status="HIT")


def test_cookies_that_are_stripped_are_not_seen_by_the_origin(forebay, origin, mine):
    mine("GET /same")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 10m, cookies: strip}}]", app=origin)
    w1.get("/same", cookie="alice").expect(200, "for nobody", x_cache_status="MISS")
    w1.get("/same", cookie="bob").expect(200, "for nobody", x_cache_status="HIT")


def test_a_cookie_can_be_part_of_the_key(forebay, origin, mine):
    mine("GET /page")
    w1 = forebay("routes: [{match: /**, cache: {ttl: 10m, cookies: {key: [lang]}}}]", app=origin)
    w1.get("/page", cookie="a=1; lang=de").expect(200, "for lang=de", x_cache_status="MISS")
    w1.get("/page", cookie="lang=de; a=2").expect(200, "for lang=de", x_cache_status="HIT")
    w1.get("/page", cookie="lang=fr").expect(200, "for lang=fr", x_cache_status="MISS")
    w1.get("/page", cookie="xlang=de").expect(200, "for nobody", x_cache_status="MISS")
    w1.get("/page", cookie='lang="de"')
    w1.get("/page", cookie="lang=").expect(200, x_cache_status="MISS")                     # empty is not absent


@pytest.mark.parametrize("says, shared", [("max-age=60", False), ("max-age=60, public", True), ("s-maxage=60", True),
                                          ("max-age=60, must-revalidate", True), ("s-maxage=0, max-age=60", False), ("public, no-store", False)])
def test_an_answer_to_a_known_user_is_kept_only_if_it_says_so(forebay, origin, mine, says, shared):
    mine("GET /me", [("Cache-Control", says)])
    w1 = forebay(app=origin)
    assert w1.get("/me", authorization="alice").text == "for alice"
    assert w1.get("/me", authorization="bob").text == ("for alice" if shared else "for bob")


def test_set_cookie_by_the_routes_word(forebay, origin):
    origin.on("/*").reply(200, "x", cache_control="max-age=60", set_cookie="sid=1")
    w1 = forebay("""
        routes:
          - {match: /strip/**, cache: {set_cookie: strip}}
          - {match: /store/**, cache: {set_cookie: store}}
    """, app=origin)
    w1.get("/strip/1").expect(200, x_cache_status="MISS")
    w1.get("/strip/1").expect(200, x_cache_status="HIT", set_cookie=None)
    w1.get("/store/1").expect(200, x_cache_status="MISS", set_cookie="sid=1")
    w1.get("/store/1").expect(200, x_cache_status="HIT", set_cookie="sid=1")


def test_fields_named_as_private_are_not_kept(forebay, origin):
    origin.on("GET /page", times=1).reply(200, "x", cache_control='max-age=60, private="X-User, Set-Cookie"', x_user="alice",
                                          set_cookie="sid=1", x_all="1")
    w1 = forebay(app=origin)
    w1.get("/page").expect(200, x_user="alice", set_cookie="sid=1")
    w1.get("/page").expect(200, x_user=None, set_cookie=None, x_all="1", x_cache_status="HIT")


@pytest.mark.parametrize("who", ["cookie", "authorization"])
def test_those_who_wait_are_not_given_what_was_made_for_the_first(forebay, origin, mine, who):
    gate = mine("GET /me").hold()
    w1 = forebay("routes: [{match: /**, cache: 10m}]", app=origin)
    users = [(name, w1.client().ask("GET", "/me", **({who: name} if name != "nobody" else {}))) for name in ("alice", "bob", "carol", "nobody")]
    origin.wait_asked(1)
    gate.release()
    for name, c in users:
        assert c.answer().expect(200).text == f"for {name}"


def test_a_request_that_says_no_store_leaves_nothing(forebay, origin, mine):
    mine("GET /me", [("Cache-Control", "max-age=60")])
    w1 = forebay(app=origin)
    w1.get("/me", cookie="alice", cache_control="no-store").expect(200, "for alice")
    w1.get("/me", cookie="bob").expect(200, "for bob", x_cache_status="MISS")


@pytest.mark.parametrize("status, fields", [(206, {"content_range": "bytes 0-0/1"}), (304, {}), (412, {}), (416, {"content_range": "bytes */1"}),
                                            (401, {"www_authenticate": "Basic"}), (500, {}), (302, {"location": "/login"})])
def test_what_only_answers_one_request_is_not_kept(forebay, origin, status, fields):
    rule = origin.on("GET /page").reply(status, "x", **fields).reply(200, "page")
    w1 = forebay("routes: [{match: /**, cache: 10m}]", app=origin)
    w1.get("/page", range="bytes=0-0" if status in (206, 416) else None)
    w1.get("/page").expect(200, "page", x_cache_status="MISS")
    assert rule.asked == 2


def test_the_answer_to_a_post_is_nobody_elses(forebay, origin):
    origin.on("POST /page").reply(200, "posted", cache_control="max-age=60")
    origin.on("GET /page").reply(200, "page", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.post("/page", "x").expect(200, "posted")
    w1.get("/page").expect(200, "page", x_cache_status="MISS")
    w1.post("/page", "x").expect(200, "posted")


def test_a_get_with_a_body_is_its_own_affair(forebay, origin):
    origin.on("GET /page").do(lambda e: (e.head(200, [("Content-Length", len(e.request.body)), ("Cache-Control", "max-age=60")]), e.send(e.request.body)))
    w1 = forebay(app=origin)
    assert w1.request("GET", "/page", "poison").expect(200).text == "poison"
    w1.get("/page").expect(200, b"")
