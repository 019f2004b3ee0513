"""Windows count exactly, by the clock and by the key.

They are so long that what a busy machine takes meanwhile does not matter.
"""

import pytest

DECIDED = "forebay_ratelimit_decisions_total"


def limited(limit, *rest):
    routes = "\n".join(rest) or "routes: [{match: /**, rate_limit: one, respond: 204}]"
    return f"rate_limits:\n  one: {{{limit}}}\n{routes}"


def took(w1, n, target="/", **words):
    with w1.client() as c:
        return [c.get(target, **words).status for _ in range(n)].count(204)


def test_a_fixed_window_begins_with_the_first_request(forebay, clock):
    w1 = forebay(limited("algorithm: fixed_window, limit: 10, window: 1h"))
    clock.advance(37 * 60)
    assert took(w1, 15) == 10
    clock.advance(55 * 60)
    assert took(w1, 5) == 0
    clock.advance(6 * 60)
    assert took(w1, 15) == 10
    w1.wait_metric(DECIDED, 20, limit="one", decision="allowed")
    w1.wait_metric(DECIDED, 15, limit="one", decision="refused")


def test_a_fixed_window_does_not_carry_over(forebay, clock):
    w1 = forebay(limited("algorithm: fixed_window, limit: 10, window: 1h"))
    assert took(w1, 2) == 2
    clock.advance(10 * 3600)
    assert took(w1, 30) == 10


def test_a_sliding_window_gives_each_permit_back_in_its_time(forebay, clock):
    w1 = forebay(limited("algorithm: sliding_window, limit: 6, window: 1h"))
    for _ in range(3):                                      # two each at 0, 20 and 40 minutes
        assert took(w1, 2) == 2
        clock.advance(20 * 60)
    for _ in range(6):                                      # 60, 80, ...: what was used a window ago
        clock.advance(1 * 60)
        assert took(w1, 5) == 2
        clock.advance(19 * 60)


def test_in_no_window_more_than_the_limit(forebay, clock):
    w1 = forebay(limited("algorithm: sliding_window, limit: 20, window: 1h, segments: 6"))
    times, now = [], 0
    for step in (55, 3, 4, 30, 29, 1, 7, 13, 47, 2, 58, 5, 5, 5, 31, 60, 1):
        times += [now] * took(w1, 12)
        clock.advance(step * 60)
        now += step
    assert all(sum(t <= u < t + 59 for u in times) <= 20 for t in times), times
    assert len(times) > 50                                  # and it lets through what it may


def test_dotnet_names_and_segments(forebay, clock):
    w1 = forebay("""
        rate_limits:
          one: {algorithm: sliding_window, PermitLimit: 10, Window: "00:30:00", SegmentsPerWindow: 3, QueueLimit: 0}
        routes: [{match: /**, rate_limit: one, respond: 204}]
    """)
    assert took(w1, 12) == 10
    clock.advance(31 * 60)
    assert took(w1, 12) == 10


def test_many_at_once_are_counted_exactly(forebay):
    from stage.client import together
    w1 = forebay("workers: 4\n" + limited("algorithm: fixed_window, limit: 100, window: 1h"))
    assert sum(together(*[lambda: took(w1, 40) for _ in range(8)], timeout=60)) == 100


def test_refusals_count_where_the_limit_says_so(forebay, clock):
    w1 = forebay(limited("algorithm: sliding_window, limit: 3, window: 1h, count: all"))
    assert took(w1, 3) == 3
    for _ in range(4):
        clock.advance(30 * 60)
        assert took(w1, 4) == 0                             # who keeps knocking stays out
    clock.advance(61 * 60)
    assert took(w1, 4) == 3


def test_shadow_only_tells(forebay):
    w1 = forebay(limited("algorithm: fixed_window, limit: 2, window: 1h, shadow: yes"))
    assert took(w1, 5) == 5
    w1.wait_metric(DECIDED, 3, limit="one", decision="shadow_refused")


# keys

def test_routes_that_share_a_limit_share_its_permits_and_others_do_not(forebay):
    w1 = forebay(limited("algorithm: fixed_window, limit: 3, window: 1h", """routes:
  - {match: /a, rate_limit: one, respond: 204}
  - {match: /b, rate_limit: one, respond: 204}
  - {match: /**, respond: 204}"""))
    assert took(w1, 2, "/a") + took(w1, 5, "/b") == 3 and took(w1, 5, "/c") == 5


def test_a_limit_by_route_keeps_them_apart(forebay):
    w1 = forebay(limited("algorithm: fixed_window, limit: 3, window: 1h, key: [client, route]", """routes:
  - {match: /a, rate_limit: one, respond: 204}
  - {match: /b, rate_limit: one, respond: 204}"""))
    assert took(w1, 5, "/a") == 3 and took(w1, 5, "/b") == 3


