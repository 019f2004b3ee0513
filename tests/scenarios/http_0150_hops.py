"""What concerns one hop stays there; what tells of the way here is ours to say."""

import re

import pytest

pytestmark = pytest.mark.smoke


@pytest.fixture
def plain(origin):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    return origin


def test_hop_by_hop_fields_of_a_request_stay_here(plain, forebay):
    forebay(app=plain).get("/", headers=[
        ("Connection", "keep-alive, X-Mine"), ("Connection", "x-other"), ("X-Mine", "1"), ("X-Other", "2"), ("X-Kept", "3"),
        ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "trailers"), ("Proxy-Authorization", "Basic x"),
        ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]).expect(200)
    seen = plain.last().headers
    for name in ("X-Mine", "X-Other", "Keep-Alive", "Proxy-Connection", "Upgrade", "HTTP2-Settings", "Proxy-Authorization"):
        assert name not in seen, name
    assert seen.get("X-Kept") == "3" and "keep-alive, X-Mine" not in seen.all("Connection")


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Cookie", "Authorization", "Content-Type", "Cache-Control", "Accept-Language",
                                  "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip"])
def test_a_client_cannot_take_away_what_matters(plain, forebay, name):
    w1 = forebay(app=plain)
    headers = [("Connection", f"close, {name}")]
    if name in ("Cookie", "Authorization", "Content-Type", "Cache-Control", "Accept-Language"):
        headers.append((name, "x=y"))
    w1.post("/", "abc", headers).expect(200)
    seen = plain.last()
    assert seen.body == b"abc" and len(seen.headers.all("Host")) == 1 and seen.headers.get("Content-Length") == "3"
    if len(headers) > 1:
        assert seen.headers.get(name) == "x=y"
    assert seen.headers.get("X-Forwarded-For") == "127.0.0.1"


def test_hop_by_hop_fields_of_an_answer_stay_there(origin, forebay):
    origin.on("/a").reply(200, "ok", [("Connection", "X-Mine, keep-alive"), ("X-Mine", "1"), ("Keep-Alive", "timeout=5"),
                                      ("Proxy-Authenticate", "Basic"), ("Proxy-Connection", "x"), ("Upgrade", "h2"), ("X-Kept", "1"),
                                      ("Trailer", "X-T")], cache_control="max-age=60")
    w1 = forebay(app=origin)
    for word in ("MISS", "HIT"):
        r = w1.get("/a").expect(200, "ok", x_cache_status=word, x_mine=None, keep_alive=None, x_kept="1", proxy_connection=None)
        assert "X-Mine" not in r.headers.list("Connection") and "Upgrade" not in r.headers


@pytest.mark.parametrize("name", ["Content-Length", "Content-Type", "Content-Encoding", "Set-Cookie", "Cache-Control"])
def test_an_answer_keeps_its_meaning_whatever_its_connection_field_names(origin, forebay, name):
    values = {"Content-Type": "text/plain", "Content-Encoding": "x-odd", "Set-Cookie": "a=1", "Cache-Control": "no-store"}
    origin.on("/a").reply(200, "ok", [("Connection", name), *([(name, values[name])] if name in values else [])])
    w1 = forebay(app=origin)
    r = w1.get("/a", accept_encoding="x-odd").expect(200, "ok")
    if name in ("Content-Type", "Content-Encoding"):
        assert r.headers.get(name) == values[name]
    w1.get("/a", accept_encoding="x-odd").expect(200, "ok", x_cache_status=re.compile("MISS|BYPASS|EXPIRED"))


def test_the_origin_learns_who_asked_and_how(plain, forebay):
    w1 = forebay(app=plain)
    w1.get("/", host="Shop.test:8080", source=None).expect(200)
    seen = plain.last().headers
    assert seen.get("X-Forwarded-For") == "127.0.0.1" and seen.get("X-Forwarded-Proto") == "http"
    assert seen.get("X-Forwarded-Host") == "shop.test:8080" and seen.get("Host") == "shop.test:8080"
    assert seen.get("Forwarded") == 'for=127.0.0.1;host="shop.test:8080";proto=http'
    assert re.fullmatch(r"1\.1 \S+", seen.get("Via"))


