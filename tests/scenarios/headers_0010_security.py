"""Every answer carries what keeps browsers safe, where the origin has not said so itself."""

import re

import pytest

from stage.client import ABSENT

STANDARD = {"x_content_type_options": "nosniff", "x_frame_options": "DENY", "x_xss_protection": "1; mode=block",
            "referrer_policy": "strict-origin-when-cross-origin", "permissions_policy": "geolocation=(), microphone=(), camera=()"}
NONE = dict.fromkeys(STANDARD, ABSENT)


def page(origin, *fields, target="/*"):
    return origin.on(f"GET {target}").reply(200, "x", [("Cache-Control", "max-age=60"), ("ETag", '"7"'), *fields])


def test_standard_is_on_without_a_word(origin, forebay):
    page(origin, ("Server", "Apache/2.4.1"), ("X-Powered-By", "PHP/5"), ("X-AspNet-Version", "4"))
    w1 = forebay(app=origin)
    for word in ("MISS", "HIT"):
        w1.get("/x").expect(200, x_cache_status=word, content_security_policy=ABSENT, strict_transport_security=ABSENT,
                            server=ABSENT, x_powered_by=ABSENT, x_aspnet_version=ABSENT, **STANDARD)
    w1.get("/x", if_none_match='"7"').expect(304, **STANDARD)
    w1.head("/x").expect(200, **STANDARD)
    w1.get("/x", range="bytes=0-0").expect(206, **STANDARD)


def test_on_answers_of_our_own_too(origin, forebay):
    origin.on("GET /bad").hangup()
    w1 = forebay("""
        rate_limits: {one: {algorithm: fixed_window, limit: 1, window: 1h}}
        routes:
          - {match: /fixed, respond: {status: 200, body: x}}
          - {match: /away, redirect: /x}
          - {match: /limited, rate_limit: one, respond: 204}
          - {match: {path: /**, hosts: ["127.0.0.1"]}}
    """, app=origin)
    w1.get("/limited").expect(204, **STANDARD)
    for target, status in (("/fixed", 200), ("/away", 308), ("/limited", 429), ("/bad", 502)):
        w1.get(target).expect(status, **STANDARD)
    w1.get("/x", host="nowhere.test").expect(404, **STANDARD)
    w1.client().send(b"NONSENSE\r\n\r\n").answer().expect(400, **STANDARD)


def test_strict_has_a_policy_for_content(origin, forebay):
    page(origin)
    w1 = forebay("security_headers: strict", app=origin)
    r = w1.get("/x").expect(200, content_security_policy=re.compile("default-src 'self'"), **STANDARD)
    assert "unsafe-inline" not in r.headers["content-security-policy"]


def test_what_the_origin_says_stands(origin, forebay):
    page(origin, ("X-Frame-Options", "SAMEORIGIN"), ("Content-Security-Policy", "default-src *"))
    w1 = forebay("security_headers: strict", app=origin)
    for _ in range(2):
        r = w1.get("/x").expect(200, x_frame_options="SAMEORIGIN", content_security_policy="default-src *", x_content_type_options="nosniff")
        assert len(r.headers.all("X-Frame-Options")) == 1


def test_force_goes_before_the_origin(origin, forebay):
    page(origin, ("X-Frame-Options", "SAMEORIGIN"), ("X-Debug", "secret"), ("X-Debug", "more"))
    w1 = forebay("security_headers: {force: {x-frame-options: DENY, x-debug: off, x-added: 'yes'}}", app=origin)
    for _ in range(2):
        r = w1.get("/x").expect(200, x_frame_options="DENY", x_debug=ABSENT, x_added="yes")
        assert len(r.headers.all("X-Frame-Options")) == 1


def test_a_route_changes_adds_and_removes(origin, forebay):
    page(origin, ("Server", "Apache"))
    w1 = forebay("""
        security_headers: {preset: strict, x-site: general}
        routes:
          - {match: /static/**, security_headers: {content-security-policy: off, x-site: static}}
          - {match: /embed/**, security_headers: {x-frame-options: off, server: keep}}
          - {match: /bare/**, security_headers: off}
          - {match: /**}
    """, app=origin)
    w1.get("/x").expect(200, x_site="general", content_security_policy=re.compile("."), server=ABSENT)
    w1.get("/static/x").expect(200, x_site="static", content_security_policy=ABSENT, **STANDARD)
    w1.get("/embed/x").expect(200, x_site="general", x_frame_options=ABSENT, x_content_type_options="nosniff", server="Apache")
    w1.get("/bare/x").expect(200, content_security_policy=ABSENT, **NONE)


def test_none_is_none(origin, forebay):
    page(origin)
    forebay("security_headers: none", app=origin).get("/x").expect(200, **NONE)


def test_hsts_goes_out_over_tls_alone(origin, forebay, certs):
    page(origin)
    mine = certs.certificate("site.test")
    w1 = forebay(f"""
        listen:
          - {{address: "127.0.0.1:@PORT@"}}
          - {{address: "127.0.0.1:@TLS@", tls: {{certificates: [{{cert: {mine.cert}, key: {mine.key}}}]}}}}
        routes:
          - {{match: /fixed, respond: 204}}
          - {{match: /**}}
    """, app=origin)
    safe = w1.client("TLS", tls=certs.client_context(), server_name="site.test")
    for target, status in (("/x", 200), ("/x", 200), ("/fixed", 204)):
        w1.get(target, host="site.test").expect(status, strict_transport_security=ABSENT)
        safe.get(target).expect(status, strict_transport_security=re.compile(r"^max-age=\d{8}"), **STANDARD)


def test_a_stored_answer_follows_the_configuration(origin, forebay):
    page(origin, ("X-Mine", "1"), target="/x")
    w1 = forebay("security_headers: {x-site: before}", app=origin)
    for _ in range(3):
        w1.get("/x").expect(200, x_site="before")
    w1.reload("security_headers: {x-site: after, force: {x-mine: off}}", says="generation 2")
    for _ in range(3):
        w1.get("/x").expect(200, x_site="after", x_mine=ABSENT, x_cache_status="HIT")
    assert origin.count() == 1
