"""A request that finds a refresh under way rides along; what becomes of the refresh does not become of it."""

import pytest

LONG = "max-age=100, stale-while-revalidate=100, stale-if-error=0"


def under_refresh(origin, forebay, clock, *answers):
    """A refresh that is held, and a rider who comes when what is refreshed is too old for him."""
    rule = origin.on("GET /news").reply(200, "spring flood", etag='"1"', cache_control=LONG)
    for status, body, fields in answers:
        rule.reply(status, body, **fields)
    w1 = forebay('workers: 1\nupstreams: {app: {servers: ["@app@"], timeouts: {response: 1h}}}', app=origin)
    w1.get("/news").expect(200, "spring flood")
    clock.advance(150)
    gate = rule.hold()
    w1.get("/news").expect(200, "spring flood", x_cache_status="STALE")
    gate.wait_arrived()
    clock.advance(100)
    rider = w1.client().ask("GET", "/news")
    w1.wait_metric("forebay_flights_total", 1, role="ride")
    gate.release()
    return rider


def test_a_304_about_something_else_leaves_nobody_waiting(origin, forebay, clock):
    rider = under_refresh(origin, forebay, clock, (304, b"", {"etag": '"2"'}), (200, "Hochwasser", {"etag": '"3"'}))
    rider.answer().expect(200, "Hochwasser")


@pytest.mark.parametrize("status", [500, 503])
def test_a_failure_of_the_refresh_is_the_origins_word(origin, forebay, clock, status):
    rider = under_refresh(origin, forebay, clock, (status, "out of order", {}))
    rider.answer().expect(status, "out of order")
