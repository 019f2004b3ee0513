"""Large things are fetched, and kept, in slices: what nobody looks at is not fetched, and what is sent is of one version."""

import hashlib
import re

import pytest

from stage.film import Film
from stage.gate import Gate
from stage.peers import curl
from stage.waiting import wait_until

MIB = 1 << 20
SLICED = "cache: {memory: 128MiB, slice: 1MiB}"
FAR = 1_500_000_000
FAR_SLICE = FAR // MIB * MIB


@pytest.fixture
def film(origin):
    film = Film(2 << 30)
    origin.on("/film").do(film)
    return film


@pytest.fixture
def short(origin):
    short = Film(8 * MIB + 12345)
    origin.on("/short").do(short)
    return short


def of(n, last=None):
    return {"range": f"bytes={n}-{'' if last is None else last}"}


def wait_stored(w1, n):
    """That many objects: the outline and slices. What is under way when the clock is moved takes that for silence."""
    w1.wait_metric("forebay_cache_stored_total", n)


def test_a_seek_into_2_gib_fetches_only_what_is_looked_at(film, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    r = w1.get("/film", **of(FAR, FAR + 99)).expect(206, film.piece(FAR, FAR + 99), x_cache_status="MISS", etag='"v1"')
    assert r.headers["content-range"] == f"bytes {FAR}-{FAR + 99}/{2 << 30}"
    assert film.parts == [(FAR_SLICE, FAR_SLICE + MIB - 1)]
    wait_stored(w1, 2)
    w1.get("/film", **of(FAR + 500, FAR + 599)).expect(206, film.piece(FAR + 500, FAR + 599), x_cache_status="HIT")
    w1.get("/film", **of(0, 9)).expect(206, film.piece(0, 9), x_cache_status="MISS", cache_status=re.compile(r"^forebay; fwd=partial; fwd-status=206; stored; ttl=\d+$"))
    border = FAR_SLICE + MIB
    w1.get("/film", **of(border - 10, border + 9)).expect(206, film.piece(border - 10, border + 9))
    wait_until(lambda: film.sent == 3 * MIB, lambda: f"the third slice; given {film.sent}")
    assert len(film.parts) == 3


@pytest.mark.tsan
def test_all_of_it_is_what_the_origin_has_and_is_asked_for_once(origin, forebay, tmp_path):
    film = Film(64 * MIB + 7)
    origin.on("/film").do(film)
    w1 = forebay(SLICED, app=origin)
    sums = hashlib.sha256()
    for n in range(0, film.length, MIB):
        sums.update(film.piece(n, min(n + MIB, film.length) - 1))
    for word in ("MISS", "HIT"):
        out = tmp_path / word
        curl("--fail", "-o", out, "-D", tmp_path / "head", f"http://{w1}/film").expect()
        assert hashlib.sha256(out.read_bytes()).hexdigest() == sums.hexdigest()
        head = (tmp_path / "head").read_text().lower()
        assert f"content-length: {film.length}\n" in head.replace("\r", "") and f"x-cache-status: {word}".lower() in head
        assert "http/1.1 200 ok" in head and "content-range" not in head
    assert sorted(film.parts) == [(n, min(n + MIB, film.length) - 1) for n in range(0, film.length, MIB)]
    assert film.sent == film.length


def test_a_download_that_stopped_goes_on(short, forebay, origin, tmp_path):
    w1 = forebay(SLICED, app=origin)
    out = tmp_path / "short"
    out.write_bytes(short.piece(0, 3 * MIB + 4))
    curl("--fail", "-C", "-", "-o", out, f"http://{w1}/short").expect()
    assert out.read_bytes() == short.piece(0, short.length - 1)
    assert min(short.parts) == (3 * MIB, 4 * MIB - 1)
    curl("--fail", "-r", "-100", "-o", out, f"http://{w1}/short").expect()
    assert out.read_bytes() == short.piece(short.length - 100, short.length - 1)


def test_another_version_in_the_middle_cuts_the_answer_off(short, forebay, origin):
    """Never a mixed success; and what is asked for next is the new one, all of it."""
    w1 = forebay(SLICED, app=origin)

    def change(part):
        if part[0] == 4 * MIB:
            short.version = 2
    short.before = change
    r = w1.get("/short")
    assert r.status == 200 and not r.complete and len(r.body) <= 4 * MIB
    assert r.body == short.piece(0, 4 * MIB - 1, version=1)[:len(r.body)]
    short.before = lambda part: None
    w1.get("/short").expect(200, short.piece(0, short.length - 1, version=2), etag='"v2"', x_cache_status="MISS")
    assert w1.metric("forebay_cache_slices_changed_total") >= 1
    assert w1.access(1, path="/short", end="body_broken")


def test_another_version_before_anything_was_sent_is_no_trouble(film, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    w1.get("/film", **of(0, 9)).expect(206, etag='"v1"')
    wait_stored(w1, 2)
    film.version = 2                                    # what is stored is fresh, and of the old one
    w1.get("/film", **of(FAR, FAR + 9)).expect(206, film.piece(FAR, FAR + 9, version=2), etag='"v2"', x_cache_status="MISS")
    w1.get("/film", **of(0, 9)).expect(206, film.piece(0, 9, version=2), etag='"v2"')


@pytest.mark.parametrize("same", ["length", "etag"])
def test_the_same_length_or_the_same_etag_is_not_enough(origin, forebay, same):
    film = Film(4 * MIB, etag='W/"weak"' if same == "etag" else '"v{}"')
    origin.on("/film").do(film)
    w1 = forebay(SLICED, app=origin)
    w1.get("/film", **of(0, 9)).expect(206)
    wait_stored(w1, 2)
    film.version = 2
    if same == "etag":
        film.length += 1024
    w1.get("/film", **of(2 * MIB, 2 * MIB + 9)).expect(206, film.piece(2 * MIB, 2 * MIB + 9, version=2), last_modified=film.dates[2])
    w1.get("/film", **of(0, 9)).expect(206, film.piece(0, 9, version=2))


def test_two_viewers_at_one_spot_are_one_request(film, forebay, origin):
    w1 = forebay(f"workers: 2\n{SLICED}", app=origin)
    w1.get("/film", **of(0, 9)).expect(206)
    gate = Gate()
    film.before = lambda part: gate.pass_through()
    viewers = [w1.client() for _ in range(8)]
    for viewer in viewers:
        viewer.ask("GET", "/film", **of(FAR, FAR + 99))
    gate.wait_arrived()
    w1.wait_metric("forebay_flights_total", 7, role="ride")
    gate.release()
    for viewer in viewers:
        viewer.answer().expect(206, film.piece(FAR, FAR + 99))
    assert film.asked(FAR_SLICE) == 1


@pytest.mark.tsan
def test_many_who_come_first_are_one_request_too(film, forebay, origin):
    w1 = forebay(f"workers: 2\n{SLICED}", app=origin)
    gate = Gate()
    film.before = lambda part: gate.pass_through()
    spots = [0, 100, FAR, FAR + 5]
    viewers = [(spot, w1.client()) for spot in spots]
    for spot, viewer in viewers:
        viewer.ask("GET", "/film", **of(spot, spot + 9))
    gate.wait_arrived()
    w1.wait_metric("forebay_flights_total", 3, role="ride")
    gate.release()
    for spot, viewer in viewers:
        viewer.answer().expect(206, film.piece(spot, spot + 9))
    assert film.asked(0) == film.asked(FAR_SLICE) == 1 and len(film.parts) == 2


def test_who_leaves_after_a_seek_has_cost_two_slices_at_most(film, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    for n in range(3):
        viewer = w1.client()
        r = viewer.begin("GET", "/film", **of(FAR + n * 100 * MIB))
        r.stream.at_least(100)
        viewer.close()
    wait_until(lambda: w1.metric("forebay_http_requests_ended_total", end="client_gone") == 3, "them to be gone")
    wait_until(lambda: w1.get("/film", **of(FAR, FAR + 9)).expect(206).cache_status == "HIT", "the first of them to be there")
    assert film.asked(FAR_SLICE) == 1
    wait_until(lambda: film.sent % MIB == 0, "the slices to be there")
    assert film.sent <= 3 * 8 * MIB         # what the sockets between took, and no more
    assert len({part[0] // (100 * MIB) for part in film.parts}) <= 4


def test_the_next_slice_is_fetched_while_one_is_sent_and_no_more(short, forebay, origin):
    gate = Gate()
    short.pauses = {0: (768 << 10, gate)}
    w1 = forebay(SLICED, app=origin)
    viewer = w1.client()
    r = viewer.begin("GET", "/short")
    r.stream.at_least(600 << 10)
    wait_until(lambda: short.asked(MIB) == 1, lambda: f"the second slice to be asked for, not only {short.parts}")
    assert len(short.parts) == 2
    gate.release()
    assert viewer.finish(r).body == short.piece(0, short.length - 1)


def test_an_answer_that_ends_in_a_slice_fetches_none_ahead(short, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    w1.get("/short", **of(10, MIB - 1)).expect(206, short.piece(10, MIB - 1))
    wait_until(lambda: w1.get("/short", **of(10, MIB - 1)).cache_status == "HIT", "the slice to be stored")
    assert short.parts == [(0, MIB - 1)]


def test_one_validation_is_for_all_slices(short, forebay, origin, clock):
    w1 = forebay(SLICED, app=origin)
    w1.get("/short").expect(200, x_cache_status="MISS")
    asked = len(short.parts)
    wait_stored(w1, 10)
    clock.advance(61)
    w1.get("/short").expect(200, short.piece(0, short.length - 1), x_cache_status="REVALIDATED")
    assert len(short.parts) == asked + 1 and short.sent == short.length
    assert short.seen[-1]["if-none-match"] == '"v1"' and short.seen[-1]["range"] == f"bytes=0-{MIB - 1}"
    w1.get("/short").expect(200, x_cache_status="HIT")


def test_a_stale_one_that_has_changed_is_not_fetched_whole(film, forebay, origin, clock):
    w1 = forebay(SLICED, app=origin)
    w1.get("/film", **of(FAR, FAR + 9)).expect(206)
    wait_stored(w1, 2)
    clock.advance(61)
    film.version = 2
    w1.get("/film", **of(FAR, FAR + 9)).expect(206, film.piece(FAR, FAR + 9, version=2), x_cache_status="EXPIRED", etag='"v2"')
    wait_until(lambda: film.sent == 2 * MIB, lambda: f"the new slice alone; given {film.sent}")


def test_refreshed_behind(film, forebay, origin, clock):
    w1 = forebay("cache: {slice: 1MiB, stale_while_revalidate: 1h}", app=origin)
    w1.get("/film", **of(0, 9)).expect(206)
    wait_stored(w1, 2)
    film.version = 2
    clock.advance(61)
    w1.get("/film", **of(0, 9)).expect(206, film.piece(0, 9, version=1), x_cache_status="STALE")
    wait_until(lambda: w1.get("/film", **of(0, 9)).headers["etag"] == '"v2"', "the refresh")
    assert film.sent <= 4 * MIB


PURGED = """
    cache: {slice: 1MiB}
    routes:
      - {match: POST /by-url, purge: {urls: [/short]}}
      - {match: POST /by-prefix, purge: {prefixes: [/sh]}}
      - {match: POST /by-tag, purge: {tags: [films]}}
      - {match: POST /by-origins-tag, purge: {tags: [given]}}
      - {match: POST /by-tag-softly, purge: {tags: [films], soft: yes}}
      - {match: /**, cache: {tags: [films]}}
"""


@pytest.mark.parametrize("how", ["url", "prefix", "tag", "origins-tag"])
def test_a_purge_takes_all_slices(short, forebay, origin, how):
    short.fields["Cache-Tag"] = "given"
    origin.on(f"POST /by-{how}").reply(204)
    w1 = forebay(PURGED, app=origin)
    w1.get("/short").expect(200)
    w1.post(f"/by-{how}").expect(204)
    w1.get("/short").expect(200, short.piece(0, short.length - 1), x_cache_status="MISS")
    assert short.sent == 2 * short.length


def test_a_slice_on_its_way_when_it_is_purged_is_not_for_who_comes_after(short, forebay, origin):
    origin.on("POST /by-url").reply(204)
    w1 = forebay(PURGED, app=origin)
    w1.get("/short", **of(0, 9)).expect(206)
    gate = Gate()
    short.before = lambda part: gate.pass_through()
    before = w1.client().ask("GET", "/short", **of(5 * MIB, 5 * MIB + 9))
    gate.wait_arrived()
    w1.post("/by-url").expect(204)
    after = w1.client().ask("GET", "/short", **of(5 * MIB, 5 * MIB + 9))
    wait_until(lambda: short.asked(5 * MIB) >= 2, "it to be asked for again")
    gate.release()
    before.answer().expect(206, short.piece(5 * MIB, 5 * MIB + 9))
    after.answer().expect(206, short.piece(5 * MIB, 5 * MIB + 9))


def test_a_soft_purge_asks_once_and_keeps_the_slices(short, forebay, origin):
    origin.on("POST /by-tag-softly").reply(204)
    w1 = forebay(PURGED, app=origin)
    w1.get("/short").expect(200)
    wait_stored(w1, 10)
    w1.post("/by-tag-softly").expect(204)
    w1.get("/short").expect(200, short.piece(0, short.length - 1), x_cache_status="REVALIDATED")
    assert short.sent == short.length


def test_conditions_are_about_the_whole(short, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    w1.get("/short", **of(0, 9)).expect(206)
    wait_stored(w1, 2)
    w1.get("/short", if_none_match='"v1"').expect(304)
    w1.head("/short").expect(200, b"", content_length=short.length, x_cache_status="HIT", accept_ranges="bytes")
    w1.head("/short", if_none_match='"v1"').expect(304)
    w1.get("/short", if_range='"v1"', **of(5 * MIB, 5 * MIB + 9)).expect(206, short.piece(5 * MIB, 5 * MIB + 9))
    w1.get("/short", **of(99 * MIB)).expect(416, content_range=f"bytes */{short.length}")
    assert len(short.parts) == 2
    w1.get("/short", if_range='"v0"', **of(5 * MIB, 5 * MIB + 9)).expect(200, short.piece(0, short.length - 1))


def test_a_first_request_behind_the_end(short, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    w1.get("/short", **of(99 * MIB)).expect(416, content_range=f"bytes */{short.length}")
    wait_until(lambda: w1.get("/short", **of(0, 9)).expect(206).cache_status == "HIT", "the first slice to be there")
    assert short.parts == [(99 * MIB, short.length - 1), (0, MIB - 1)]


def test_several_parts(short, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    r = w1.get("/short", range=f"bytes={7 * MIB}-{7 * MIB + 9}, 0-9, {2 * MIB - 5}-{2 * MIB + 4}, -7").expect(206)
    assert int(r.headers["content-length"]) == len(r.body)
    for first, last in ((7 * MIB, 7 * MIB + 9), (0, 9), (2 * MIB - 5, 2 * MIB + 4), (short.length - 7, short.length - 1)):
        assert f"bytes {first}-{last}/{short.length}\r\n\r\n".encode() + short.piece(first, last) + b"\r\n--" in r.body
    assert sorted({part[0] // MIB for part in short.parts}) == [0, 1, 2, 7, 8]


def test_what_is_smaller_than_a_slice_is_kept_whole(origin, forebay):
    page = Film(5000, fields={"Content-Type": "text/html"})
    origin.on("/page").do(page)
    w1 = forebay(SLICED, app=origin)
    w1.get("/page").expect(200, page.piece(0, 4999), x_cache_status="MISS", content_range=None)
    w1.get("/page", accept_encoding="gzip").expect(200, content_encoding="gzip", x_cache_status="HIT")
    w1.get("/page", **of(10, 19)).expect(206, page.piece(10, 19), x_cache_status="HIT")
    assert len(page.parts) == 1


def test_an_origin_without_ranges_streams_the_whole(origin, forebay):
    film = Film(3 * MIB, ranges=False)
    origin.on("/film").do(film)
    w1 = forebay(SLICED, app=origin)
    w1.get("/film", **of(2 * MIB, 2 * MIB + 9)).expect(206, film.piece(2 * MIB, 2 * MIB + 9), x_cache_status="MISS")
    wait_until(lambda: w1.get("/film").cache_status == "HIT", "it to be stored")
    assert len(film.parts) == 1


@pytest.mark.parametrize("flaw", ["no validator", "private", "young"])
def test_what_cannot_be_put_together_is_asked_for_whole(origin, forebay, flaw):
    film = Film(3 * MIB, etag=None, modified=flaw == "private")
    if flaw == "private":
        film.etag, film.fields["Cache-Control"] = '"1"', "private"
    if flaw == "young":
        film.fields["Last-Modified"] = origin.http_date(60)
    origin.on("/film").do(film)
    w1 = forebay(SLICED, app=origin)
    w1.get("/film").expect(200, film.piece(0, film.length - 1), x_cache_status="MISS")
    assert film.parts == [(0, MIB - 1), None]
    r = w1.get("/film", **of(10, 19)).expect(206, film.piece(10, 19))
    assert (r.cache_status, film.parts[2:]) == (("MISS", [(10, 19)]) if flaw == "private" else ("HIT", []))


def test_a_body_that_breaks_off_is_asked_for_again(short, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    short.cut = {0: 1000, 3 * MIB: 500_000}
    w1.get("/short").expect(200, short.piece(0, short.length - 1))
    assert short.asked(0) == short.asked(3 * MIB) == 2


def test_without_the_origin_what_is_there_is_served(short, forebay, origin, clock):
    w1 = forebay(SLICED, app=origin)
    w1.get("/short", **of(0, 9)).expect(206)
    wait_stored(w1, 2)
    origin.refuse()
    w1.get("/short", **of(100, 199)).expect(206, short.piece(100, 199), x_cache_status="HIT")
    w1.get("/short", **of(5 * MIB, 5 * MIB + 9)).expect(502)
    clock.advance(100)
    w1.get("/short", **of(100, 199)).expect(206, short.piece(100, 199), x_cache_status="STALE")


def test_a_server_in_trouble_is_told_apart_from_another_version(short, forebay, origin):
    w1 = forebay(SLICED, app=origin)
    w1.get("/short", **of(0, 9)).expect(206)
    wait_stored(w1, 2)
    origin.on("/short").reply(503, "busy").do(short)
    w1.get("/short", **of(5 * MIB, 5 * MIB + 9)).expect(502, proxy_status="forebay; error=destination_unavailable")
    w1.get("/short", **of(5 * MIB, 5 * MIB + 9)).expect(206, short.piece(5 * MIB, 5 * MIB + 9))
    w1.get("/short", **of(0, 9)).expect(206, x_cache_status="HIT")
    assert len(short.parts) == 2


def test_variants_have_slices_of_their_own(origin, forebay):
    german = Film(3 * MIB, version=1, etag=None, fields={"Vary": "X-Tongue"})
    french = Film(3 * MIB, version=2, etag=None, fields={"Vary": "X-Tongue"})
    german.dates = french.dates = {1: origin.http_date(-9000), 2: origin.http_date(-9000)}
    origin.on("/film").do(lambda exchange: (german if exchange.request.headers.get("X-Tongue") == "de" else french)(exchange))
    w1 = forebay(SLICED, app=origin)
    for _ in range(2):
        for tongue, film in (("de", german), ("fr", french)):
            w1.get("/film", x_tongue=tongue).expect(200, film.piece(0, film.length - 1))
    assert german.sent == french.sent == 3 * MIB


def test_small_things_stay_while_a_film_is_shown(origin, forebay, client):
    film = Film(48 * MIB)
    origin.on("/film").do(film)
    origin.on("/small/*").reply(200, b"x" * 2000, cache_control="max-age=600")
    w1 = forebay("cache: {memory: 16MiB, slice: 1MiB}", app=origin)
    c = w1.client()
    for _ in range(3):
        for n in range(300):
            c.get(f"/small/{n}").expect(200)
    w1.get("/film").expect(200, film.piece(0, film.length - 1))
    assert sum(c.get(f"/small/{n}").cache_status == "HIT" for n in range(300)) > 290


@pytest.mark.tsan
def test_another_instance_finds_the_slices_in_redis(short, forebay, origin, redis):
    config = f"cache: {{slice: 1MiB, redis: {{url: {redis}, timeout: 10s}}}}"
    w1 = forebay(config, app=origin)
    w1.wait_redis()
    w1.get("/short", host="a.example").expect(200)
    wait_until(lambda: w1.metric("forebay_redis_requests_total", op="put", result="done") == 10, "all to be in Redis")
    w2 = forebay(config, app=origin)
    w2.wait_redis()
    origin.hold()
    w2.get("/short", host="a.example").expect(200, short.piece(0, short.length - 1), x_cache_status="HIT")
    assert w2.metric("forebay_redis_requests_total", op="get", result="hit") == 10


def test_a_slice_that_could_not_be_stored_is_refused_when_it_is_written(cli, tmp_path):
    for slice, says in (("1KiB", "smaller than 64KiB"), ("16MiB", "larger than max_object")):
        path = tmp_path / "forebay.yaml"
        path.write_text(f"listen: '127.0.0.1:1'\ncache: {{slice: {slice}}}\nupstreams: {{app: '127.0.0.1:1'}}\nroutes: [{{match: /**}}]\n")
        done = cli("check", "-c", path)
        assert done.returncode != 0 and says in str(done.stdout) + str(done.stderr)
