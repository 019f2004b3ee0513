"""No-Vary-Search: the origin says which parameters of a query count, and one answer serves all queries that are the same to it."""

import pytest

RULE = 'params=("utm_source" "gclid")'


def pages(origin, what="/page", rule=RULE, **fields):
    """Each answer says for which target it was made."""
    def play(exchange):
        text = exchange.request.target
        exchange.head(200, [("Content-Length", len(text)), ("Cache-Control", "max-age=60"), *([("No-Vary-Search", rule)] if rule else []),
                            *((n.replace("_", "-"), v) for n, v in fields.items())])
        exchange.send(text)
    return origin.on(f"GET {what}").do(play)


def words(w1, *targets, **fields):
    return [w1.get(target, **fields).expect(200).cache_status for target in targets]


def test_parameters_that_do_not_count(origin, forebay):
    pages(origin)
    w1 = forebay(app=origin)
    w1.get("/page?id=1&utm_source=mail").expect(200, "/page?id=1&utm_source=mail", x_cache_status="MISS", no_vary_search=RULE)
    for target in ("/page?id=1&utm_source=post", "/page?gclid=7&id=1", "/page?id=1", "/page?%69d=1"):
        w1.get(target).expect(200, "/page?id=1&utm_source=mail", x_cache_status="HIT")
    assert words(w1, "/page?id=2", "/page?id=1&x=1", "/page", "/page?utm_source=a", "/page?") == ["MISS", "MISS", "MISS", "HIT", "HIT"]


def test_all_but_some(origin, forebay):
    pages(origin, rule='except=("id")')
    w1 = forebay(app=origin)
    assert words(w1, "/page?id=1&a=1", "/page?b=2&id=1", "/page?id=1", "/page?id=2", "/page?a=1") == ["MISS", "HIT", "HIT", "MISS", "MISS"]


def test_the_order_of_names(origin, forebay):
    pages(origin, rule="key-order")
    w1 = forebay(app=origin)
    assert words(w1, "/page?a=1&b=2", "/page?b=2&a=1", "/page?a=1&a=2", "/page?a=2&a=1") == ["MISS", "HIT", "MISS", "MISS"]


@pytest.mark.parametrize("rule", ["params", "params=(utm_source)", 'params=("utm_source"), except=("id")', "key-order=1", 'params=("utm_source"'])
def test_a_malformed_rule_is_none(origin, forebay, rule):
    pages(origin, rule=rule)
    w1 = forebay(app=origin)
    assert words(w1, "/page?id=1&utm_source=a", "/page?id=1&utm_source=b", "/page?id=1") == 3 * ["MISS"]


def test_a_rule_is_for_its_own_path_and_host(origin, forebay):
    pages(origin)
    pages(origin, "/plain", rule=None)
    w1 = forebay(app=origin)
    assert words(w1, "/page?gclid=1", "/plain?gclid=1", "/plain?gclid=2") == 3 * ["MISS"]
    assert words(w1, "/page?gclid=2", host="other.test") == ["MISS"] and words(w1, "/page?gclid=2") == ["HIT"]


def test_a_new_rule_takes_the_place_of_the_old_one(origin, forebay, clock):
    pages(origin)
    w1 = forebay(app=origin)
    assert words(w1, "/page?id=1&gclid=1", "/page?id=1&gclid=2") == ["MISS", "HIT"]
    pages(origin, rule='params=("ref")')
    clock.advance(61)
    assert words(w1, "/page?id=1&gclid=1", "/page?id=1&gclid=1&ref=a", "/page?id=1&gclid=2") == ["EXPIRED", "HIT", "MISS"]


def test_an_origin_that_takes_its_word_back(origin, forebay, clock):
    pages(origin, ETag='"1"')
    w1 = forebay(app=origin)
    assert words(w1, "/page?id=1&gclid=1", "/page?id=1&gclid=2") == ["MISS", "HIT"]
    pages(origin, rule=None)
    clock.advance(61)
    assert words(w1, "/page?id=1&gclid=1", "/page?id=1&gclid=1", "/page?id=1&gclid=2", "/page?id=1&gclid=2") == ["EXPIRED", "HIT", "MISS", "HIT"]


def test_a_stale_answer_is_asked_about_and_renewed(origin, forebay, clock):
    origin.on("GET /page").reply(200, "first", cache_control="max-age=60", etag='"1"', no_vary_search=RULE).reply(304, etag='"1"', cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/page?gclid=1").expect(200, "first", x_cache_status="MISS")
    clock.advance(61)
    w1.get("/page?gclid=2").expect(200, "first", x_cache_status="REVALIDATED")
    w1.get("/page?gclid=3").expect(200, "first", x_cache_status="HIT")
    assert origin.requests[-1].target == "/page?gclid=2" and origin.requests[-1].headers["if-none-match"] == '"1"'


def test_variants_and_key_parts_stay_apart(origin, forebay):
    pages(origin, Vary="Accept-Language")
    w1 = forebay("routes: [{match: /**, cache: {key: {headers: [X-Tenant]}}}]", app=origin)
    assert words(w1, "/page?gclid=1", x_tenant="a", accept_language="de") == ["MISS"]
    assert words(w1, "/page?gclid=2", x_tenant="a", accept_language="de") == ["HIT"]
    assert words(w1, "/page?gclid=2", x_tenant="b", accept_language="de") == ["MISS"]
    assert words(w1, "/page?gclid=2", x_tenant="a", accept_language="fr") == ["MISS"]


@pytest.mark.parametrize("purge", ["urls: ['/page?id=1&utm_source=mail']", "urls: [/page]", "prefixes: ['/page?utm']"])
def test_a_purge_of_one_query_drops_what_answers_it(origin, forebay, purge):
    pages(origin)
    origin.on("POST /write").reply(200)
    w1 = forebay("routes: [{match: POST /write, purge: {%s}}, {match: /**}]" % purge, app=origin)
    assert words(w1, "/page?id=1&gclid=1", "/page?id=1&utm_source=mail") == ["MISS", "HIT"]
    w1.post("/write").expect(200)
    assert words(w1, "/page?id=1&utm_source=mail") == ["MISS"]


def gathered(w1, client, targets, held):
    """The answers for clients that ask while the origin takes its time."""
    clients = [client(w1) for _ in targets]
    with held.hold():
        for c, target in zip(clients, targets):
            c.ask("GET", target)
        w1.wait_metric("forebay_flights_total", len(targets) - 1, role="ride")
    return [c.answer().expect(200).text for c in clients]


def test_one_fetch_for_many_queries_once_the_rule_is_known(origin, forebay, client):
    held = pages(origin)
    w1 = forebay(app=origin)
    assert words(w1, "/page?id=1&gclid=1") == ["MISS"]
    assert len(set(gathered(w1, client, [f"/page?id=2&gclid={i}" for i in range(8)], held))) == 1
    assert len([r for r in origin.requests if "id=2" in r.target]) == 1


def test_who_was_gathered_by_a_rule_that_is_gone_fetches_for_himself(origin, forebay, client):
    pages(origin)
    w1 = forebay(app=origin)
    assert words(w1, "/page?id=1&gclid=1") == ["MISS"]
    targets = [f"/page?id=2&gclid={i}" for i in range(3)]
    assert gathered(w1, client, targets, pages(origin, rule=None)) == targets
