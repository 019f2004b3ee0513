"""An answer to POST that is one to GET as well: kept where the route says so, and only when the answer does, too."""

import pytest

from stage.waiting import wait_until

ROUTES = """
    cache: {post: store}
    routes:
      - {match: POST /touch, purge: {urls: [/made]}}
      - {match: /**}
"""


def test_an_answer_to_post_answers_a_later_get(origin, forebay):
    origin.on("POST /made").reply(200, "made", cache_control="max-age=60", content_location="/made")
    w1 = forebay(ROUTES, app=origin)
    w1.post("/made", "a=1").expect(200, "made", x_cache_status="BYPASS")
    w1.get("/made").expect(200, "made", x_cache_status="HIT")
    w1.head("/made").expect(200, x_cache_status="HIT")
    assert origin.count() == 1


def test_it_takes_the_place_of_what_was_stored(origin, forebay):
    origin.on("GET /made").reply(200, "old", cache_control="max-age=60")
    origin.on("POST /made").reply(200, "new", cache_control="max-age=60", content_location="http://site.test/made")
    w1 = forebay(ROUTES, app=origin)
    w1.get("/made", host="site.test").expect(200, "old")
    w1.post("/made", "a=1", host="site.test").expect(200, "new")
    w1.get("/made", host="site.test").expect(200, "new", x_cache_status="HIT")


@pytest.mark.parametrize("answer", [dict(cache_control="max-age=60"), dict(cache_control="max-age=60", content_location="/other"),
                                    dict(cache_control="max-age=60", content_location="http://other.test/made"),
                                    dict(content_location="/made"), dict(cache_control="private, max-age=60", content_location="/made"),
                                    dict(cache_control="max-age=60", content_location="/made", set_cookie="a=1"),
                                    dict(cache_control="max-age=60", content_location="/made", status=201)])
def test_one_that_does_not_say_so_is_not_kept(origin, forebay, answer):
    origin.on("POST /made").reply(**{"status": 200, "body": "made", **answer})
    origin.on("GET /made").reply(200, "asked")
    w1 = forebay(ROUTES, app=origin)
    w1.post("/made", "a=1").expect(answer.get("status", 200), "made")
    w1.get("/made").expect(200, "asked", x_cache_status="MISS")


def test_nothing_is_kept_unless_the_route_says_so(origin, forebay):
    origin.on("POST /made").reply(200, "made", cache_control="max-age=60", content_location="/made")
    origin.on("GET /made").reply(200, "asked")
    w1 = forebay(app=origin)
    w1.post("/made", "a=1").expect(200, "made")
    w1.get("/made").expect(200, "asked", x_cache_status="MISS")


def test_one_that_was_purged_on_its_way_is_not_kept(origin, forebay, client):
    origin.on("POST /made").reply(200, "made", cache_control="max-age=60", content_location="/made")
    origin.on("POST /touch").reply(200)
    origin.on("GET /made").reply(200, "asked")
    w1 = forebay(ROUTES, app=origin)
    c1 = client(w1)
    with origin.on("POST /made").reply(200, "made", cache_control="max-age=60", content_location="/made").hold():
        c1.ask("POST", "/made", "a=1")
        wait_until(lambda: origin.count("POST /made") == 1, "the POST at the origin")
        w1.post("/touch").expect(200)
    c1.answer().expect(200, "made")
    w1.get("/made").expect(200, "asked", x_cache_status="MISS")


@pytest.mark.parametrize("says, purge, later", [({"cache_tag": "news"}, '{"tags": ["news"]}', "/made?a=1"),
                                               ({"no_vary_search": 'params=("a")'}, '{"urls": ["/made?a=2"]}', "/made?a=2")])
def test_one_that_was_purged_on_its_way_by_what_only_its_answer_says_is_not_kept(origin, forebay, client, says, purge, later):
    origin.on("GET /made").reply(200, "asked")
    w1 = forebay(ROUTES, app=origin)
    c1 = client(w1)
    with origin.on("POST /made").reply(200, "made", cache_control="max-age=60", content_location="/made?a=1", **says).hold():
        c1.ask("POST", "/made?a=1", "b=1")
        wait_until(lambda: origin.count("POST /made") == 1, "the POST at the origin")
        w1.admin("POST", "/purge", purge).expect(200)
    c1.answer().expect(200, "made")
    w1.get(later).expect(200, "asked", x_cache_status="MISS")


def test_writes_without_their_cookies_are_refused(cli, tmp_path):
    path = tmp_path / "forebay.yaml"
    path.write_text("listen: ':8080'\nupstreams: {app: '127.0.0.1:3000'}\nroutes: [{match: /**, cache: {post: store, cookies: strip}}]\n")
    r = cli("check", "-c", path)
    assert r.returncode == 1 and "post: store would send writes without their cookies" in r.stdout + r.stderr
