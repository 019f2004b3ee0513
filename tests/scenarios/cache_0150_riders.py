"""Who may ride along with the fetch of another."""

import pytest

ROUTES = """
    routes:
      - match: /**
        cache: {ttl: 1m, %s: %s}
"""


@pytest.mark.parametrize("field,directive", [("Authorization", "authorization"), ("Cookie", "cookies")])
@pytest.mark.parametrize("rule,asked", [("ignore", 1), ("guard", 4)])
def test_credentials_ride_along_where_the_route_says_so(origin, forebay, field, directive, rule, asked):
    gate = origin.on("GET /page", times=asked).reply(200, "x").hold()
    w1 = forebay(ROUTES % (directive, rule), app=origin)
    readers = [w1.client().ask("GET", "/page", headers=[(field, f"id={n}")]) for n in range(4)]
    w1.wait_metric("forebay_flights_total", 3, role="ride")
    gate.release()
    for reader in readers:
        reader.answer().expect(200, "x")
