"""Clients that show a certificate: who is let in, and what the servers behind are told (RFC 9440)."""

import base64
import shutil
import ssl

import pytest

from stage.certs import Authority
from stage.origin import Reply
from stage.peers import curl, run

pytestmark = pytest.mark.smoke
DOOR = """
listen: [{{address: '127.0.0.1:@PORT@', tls: {{certificates: [{{cert: '{0.cert}', key: '{0.key}'}}], client_ca: '{1}'{2}}}}}]
trusted_proxies: [127.0.0.0/8]
"""


@pytest.fixture
def door(origin, forebay, certs, tmp_path):
    def open_(more="", ca=None):
        return forebay(DOOR.format(certs.certificate("localhost"), ca or certs.cert, more), app=origin)
    return open_


@pytest.fixture
def visitor(certs):
    def make(pair=None):
        context = certs.client_context()
        if pair:
            context.load_cert_chain(pair.cert, pair.key)
        return dict(tls=context, server_name="localhost")
    return make


def field(pem):
    return ":" + base64.b64encode(ssl.PEM_cert_to_DER_cert(pem.read_text())).decode() + ":"


def test_who_shows_none_is_not_let_in_and_who_does_is_told_of(origin, door, visitor, certs):
    origin.on("GET /").reply(200, "home")
    w1, jane = door(), certs.certificate("jane.example")
    with pytest.raises(OSError):
        w1.client(**visitor()).get("/")
    w1.client(**visitor(jane)).get("/").expect(200, "home")
    assert origin.last().headers["Client-Cert"] == field(jane.cert)


def test_what_a_client_writes_there_itself_never_goes_on(origin, door, forebay, visitor, certs):
    origin.on("GET /").reply(200, "home")
    w1, jane = door(", client_certificates: optional"), certs.certificate("jane.example")
    forged = dict(client_cert=":Zm9yZ2Vk:", client_cert_chain=":Zm9yZ2Vk:")
    w1.client(**visitor()).get("/", **forged).expect(200, "home")
    assert "Client-Cert" not in origin.last().headers and "Client-Cert-Chain" not in origin.last().headers
    w1.client(**visitor(jane)).get("/", **forged).expect(200, "home")
    assert origin.last().headers.all("Client-Cert") == [field(jane.cert)]
    plain = forebay(app=origin)
    plain.get("/", **forged).expect(200)
    assert "Client-Cert" not in origin.last().headers and "Client-Cert-Chain" not in origin.last().headers


def test_a_certificate_of_another_authority_is_refused_also_where_it_is_optional(origin, door, visitor, tmp_path):
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").certificate("jane.example")
    w1 = door(", client_certificates: optional")
    with pytest.raises(OSError):
        w1.client(**visitor(stranger)).get("/")
    w1.wait_metric("forebay_tls_handshakes_total", 1, result="failed")


def test_a_route_may_want_one_where_the_listener_leaves_it_open(origin, forebay, visitor, certs, tmp_path):
    origin.on("GET /logo").reply(200, "logo", cache_control="public, max-age=60")
    origin.on("/admin/*").reply(200, "the numbers", cache_control="public, max-age=60")
    routes = "routes: [{match: /admin/**, client_certificates: required}, {match: /**}]\n"
    jane = certs.certificate("jane.example")
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").certificate("jane.example")
    w1 = forebay(DOOR.format(certs.certificate("localhost"), certs.cert, ", client_certificates: optional") + routes, app=origin)
    nobody = w1.client(**visitor())
    nobody.get("/logo").expect(200, "logo")
    nobody.get("/admin/numbers").expect(403)
    nobody.post("/admin/numbers", b"a=1").expect(403)
    w1.client(**visitor(jane)).get("/admin/numbers").expect(200, "the numbers", x_cache_status="MISS")
    w1.client(**visitor(jane)).get("/admin/numbers").expect(200, "the numbers", x_cache_status="HIT")
    nobody.get("/admin/numbers").expect(403)                # what is stored for others neither
    nobody.get("/x/../admin/numbers").expect(403)
    with pytest.raises(OSError):
        w1.client(**visitor(stranger)).get("/logo")         # a bad one is refused before there is a route
    there = ("--cacert", certs.cert, "--resolve", f"localhost:{w1.port()}:127.0.0.1", "-w", " %{http_code} %{http_version}",
             f"https://localhost:{w1.port()}/admin/numbers")
    assert curl(*there, "-o", "/dev/null").out == " 403 2"
    assert curl(*there, "--cert", jane.cert, "--key", jane.key).out == "the numbers 200 2"
    assert {line["reason"] for line in w1.access(5, status=403)} == {"no client certificate was shown"}


