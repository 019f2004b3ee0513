"""The stage itself: client and origin face to face, with no daemon between them."""

import re
import socket

import pytest

from stage.client import Client, together
from stage.gate import Gate
from stage.metrics import Metrics
from stage.origin import Origin
from stage.peers import curl
from stage.redis import RedisError
from stage.waiting import Ports, ports, wait_until
from stage.wire import BadMessage, Hangup, NoAnswer

pytestmark = pytest.mark.smoke


def test_a_reply_arrives_as_scripted_and_the_request_is_kept(origin, client):
    origin.on("GET /news").reply(200, "spring flood", [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], cache_control="max-age=10")
    c1 = client(origin.address)

    r = c1.get("/news?x=1", x_twice="1").expect(200, "spring flood", cache_control="max-age=10", content_length=12, etag=None)
    assert r.headers.all("set-cookie") == ["a=1", "b=2"] and r.kept_open
    request = origin.last("GET /news")
    assert (request.target, request.path, request.query) == ("/news?x=1", "/news", "x=1")
    assert request.raw_head == f"GET /news?x=1 HTTP/1.1\r\nHost: {origin.address}\r\nX-Twice: 1\r\n\r\n".encode()


def test_answers_come_in_order_and_the_last_one_stays(origin, client):
    origin.on("GET /n").reply(200, "one").reply(503, "two")
    c1 = client(origin.address)

    assert [c1.get("/n").status for _ in range(3)] == [200, 503, 503]
    assert c1.connections == 1 and origin.connections == 1
    origin.on("GET /n").reply(200, "new line")      # the newest line of the script wins
    c1.get("/n").expect(200, "new line")


def test_a_request_without_a_line_in_the_script_is_a_fault():
    origin = Origin()
    with Client(origin.address) as c1:
        c1.get("/unheard").expect(500)
    assert "GET /unheard" in origin.close()[0]


def test_a_line_that_must_be_asked_and_was_not_is_a_fault():
    origin = Origin()
    origin.on("GET /x", times=1).reply(200)
    assert origin.close() == ["origin: asked 0 times for GET /x, not 1"]


def test_a_mistake_in_a_script_is_a_fault():
    origin = Origin()
    origin.on("GET /x").do(lambda exchange: 1 / 0)
    with Client(origin.address) as c1, pytest.raises(Hangup):
        c1.get("/x")
    assert "ZeroDivisionError" in origin.close()[0]


def test_chunks_trailers_and_interim_responses_arrive(origin, client):
    origin.on("/c").reply(200, ["ab", "cde"], interim=[(103, {"Link": "</a.css>"})], trailers={"Digest": "x"})
    r = client(origin.address).get("/c").expect(200, "abcde", transfer_encoding="chunked", content_length=None)

    assert [(i.status, i.headers["link"]) for i in r.interim] == [(103, "</a.css>")]
    assert r.stream.chunks == [2, 3] and r.trailers["digest"] == "x"


def test_uploads_arrive_whole_in_either_framing(origin, client):
    origin.on("POST /up").reply(204)
    c1 = client(origin.address)

    c1.post("/up", b"x" * 100000).expect(204)
    c1.ask("POST", "/up", ["one", "two"], trailers={"X-End": "1"}).answer().expect(204)
    first, second = origin.asked("POST /up")
    assert first.body == b"x" * 100000 and second.body == b"onetwo" and second.trailers["x-end"] == "1"
    assert second.stream.chunks == [3, 3] and first.connection == second.connection


def test_a_body_can_be_watched_as_it_trickles(origin, client):
    step = Gate()
    origin.on("GET /events").reply(200, ["data: 1\n\n", step, "data: 2\n\n"])
    c1 = client(origin.address)

    r = c1.begin("GET", "/events")
    assert r.stream.until(b"data: 1\n\n") == b"data: 1\n\n"
    step.wait_arrived()
    with pytest.raises(NoAnswer):
        r.stream.until(b"data: 2", timeout=0.05)
    step.release()
    c1.finish(r).expect(200, "data: 1\n\ndata: 2\n\n")


