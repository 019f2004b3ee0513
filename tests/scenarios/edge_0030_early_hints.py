"""103 Early Hints: what the origin says beforehand reaches the client before the answer, within bounds."""

import threading

from stage.peers import curl
from stage.waiting import USUAL_S, deadline_in, patiently

HINT = {"Link": "</style.css>; rel=preload; as=style"}


def test_a_hint_comes_before_the_origin_has_answered(origin, forebay):
    seen = threading.Event()

    def play(exchange):
        exchange.interim(103, HINT)
        assert seen.wait(patiently(60))
        exchange.head(200, {"Content-Length": "4"})
        exchange.send(b"page")

    origin.on("GET /page").do(play)
    w1 = forebay(app=origin)
    c1 = w1.client()
    c1.ask("GET", "/page")
    hint = c1.reader.until(b"\r\n\r\n", deadline_in(USUAL_S))
    assert hint.startswith(b"HTTP/1.1 103 Early Hints\r\n") and b"Link: </style.css>; rel=preload; as=style\r\n" in hint
    seen.set()
    c1.answer().expect(200, "page")


def test_a_hint_frames_nothing(origin, forebay):
    origin.on("GET /page").reply(200, "page", interim=[(103, {**HINT, "Content-Length": "9", "Keep-Alive": "timeout=1"})])
    r = forebay(app=origin).client().get("/page").expect(200, "page")
    assert [name for name, _ in r.interim[0].headers] == ["Link"]


def test_hints_beyond_8_kib_are_dropped_and_the_answer_comes(origin, forebay):
    origin.on("GET /page").reply(200, "page", interim=[(103, HINT), (103, {"Link": "x" * 8192}), (103, HINT)])
    r = forebay(app=origin).client().get("/page").expect(200, "page")
    assert [hint.headers.get("Link") for hint in r.interim] == [HINT["Link"]] * 2


def test_a_hit_has_none_and_http_1_0_gets_none(origin, forebay):
    origin.on("GET /page").reply(200, "page", interim=[(103, HINT)], cache_control="max-age=60")
    w1 = forebay(app=origin)
    c1 = w1.client()
    assert w1.client().get("/page", version="HTTP/1.0").expect(200, "page").interim == []
    assert c1.get("/page").expect(200, "page", x_cache_status="HIT").interim == []


def test_curl_sees_it_over_http_1_and_2(origin, forebay):
    origin.on("GET /page").reply(200, "page", interim=[(103, HINT)], cache_control="no-store")
    w1 = forebay(app=origin)
    for word in ("--http1.1", "--http2-prior-knowledge"):
        said = str(curl(word, "--include", f"http://{w1.address}/page").expect(0))
        assert " 103" in said.split("\n")[0] and said.endswith("page"), said
