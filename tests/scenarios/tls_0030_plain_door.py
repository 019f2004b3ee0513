"""The plain door beside the TLS one: it answers ACME's challenges and sends everybody else to https."""

import os

import pytest

from stage.client import Client
from stage.waiting import ports

pytestmark = pytest.mark.smoke
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
PATH = f"/.well-known/acme-challenge/{TOKEN}"


@pytest.fixture
def challenges(tmp_path):
    directory = tmp_path / "www" / ".well-known" / "acme-challenge"
    directory.mkdir(parents=True)
    return directory


def test_whoever_comes_by_http_is_sent_to_https(origin, forebay):
    w1 = forebay("listen: [{address: '127.0.0.1:@PORT@', https_redirect: on}]", app=origin)
    c1 = w1.client()
    c1.get("/a/../b%2Fc?q=1&r", host="shop.example:8080").expect(301, location="https://shop.example/b%2Fc?q=1&r")
    c1.head("/", host="shop.example").expect(301, location="https://shop.example/")
    c1.get("/?", host="[::1]:80").expect(301, location="https://[::1]/?")
    c1.post("/form", b"a=1", host="shop.example").expect(308, location="https://shop.example/form")
    answer = c1.get("/x", host="shop.example")
    assert "Strict-Transport-Security" not in answer.headers        # only https may say that


def test_another_port_stands_in_the_location_and_only_its_own_door_sends(origin, forebay):
    origin.on("GET /").reply(200, "home")
    other = ports.free()
    w1 = forebay("listen: [{address: '127.0.0.1:@PORT@', https_redirect: 8443}, '127.0.0.1:%d']" % other, app=origin)
    w1.get("/", host="shop.example").expect(301, location="https://shop.example:8443/")
    with Client(f"127.0.0.1:{other}") as c1:
        c1.get("/").expect(200, "home")


def test_what_a_trusted_proxy_took_by_https_is_not_sent_round_in_circles(origin, forebay):
    origin.on("GET /").reply(200, "home")
    w1 = forebay("listen: [{address: '127.0.0.1:@PORT@', https_redirect: on}]\ntrusted_proxies: [127.0.0.0/8]", app=origin)
    w1.get("/", host="a", x_forwarded_proto="https").expect(200, "home")
    w1.get("/", host="a", x_forwarded_proto="http").expect(301)


def test_a_challenge_is_answered_in_front_of_routes_and_redirects(origin, forebay, challenges):
    (challenges / TOKEN).write_text(TOKEN + ".thumbprint")
    w1 = forebay(f"listen: [{{address: '127.0.0.1:@PORT@', https_redirect: on}}]\nacme_challenges: '{challenges}'", app=origin)
    c1 = w1.client()
    c1.get(PATH, host="new.example").expect(200, TOKEN + ".thumbprint", cache_control="no-store")
    c1.head(PATH, host="new.example").expect(200, content_length=str(len(TOKEN) + 11))
    c1.post(PATH, b"", host="new.example").expect(405, allow="GET, HEAD")
    c1.get("/.well-known/other", host="new.example").expect(301)
    (challenges / TOKEN).unlink()
    c1.get(PATH, host="new.example").expect(404)
    assert c1.connections == 1


@pytest.mark.parametrize("name", ["..", "../../secret", "..%2f..%2fsecret", "%2e%2e/%2e%2e/secret", "a/b", "link", "pipe", "large",
                                  "directory", ".hidden", "", "x" * 129, "a%00b"])
def test_nothing_outside_of_the_directory_is_read(origin, forebay, challenges, name):
    origin.on("/*").reply(404, "the origin's")
    (challenges.parent.parent / "secret").write_text("secret")
    (challenges / ".hidden").write_text("secret")
    (challenges / ("x" * 129)).write_text("secret")
    (challenges / "link").symlink_to(challenges.parent.parent / "secret")
    os.mkfifo(challenges / "pipe")
    (challenges / "large").write_bytes(b"secret" * 2000)
    (challenges / "directory").mkdir()
    w1 = forebay(f"acme_challenges: '{challenges}'", app=origin)
    answer = w1.get("/.well-known/acme-challenge/" + name, host="a")
    assert answer.status in (400, 404) and "secret" not in answer.text


def test_a_challenge_is_answered_by_https_and_http2_too(origin, forebay, challenges, certs):
    from stage.peers import curl
    pair = certs.certificate("localhost")
    (challenges / TOKEN).write_text("yes")
    w1 = forebay(f"listen: [{{address: '127.0.0.1:@PORT@', tls: [{{cert: '{pair.cert}', key: '{pair.key}'}}]}}]\n"
                 f"acme_challenges: '{challenges}'", app=origin)
    done = curl("--cacert", certs.cert, "--resolve", f"localhost:{w1.port()}:127.0.0.1", "-w", " %{http_version}",
                f"https://localhost:{w1.port()}{PATH}").expect()
    assert done.out == "yes 2"


def test_a_redirect_of_a_tls_listener_is_refused(origin, forebay, certs):
    pair = certs.certificate("localhost")
    w1 = forebay(f"listen: [{{address: '127.0.0.1:@PORT@', https_redirect: on, tls: [{{cert: '{pair.cert}', key: '{pair.key}'}}]}}]",
                 app=origin, start=False)
    with pytest.raises(AssertionError, match="https_redirect: this listener speaks https itself"):
        w1.start()