def test_a_held_answer_waits_for_the_gate(origin, client):
    gate = origin.on("GET /slow").reply(200, "at last").hold()
    c1, c2 = client(origin.address), client(origin.address)

    c1.ask("GET", "/slow")
    c2.ask("GET", "/slow")
    gate.wait_arrived(2)
    assert origin.count("GET /slow") == 2
    gate.release()
    c1.answer().expect(200, "at last")
    c2.answer().expect(200, "at last")


@pytest.mark.parametrize("then, ended", [("close", "closed early"), ("reset", "reset")])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_cut_short_is_seen_as_such(origin, client, framing, then, ended):
    step = Gate()
    origin.on("GET /cut").reply(200, ["x" * 1000, step, "y" * 1000], framing=framing, cut=1500, then=then)
    c1 = client(origin.address)

    r = c1.begin("GET", "/cut")
    r.stream.at_least(1000)                     # a reset throws away what was not read yet
    step.release()
    c1.finish(r)
    assert not r.complete and r.ended == ended and len(r.body) >= 1000 and r.kept_open is False
    with pytest.raises(AssertionError, match="cut short"):
        r.expect(200)


def test_a_body_may_end_with_the_connection(origin, client):
    origin.on("GET /old").reply(200, "to the end", framing="close")
    r = client(origin.address).get("/old").expect(200, "to the end", content_length=None)
    assert r.kept_open is False