@pytest.mark.parametrize("key, one, other, same", [
    ("header:X-Api-Key", {"x_api_key": "a"}, {"x_api_key": "b"}, {"x_api_key": "a", "cookie": "x=1"}),
    ("cookie:sid", {"cookie": "sid=a"}, {"cookie": "sid=b"}, {"cookie": "x=1; sid=a"}),
    ("[client, header:X-User]", {"x_user": "a"}, {"x_user": "b"}, {"x_user": "a"}),
])
def test_by_what_is_counted(forebay, key, one, other, same):
    w1 = forebay(limited(f"algorithm: fixed_window, limit: 3, window: 1h, key: {key}"))
    assert took(w1, 4, **one) == 3 and took(w1, 4, **other) == 3 and took(w1, 1, **same) == 0 and took(w1, 4) == 3


def test_several_limits_must_all_agree_and_a_refusal_costs_nothing(forebay, clock):
    w1 = forebay("""
        rate_limits:
          wide: {algorithm: fixed_window, limit: 10, window: 24h}
          tight: {algorithm: fixed_window, limit: 2, window: 10m}
        routes: [{match: /**, rate_limit: [wide, tight], respond: 204}]
    """)
    assert took(w1, 9) == 2                                 # seven refusals, given back to the wide one
    total = 2
    for _ in range(5):
        clock.advance(601)
        total += took(w1, 9)
    assert total == 10


PROXY = "trusted_proxies: [127.0.0.1]\n"


def test_behind_a_trusted_proxy_it_is_the_address_that_proxy_saw(forebay):
    w1 = forebay(PROXY + limited("algorithm: fixed_window, limit: 3, window: 1h"))
    assert took(w1, 4, x_forwarded_for="1.1.1.1") == 3
    assert took(w1, 4, x_forwarded_for="2.2.2.2") == 3
    assert took(w1, 4, x_forwarded_for="9.9.9.9, 2.2.2.2") == 0         # what stands before it anybody can write


def test_a_stranger_cannot_choose_his_address(forebay):
    w1 = forebay(limited("algorithm: fixed_window, limit: 3, window: 1h"))
    assert sum(took(w1, 1, x_forwarded_for=f"1.1.1.{n}") for n in range(6)) == 3


def test_an_ipv6_client_is_its_network(forebay):
    w1 = forebay(PROXY + limited("algorithm: fixed_window, limit: 3, window: 1h"))
    assert sum(took(w1, 1, x_forwarded_for=f"2001:db8:0:1:{n}::{n}") for n in range(1, 9)) == 3
    assert took(w1, 1, x_forwarded_for="2001:db8:0:2::1") == 1
    assert took(w1, 4, x_forwarded_for="::ffff:1.2.3.4") == 3 and took(w1, 1, x_forwarded_for="1.2.3.4") == 0


def test_a_reload_that_leaves_a_limit_alone_keeps_its_count(forebay):
    w1 = forebay(limited("algorithm: fixed_window, limit: 3, window: 1h"))
    assert took(w1, 4) == 3
    w1.reload(limited("algorithm: fixed_window, limit: 3, window: 1h") + "\nlimits: {keepalive_timeout: 60s}", says="generation 2")
    assert took(w1, 4) == 0
    w1.reload(limited("algorithm: fixed_window, limit: 5, window: 1h"), says="generation 3")
    assert took(w1, 9) == 5


# floods

@pytest.mark.slow
@pytest.mark.patience(240)
def test_a_flood_of_addresses_grows_nothing_and_forgives_no_offender(forebay):
    w1 = forebay("limits: {rate_table: 1MiB}\n" + PROXY + limited("algorithm: sliding_window, limit: 5, window: 1h"))
    offender = w1.client()
    assert [offender.get("/", x_forwarded_for="6.6.6.6").status for _ in range(8)].count(204) == 5
    before = w1.rss_kib()
    with w1.client() as c:
        for block in range(600):
            heads = b"".join(c.render("GET", "/", headers=[("X-Forwarded-For", f"10.{block >> 8}.{block & 255}.{n}")]) for n in range(100))
            c.send(heads)
            c._awaited = ["GET /"] * 100
            for _ in range(100):
                c.answer().expect(204)
            if block % 20 == 0:
                offender.get("/", x_forwarded_for="6.6.6.6").expect(429)
    assert w1.metric("forebay_ratelimit_bytes") <= 1 << 20
    assert w1.rss_kib() - before < (8 if not w1.is_sanitized else 800) * 1024
