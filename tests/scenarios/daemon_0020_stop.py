"""SIGTERM: nothing new, what runs is finished, and that within a bound."""

import re
import signal
import socket

import pytest

from stage.gate import Gate
from stage.waiting import USUAL_S, patiently, wait_until

DRAIN = "limits: {drain_timeout: 1h}"             # nothing waits for its end

def refuses(daemon):
    try:
        socket.create_connection(("127.0.0.1", daemon.port()), timeout=patiently(USUAL_S)).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_when_nothing_runs(origin, forebay, number):
    origin.on("/*").reply(200, cache_control="no-store")
    w1 = forebay(DRAIN, app=origin)
    idle = w1.client()
    idle.get("/").expect(200)
    w1.process.ended_by_test = True
    w1.signal(number)
    assert w1.wait_exit() == 0 and re.search("stopped$", w1.log.rstrip())
    idle.wait_closed()
    origin.wait_connections(0)


@pytest.mark.tsan
def test_a_running_download_is_finished_and_new_connections_are_refused(origin, forebay):
    step = Gate()
    origin.on("GET /big").reply(200, ["a" * 100_000, step, "b" * 100_000], cache_control="no-store")
    w1 = forebay(DRAIN, app=origin)
    c1 = w1.client()
    r = c1.begin("GET", "/big")
    r.stream.at_least(100_000)
    w1.terminate()
    wait_until(lambda: refuses(w1), "new connections to be refused")
    w1.must_run()
    step.release()
    c1.finish(r).expect(200, "a" * 100_000 + "b" * 100_000)
    assert w1.wait_exit() == 0


def test_a_running_upload_is_finished_and_its_connection_closed(origin, forebay):
    origin.on("POST /up").reply(200, "thanks")
    w1 = forebay(DRAIN, app=origin)
    c1 = w1.client()
    c1.send(b"POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    origin.wait_asked(1)
    w1.terminate()
    wait_until(lambda: refuses(w1), "each worker to have heard of it")
    c1.send(b"3\r\ndef\r\n0\r\n\r\n").answer().expect(200, "thanks", connection="close")
    assert w1.wait_exit() == 0


def test_requests_behind_the_running_one_are_not_begun(origin, forebay):
    origin.on("GET /*").reply(200, "one", cache_control="no-store")
    gate = origin.hold()
    w1 = forebay(DRAIN, app=origin)
    c1 = w1.client()
    c1.send(b"GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    origin.wait_asked(1)
    w1.terminate()
    wait_until(lambda: refuses(w1), "new connections to be refused")
    gate.release()
    c1.answer().expect(200, "one", connection="close")
    assert w1.wait_exit() == 0 and origin.count() == 1


def test_the_drain_is_bounded(origin, forebay, clock):
    origin.on("GET /never").reply(200)
    gate = origin.hold()
    w1 = forebay("limits: {drain_timeout: 10m}", app=origin)
    c1 = w1.client().ask("GET", "/never")
    origin.wait_asked(1)
    w1.terminate()
    wait_until(lambda: refuses(w1), "new connections to be refused")
    w1.must_run()
    clock.advance(601)
    assert w1.wait_exit() == 0
    assert c1.wait_closed() == b""
    w1.must_be_clean()
    assert re.search("did not end in time is cut off, with 1 connections", w1.log)
    gate.release()


def test_a_slow_reader_does_not_hold_it_up_for_ever(origin, forebay, clock):
    origin.on("GET /big").reply(200, bytes(64 << 20), cache_control="no-store")
    w1 = forebay("limits: {drain_timeout: 10m}", app=origin)
    c1 = w1.client()
    r = c1.begin("GET", "/big")
    r.stream.at_least(1)
    w1.terminate()
    wait_until(lambda: refuses(w1), "new connections to be refused")
    clock.advance(601)
    assert w1.wait_exit() == 0
    assert not c1.finish(r).complete
    w1.must_be_clean()


def test_tunnels_end_with_it(origin, forebay, clock):
    origin.on("GET /ws").upgrade()
    w1 = forebay("limits: {drain_timeout: 10m}", app=origin)
    c1 = w1.client()
    c1.ask("GET", "/ws", upgrade="websocket", connection="Upgrade").begin_answer().expect(101)
    w1.terminate()
    wait_until(lambda: refuses(w1), "new connections to be refused")
    clock.advance(601)
    assert w1.wait_exit() == 0
    c1.wait_closed()
    w1.must_be_clean()


def test_readiness_says_that_it_stops_while_it_drains(origin, forebay):
    origin.on("GET /slow").reply(200, cache_control="no-store")
    gate = origin.hold()
    w1 = forebay(DRAIN, app=origin)
    c1 = w1.client().ask("GET", "/slow")
    origin.wait_asked(1)
    w1.terminate()
    def says_so():
        try:
            return w1.admin("GET", "/health/ready").status == 503
        except ConnectionError:                 # it was opened, and nothing asked, when all idle ones were closed
            return False
    wait_until(says_so, "not to be ready any more")
    gate.release()
    c1.answer().expect(200)
    assert w1.wait_exit() == 0