def test_any_bytes_can_be_answered_and_bad_ones_are_noticed(origin, client):
    origin.on("GET /bad").raw("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
    with pytest.raises(BadMessage, match="Content-Length"):
        client(origin.address).get("/bad")


def test_any_bytes_can_be_asked_and_bad_ones_are_noticed():
    origin = Origin()
    with Client(origin.address) as c1:
        c1.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
        assert c1.read_to_end() == b""
    assert "bad HTTP" in origin.close()[0]


def test_pipelined_requests_are_answered_in_order(origin, client):
    origin.on("GET /a").reply(200, "A")
    origin.on("GET /b").reply(200, "B")
    assert [r.text for r in client(origin.address).pipeline("GET /a", "GET /b", "GET /a")] == ["A", "B", "A"]


def test_an_origin_refuses_and_comes_back_on_its_port(origin, client):
    origin.on("GET /").reply(200, "here")
    c1 = client(origin.address)
    c1.get("/").expect(200)

    origin.refuse()
    with pytest.raises(ConnectionRefusedError):
        c1.get("/")
    origin.accept()
    c1.get("/").expect(200, "here")


def test_idle_connections_can_be_closed_under_their_owner(origin, client):
    origin.on("GET /").reply(200)
    c1 = client(origin.address)
    c1.get("/")
    origin.drop_idle()
    c1.wait_closed()
    c1.get("/").expect(200)
    assert origin.connections == 2


def test_a_connection_can_be_reset_while_it_is_waited_on(origin, client):
    origin.on("GET /").reply(200).hold()
    c1 = client(origin.address).ask("GET", "/")
    origin.wait_asked()
    origin.drop_connections(with_reset=True)
    with pytest.raises(Hangup) as gone:
        c1.answer()
    assert gone.value.was_reset


def test_an_early_answer_leaves_the_upload_unread(origin, client):
    rule = origin.on("POST /up").reply(413, "too much").early()
    unread = rule.hold_body()
    c1 = client(origin.address)
    c1.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
    c1.answer().expect(413)
    c1.send(b"0123456789")
    unread.release()
    wait_until(lambda: origin.last().complete, "the rest of the upload")


def test_expect_100_continue_is_answered(origin, client):
    origin.on("POST /up").reply(200, "ok")
    c1 = client(origin.address)
    c1.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert b"100 Continue" in c1.read_until(b"\r\n\r\n")
    c1.send(b"ab").answer().expect(200, "ok")


def test_an_upgraded_connection_echoes(origin, client):
    origin.on("GET /ws").upgrade("websocket")
    c1 = client(origin.address)
    r = c1.begin("GET", "/ws", connection="Upgrade", upgrade="websocket", headers={"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
    r.expect(101, sec_websocket_accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    c1.send(b"\x81\x02hi")
    assert c1.read(4) == b"\x81\x02hi"


def test_an_origin_validates_when_it_is_told_to(origin, client):
    origin.on("GET /v").reply(200, "body", etag='"1"', revalidates=True)
    c1 = client(origin.address)
    c1.get("/v", if_none_match='"0", "1"').expect(304, b"", etag='"1"', content_length=None)
    c1.get("/v", if_none_match='"0"').expect(200, "body")
    origin.on("HEAD /v").reply(200, "body")
    c1.head("/v").expect(200, b"", content_length=4)


def test_other_roads_lead_to_the_same_origin(origin, client, certs):
    origin.on("GET /").reply(200, "here")
    for address in (origin.address, origin.listen("::1"), origin.listen_unix()):
        client(address).get("/").expect(200, "here")


def test_tls_at_both_ends(origins, client, certs):
    secure = origins(tls=certs.certificate("site.test", "127.0.0.1").server_context())
    secure.on("GET /").reply(200, ["over", " TLS"])
    trust = certs.client_context()
    client(secure.address, tls=trust, server_name="site.test").get("/").expect(200, "over TLS")
    client(secure.address, tls=trust).get("/").expect(200)


def test_a_client_comes_from_where_it_is_told(origin, client):
    origin.on("GET /").reply(200)
    c1 = client(origin.address, source="127.0.0.9")
    c1.get("/").expect(200)
    assert c1.sock.getsockname()[0] == "127.0.0.9"


def test_hundreds_at_once_are_no_trouble(origin):
    origin.on("GET /*").reply(200, "x" * 1000)

    def visit():
        with Client(origin.address) as c1:
            return [c1.get(f"/{n}").expect(200).status for n in range(3)]

    assert together(*[visit] * 200) == [[200, 200, 200]] * 200
    assert origin.count() == 600 and origin.connections == 200


def test_the_clock_moves_dates(origin, client, clock):
    origin.on("GET /").reply(200)
    c1 = client(origin.address)
    before = c1.get("/").headers["date"]
    clock.advance(86400)
    assert c1.get("/").headers["date"][:16] == origin.http_date()[:16] != before[:16]


def test_ports_are_claimed_once():
    claimed = [ports.free() for _ in range(50)]
    assert len(set(claimed)) == 50
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", claimed[0]))


def test_ports_that_were_given_back_can_be_claimed_again_and_are_not_picked_next():
    ours, others = Ports(), Ports()
    claimed = [ours.free() for _ in range(50)]
    assert others.free() not in claimed
    ours.give_back()
    assert ours.free() not in claimed
    others = Ports()
    assert others.free() in claimed
    ours.give_back()
    others.give_back()


def test_metrics_are_summed_by_their_labels():
    m = Metrics('# HELP a_total text\n# TYPE a_total counter\na_total{route="/x",status="HIT"} 2\n'
                'a_total{route="say \\"hi\\"",status="HIT"} 3\na_total{status="MISS"} 1\nup 1\n')
    assert m.sum("a_total", status="HIT") == 5 and m.sum("a_total", route='say "hi"') == 3
    assert m.sum("a_total") == 6 and m.sum("up") == 1 and m.sum("absent") == 0
    assert m.sum("a_total", status=re.compile("^M")) == 1 and m.types == {"a_total": "counter"}
    with pytest.raises(AssertionError, match="not a label"):
        Metrics('a{b=c} 1\n')


def test_redis_can_be_used_paused_and_killed(redis):
    assert redis.cli("SET", "k", b"\xff\x00") == "OK" and redis.cli("GET", "k") == b"\xff\x00"
    assert redis.cli("LPUSH", "l", "a", "b") == 2 and redis.cli("LRANGE", "l", 0, -1) == ["b", "a"]
    with pytest.raises(RedisError, match="WRONGTYPE"):
        redis.cli("GET", "l")
    redis.limit_memory("100mb", "allkeys-lru")
    redis.pause()
    redis.resume()
    assert redis.keys() == ["k", "l"]
    redis.restart()
    assert redis.keys() == [] and redis.url.startswith("redis://127.0.0.1:")


def test_curl_understands_the_origin(origin):
    origin.on("GET /c").reply(200, ["one", "two"])
    assert curl("--fail", f"http://{origin}/c").expect(0).out == "onetwo"


def test_what_is_awaited_in_vain_says_so():
    with pytest.raises(AssertionError, match="in vain: the impossible"):
        wait_until(lambda: False, "the impossible", timeout=0.02)
