"""Compressors take bounded memory: what finds none goes out as it is, and only then."""

from stage.client import ABSENT
from stage.coding import decoded
from stage.gate import Gate

TEXT = "".join(f"line {n} of a text that is worth compressing\n" for n in range(300))


def take_all(w1, origin, coding, most=300):
    """Answers that are being coded and do not end, until the next one finds no memory."""
    gate, under_way = Gate(), []
    origin.on("GET /slow/*").reply(200, [TEXT, gate, "the end"], content_type="text/html", cache_control="no-store")
    for n in range(most):
        c = w1.client()
        under_way.append((c, c.begin("GET", f"/slow/{n}", accept_encoding=coding).expect(200)))
        if "Content-Encoding" not in under_way[-1][1].headers:
            return gate, under_way
    raise AssertionError(f"{most} at once found memory")


def test_what_went_out_as_it_is_for_want_of_memory_is_coded_for_the_next(origin, forebay):
    origin.on("GET /page").reply(200, TEXT, content_type="text/html", cache_control="max-age=3600", etag='"7"')
    w1 = forebay("workers: 1\nupstreams: {app: {servers: ['@app@'], connections: {max: 400}}}\n", app=origin)
    w1.get("/page").expect(200, TEXT)
    gate, under_way = take_all(w1, origin, "br")
    for _ in range(2):
        w1.get("/page", accept_encoding="br").expect(200, TEXT, x_cache_status="HIT", content_encoding=ABSENT, etag='"7"')
    gate.release()
    for c, r in under_way:
        c.finish(r)
        assert decoded(r).decode() == TEXT + "the end"
    r = w1.get("/page", accept_encoding="br").expect(200, x_cache_status="HIT", content_encoding="br", etag='W/"7"')
    assert decoded(r).decode() == TEXT
    assert origin.count("GET /page") == 1
