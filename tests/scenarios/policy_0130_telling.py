"""Who is limited is told how, and nobody is told of another's limits."""

import re

import pytest

from stage.client import ABSENT


@pytest.fixture
def site(origin, forebay):
    origin.on("/*").reply(200, "x", cache_control="max-age=600", ratelimit="r=999", retry_after="77")

    def begin(more=""):
        return forebay("""
            rate_limits:
              api: {algorithm: fixed_window, limit: 3, window: 10m}
              day: {algorithm: fixed_window, limit: 1000, window: 24h}
            routes:
              - {match: /one, rate_limit: api}
              - {match: /two, rate_limit: [api, day]}
              - {match: /**}
        """.replace("\n            ", "\n") + more, app=origin)
    return begin


def left_s(answer, remaining):
    return int(re.search(rf'"api";r={remaining};t=(\d+)', answer.headers["ratelimit"])[1])


def test_the_fields_of_the_draft(site, clock):
    w1 = site()
    r = w1.get("/two").expect(200)
    assert re.search(r'"api";q=3;w=600', r.headers["ratelimit-policy"]) and re.search(r'"day";q=1000;w=86400', r.headers["ratelimit-policy"])
    assert 500 < left_s(r, 2) <= 600 and re.search(r'"day";r=999', r.headers["ratelimit"])
    clock.advance(200)
    r = w1.get("/one").expect(200)
    assert 300 < left_s(r, 1) <= 400 and "day" not in r.headers["ratelimit"]


def test_how_long_to_stay_away(site, clock):
    w1 = site()
    for _ in range(3):
        w1.get("/one").expect(200)
    clock.advance(200)
    wait = int(w1.get("/one").expect(429).headers["retry-after"])
    assert 300 < wait <= 400
    clock.advance(wait)                                     # who does as he is told is let in
    w1.get("/one").expect(200)


@pytest.mark.parametrize("style, names", [("draft-03", {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}),
                                          ("x-ratelimit", {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}), ("off", set())])
def test_other_spellings(origin, forebay, style, names):
    w1 = forebay(f"""
        ratelimit_headers: {style}
        rate_limits: {{one: {{algorithm: fixed_window, limit: 1, window: 10m}}}}
        routes: [{{match: /**, rate_limit: one, respond: 204}}]
    """)
    for status in (204, 429):
        r = w1.get("/").expect(status)
        assert {name.lower() for name in r.headers.names() if "ratelimit" in name.lower()} == {name.lower() for name in names}
    assert "Retry-After" in r.headers


def test_programs_are_told_in_json_and_people_on_a_page(site):
    w1 = site()
    for _ in range(3):
        w1.get("/one")
    r = w1.get("/one", accept="application/json").expect(429, content_type="application/problem+json", cache_control="no-store")
    assert r.json()["status"] == 429 and r.json()["title"] and "quota-exceeded" in r.json()["type"]
    assert any("api" in str(policy) for policy in r.json()["violated-policies"])
    r = w1.get("/one", accept="text/html,application/xhtml+xml,*/*;q=0.8").expect(429, content_type=re.compile("^text/html"))
    assert "<html" in r.text.lower() and "retry-after" in {name.lower() for name in r.headers.names()}
    w1.head("/one").expect(429, b"")


def test_a_stored_answer_carries_nobodys_limits(site, origin):
    w1 = site()
    first = w1.get("/one").expect(200, x_cache_status="MISS")
    second = w1.get("/one").expect(200, x_cache_status="HIT")
    for r, left in ((first, 2), (second, 1)):
        assert re.search(rf'"api";r={left}\b', r.headers["ratelimit"]) and len(r.headers.all("RateLimit")) == 1
    other = w1.client(source="127.0.0.9").get("/one").expect(200, x_cache_status="HIT")
    assert '"api";r=2' in other.headers["ratelimit"]
    assert origin.count() == 1


def test_a_route_without_limits_tells_of_none(site):
    w1 = site()
    w1.get("/free").expect(200, ratelimit_policy=ABSENT)