def test_a_route_that_wants_one_where_nobody_is_asked_is_refused(cli, tmp_path):
    conf = tmp_path / "site.yaml"
    conf.write_text("listen: ':8080'\nupstreams: {app: '127.0.0.1:1'}\nroutes:\n- match: /**\n  client_certificates: required\n")
    told = cli("check", "-c", conf)
    assert told.returncode == 1
    assert "site.yaml:5:24: error: client_certificates: no listener asks clients for any" in told.stderr and "client_ca: FILE" in told.stderr


def test_the_chain_that_a_client_sends_goes_on_as_a_list(origin, door, visitor, certs, tmp_path):
    origin.on("GET /").reply(200, "home")
    jane = certs.certificate("jane.example")
    both = tmp_path / "both.pem"
    both.write_text(jane.cert.read_text() + certs.cert.read_text())
    w1 = door()
    shown = certs.client_context()
    shown.load_cert_chain(both, jane.key)
    w1.client(tls=shown, server_name="localhost").get("/").expect(200)
    assert origin.last().headers["Client-Cert"] == field(jane.cert)
    assert origin.last().headers["Client-Cert-Chain"] == field(certs.cert)


def test_it_is_the_same_over_http2(origin, door, certs):
    origin.on("GET /").reply(200, "home")
    w1, jane = door(), certs.certificate("jane.example")
    done = curl("--cacert", certs.cert, "--resolve", f"localhost:{w1.port()}:127.0.0.1", "--cert", jane.cert, "--key", jane.key,
                "-H", "Client-Cert: :Zm9yZ2Vk:", "-w", " %{http_version}", f"https://localhost:{w1.port()}/").expect()
    assert done.out == "home 2" and origin.last().headers.all("Client-Cert") == [field(jane.cert)]


def test_nobody_is_answered_with_what_was_said_to_a_certificate(origin, door, visitor, certs):
    def tell(**fields):
        return lambda exchange: Reply(200, exchange.request.headers.get("Client-Cert", "nobody"), **fields)(exchange)
    origin.on("GET /mine").do(tell(cache_control="max-age=60"))
    origin.on("GET /varied").do(tell(cache_control="public, max-age=60", vary="Client-Cert"))
    w1, jane, joe = door(", client_certificates: optional"), certs.certificate("jane.example"), certs.certificate("joe.example")
    for path in ("/mine", "/varied"):
        w1.client(**visitor(jane)).get(path).expect(200, field(jane.cert))
        w1.client(**visitor(joe)).get(path, client_cert=field(jane.cert)).expect(200, field(joe.cert))
        w1.client(**visitor()).get(path, client_cert=field(jane.cert)).expect(200, "nobody")
    w1.client(**visitor(jane)).get("/varied").expect(200, field(jane.cert))


def test_what_is_public_is_still_answered_from_the_cache(origin, door, visitor, certs):
    origin.on("GET /logo", times=1).reply(200, "logo", cache_control="public, max-age=60")
    w1 = door()
    w1.client(**visitor(certs.certificate("jane.example"))).get("/logo").expect(200, x_cache_status="MISS")
    w1.client(**visitor(certs.certificate("joe.example"))).get("/logo").expect(200, x_cache_status="HIT")


def test_the_authorities_are_read_anew_and_sessions_do_not_outlive_them(origin, door, visitor, certs, tmp_path):
    origin.on("GET /").reply(200, "home")
    (tmp_path / "other").mkdir()
    other, trusted = Authority(tmp_path / "other"), tmp_path / "trusted.pem"
    shutil.copyfile(certs.cert, trusted)
    jane, session = certs.certificate("jane.example"), tmp_path / "session"
    w1 = door(ca=trusted)

    def visits():
        known = ("-sess_in", session) if session.exists() else ()
        done = run("openssl", "s_client", "-connect", str(w1), "-cert", jane.cert, "-key", jane.key, *known, "-sess_out", session,
                   "-ign_eof", feed="GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return "HTTP/1.1 200" in done.out
    assert visits() and visits()
    assert w1.metric("forebay_tls_handshakes_total", result="resumed") == 0
    shutil.copyfile(other.cert, trusted)
    w1.wait_metric("forebay_tls_certificate_reloads_total", 1, result="renewed")
    assert not visits()


def test_a_bad_file_of_authorities_is_told_of(door, tmp_path):
    (tmp_path / "none.pem").write_text("none")
    with pytest.raises(AssertionError, match=r"(?s)error: client_ca: \S+none.pem: not PEM.*expected certificates of authorities, PEM"):
        door(ca=tmp_path / "none.pem")