FORGED = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"), ("Forwarded", "for=6.6.6.6;proto=https"),
          ("X-Request-Id", "forged"), ("X-Real-Ip", "6.6.6.6"), ("True-Client-Ip", "6.6.6.6"), ("X-Forwarded-Port", "1"),
          ("X_Forwarded_For", "6.6.6.6")]


def test_what_a_stranger_says_of_himself_is_not_passed_on(plain, forebay):
    w1 = forebay(app=plain)
    r = w1.get("/", FORGED).expect(200)
    seen = plain.last().headers
    assert "6.6.6.6" not in " ".join(value for name, value in seen if name not in ("X_Forwarded_For", "True-Client-Ip")), seen
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"] and seen.get("X-Forwarded-Proto") == "http"
    assert seen.get("X-Forwarded-Host") != "evil.test" and "forged" not in seen.get("X-Request-Id") and r.headers["X-Request-Id"] != "forged"
    assert w1.access(1)[0]["client"] == "127.0.0.1"


def test_what_a_trusted_proxy_says_is_believed_up_to_the_first_stranger(plain, forebay):
    w1 = forebay("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, 'fd00::/8']", app=plain)
    w1.get("/", [("X-Forwarded-For", "1.1.1.1, 7.7.7.7"), ("X-Forwarded-For", "10.1.1.1,127.0.0.9"), ("X-Forwarded-Proto", "https"),
                 ("X-Forwarded-Host", "shop.test"), ("X-Request-Id", "abc-123"), ("Forwarded", "for=7.7.7.7")]).expect(200, x_request_id="abc-123")
    seen = plain.last().headers
    assert seen.get("X-Forwarded-For") == "1.1.1.1, 7.7.7.7, 10.1.1.1,127.0.0.9, 127.0.0.1"
    assert seen.get("X-Forwarded-Proto") == "https" and seen.get("X-Forwarded-Host") == "shop.test" and seen.get("X-Request-Id") == "abc-123"
    assert seen.get("Forwarded").startswith("for=7.7.7.7, for=127.0.0.1;")
    assert w1.access(1)[0]["client"] == "7.7.7.7"


@pytest.mark.parametrize("said, client", [("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]:443", "2001:db8::1"), ("8.8.8.8:1234", "8.8.8.8"),
                                          ("nonsense", "127.0.0.1"), ("8.8.8.8, unknown", "127.0.0.1"), ("", "127.0.0.1"),
                                          ("8.8.8.8, 010.0.0.1", "127.0.0.1"), ("10.0.0.1", "10.0.0.1")])
def test_addresses_in_the_list_are_read_strictly(plain, forebay, said, client):
    w1 = forebay("trusted_proxies: [127.0.0.1, 10.0.0.0/8]", app=plain)
    w1.get("/", [("X-Forwarded-For", said)]).expect(200)
    assert w1.access(1)[0]["client"] == client


@pytest.mark.parametrize("bad", ["with blank", 'quo"te', "x" * 200, "\x80"])
def test_a_request_id_that_could_do_harm_is_replaced(plain, forebay, bad):
    w1 = forebay("trusted_proxies: [127.0.0.1]", app=plain)
    w1.get("/", [("X-Request-Id", bad)]).expect(200, x_request_id=re.compile("^[0-9a-f]{32}$"))


def test_each_request_has_its_own_id_and_the_log_has_it_too(plain, forebay):
    w1 = forebay(app=plain)
    ids = {w1.get("/").headers["X-Request-Id"] for _ in range(5)}
    assert len(ids) == 5 and {line["request_id"] for line in w1.access(5)} == ids
    assert {request.headers.get("X-Request-Id") for request in plain.asked()} == ids


def test_via_is_added_to_what_was_there(plain, forebay):
    forebay(app=plain).get("/", via="1.0 old").expect(200)
    assert re.fullmatch(r"1\.0 old, 1\.1 \S+", plain.last().headers["Via"])
