"""HTTP/2: how connections end without losing a request."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stage.gate import Gate
from stage.h2 import DATA, END_HEADERS, END_STREAM, GOAWAY, H2, HEADERS, NO_ERROR, block
from stage.peers import run, tool
from stage.waiting import wait_until


WAITED_S = 1                            # for the answer to the PING behind the first GOAWAY
QUICK_S = 20                            # limits.drain_timeout is longer


def begin_to_stop(forebay, origin):
    """The daemon, a client whose /big is under way, what came of it, and the stream of /late, which was sent behind the first GOAWAY.
    On a machine that stood still meanwhile it may have been too late: then with another daemon."""
    while True:
        w1 = forebay(app=origin)
        c1 = H2(w1.address)
        big = c1.get("/big")
        began = c1.next(DATA, stream=big).payload
        asked_s = time.monotonic()
        w1.terminate()
        goaway = c1.next(GOAWAY)
        assert goaway.last == 0x7fffffff and goaway.code == NO_ERROR
        # The PING that says that it has come is not answered before this request is out.
        late, c1.next_id = c1.next_id, c1.next_id + 2
        c1.frame(HEADERS, END_HEADERS | END_STREAM, late, block(c1.head("GET", "/late")))
        if time.monotonic() < asked_s + WAITED_S / 2:
            return w1, c1, big, began, late
        c1.close()
        w1.wait_exit()


@pytest.mark.tsan
def test_when_it_stops_what_runs_is_finished_and_what_was_on_its_way_is_served(origin, forebay):
    step = Gate()
    origin.on("GET /big").reply(200, ["a" * 100_000, step, "b" * 100_000], cache_control="no-store")
    origin.on("GET /late").reply(200, "served")
    w1, c1, big, began, late = begin_to_stop(forebay, origin)
    c1.answer(late).expect(200, "served")
    goaway = c1.next(GOAWAY)
    assert goaway.last == late and goaway.code == NO_ERROR
    step.release()
    assert began + c1.answer(big).expect(200).body == b"a" * 100_000 + b"b" * 100_000
    assert c1.ended() == NO_ERROR
    c1.close()
    assert w1.wait_exit() == 0


def test_an_idle_connection_is_told_and_the_stop_is_quick(origin, forebay):
    origin.on("/*").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    c1 = H2(w1.address)
    c1.answer(c1.get("/")).expect(200)
    w1.process.ended_by_test = True
    w1.signal(signal.SIGTERM)
    assert c1.ended() == NO_ERROR
    c1.close()
    assert w1.wait_exit(QUICK_S) == 0


def test_one_who_does_not_answer_holds_up_the_stop_for_a_moment_only(origin, forebay):
    origin.on("/*").reply(200, cache_control="no-store")
    w1 = forebay(app=origin)
    c1 = H2(w1.address)
    c1.answer(c1.get("/")).expect(200)
    w1.process.ended_by_test = True
    w1.signal(signal.SIGTERM)
    assert w1.wait_exit(QUICK_S) == 0
    c1.close()


def test_an_idle_connection_is_not_kept_for_ever(origin, forebay, clock):
    origin.on("/*").reply(200)
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        c1.answer(c1.get("/")).expect(200)
        clock.advance(70)
        c1.answer(c1.get("/")).expect(200)
        clock.advance(76)
        assert c1.ended() == NO_ERROR
    with H2(w1.address) as c1:
        wait_until(lambda: w1.metric("forebay_http2_connections_total") == 2, "it to speak HTTP/2")
        clock.advance(11)
        assert c1.ended() in (None, NO_ERROR)


def test_a_client_that_says_goodbye_gets_what_it_asked_for(origin, forebay):
    gate = origin.on("GET /slow").reply(200, "late").hold()
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.get("/slow")
        c1.frame(GOAWAY, 0, 0, bytes(8))
        gate.release()
        c1.answer(s).expect(200, "late")
        c1.ended()


def test_a_client_that_leaves_is_noted_for_each_of_its_requests(origin, forebay):
    origin.on("/*").reply(200, "late", cache_control="no-store").hold()
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        for i in range(3):
            c1.get(f"/{i}")
        wait_until(lambda: len(origin.requests) == 3, "requests")
    assert [line["status"] for line in w1.access(3)] == [499] * 3
    wait_until(lambda: w1.metric("forebay_connections_open") <= 1, "it to be closed")


def test_a_reset_stream_is_noted_and_the_connection_goes_on(origin, forebay):
    origin.on("GET /slow").reply(200, "late", cache_control="no-store").hold()
    origin.on("GET /quick").reply(200, "soon")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        s = c1.get("/slow")
        wait_until(lambda: len(origin.requests) == 1, "it to be asked")
        c1.reset(s)
        c1.answer(c1.get("/quick")).expect(200, "soon")
    assert w1.access(1, path="/slow")[-1]["status"] == 499
    assert w1.metric("forebay_http2_resets_total", reason="client") == 1


def test_a_reload_ends_no_connection_and_new_streams_follow_the_new_routes(origin, forebay):
    origin.on("/*").reply(200, "here", cache_control="no-store")
    w1 = forebay(app=origin)
    with H2(w1.address) as c1:
        c1.answer(c1.get("/")).expect(200, "here")
        w1.reload("routes: [{match: /**, respond: {body: new}}]\n")
        c1.answer(c1.get("/")).expect(200, "new")


@pytest.mark.slow
@pytest.mark.tsan
@pytest.mark.patience(400)
def test_reloads_under_load_lose_nothing(origin, forebay):
    origin.on("/*").reply(200, "x" * 5000, cache_control="max-age=1")
    routes = "routes: [{{match: /**, upstream: app, cache: {{ttl: {}s, cookies: ignore}}}}]\n"
    w1 = forebay(routes.format(1), app=origin)
    with ThreadPoolExecutor(1) as aside:
        load = aside.submit(run, tool("h2load", "nghttp2-client"), "-n", "30000", "-c", "6", "-m", "20", f"http://{w1}/page", timeout=300)
        reloads = 0
        while not load.done() and reloads < 10:
            reloads += 1
            w1.reload(routes.format(1 + reloads))
        assert "30000 succeeded, 0 failed, 0 errored" in load.result().expect().out
    assert reloads > 1
