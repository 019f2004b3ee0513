"""SIGHUP: the configuration is read again. A bad one changes nothing; a good one drops nobody and forgets nothing."""

import re
import socket
import threading

import pytest

from stage.client import Client
from stage.gate import Gate
from stage.waiting import USUAL_S, patiently, wait_until

FAILED, LOADED = r"reload .*failed.*", r"configuration of \S+ loaded \(generation \d+\)"


def test_a_bad_file_leaves_the_running_configuration_and_says_where_it_is_bad(origin, forebay):
    origin.on("/*").reply(200, "ok", cache_control="max-age=60")
    w1 = forebay(app=origin)
    w1.get("/a").expect(200, x_cache_status="MISS")
    w1.reload("routes:\n  - match: /**\n    cahce: off\n", says=FAILED)
    assert re.search(r"forebay\.yaml:\d+:5: error: .*cahce", w1.log) and 'did you mean "cache"?' in w1.log
    assert "the running configuration is kept" in w1.log
    w1.get("/a").expect(200, x_cache_status="HIT")
    w1.reload("routes: [", says=FAILED)
    w1.config_path.unlink()
    w1.signal(1)
    w1.wait_log(r"No such file")
    w1.get("/a").expect(200, x_cache_status="HIT")


def test_a_listener_that_cannot_be_had_leaves_all_as_it_was(forebay):
    w1 = forebay("routes: [{match: /**, respond: {body: one}}]")
    with socket.create_server(("127.0.0.1", 0)) as taker:
        taken = taker.getsockname()[1]
        w1.reload(f"listen: ['127.0.0.1:@PORT@', '127.0.0.1:@PORT2@', '127.0.0.1:{taken}']\nroutes: [{{match: /**, respond: {{body: two}}}}]",
                  says=FAILED)
    assert f"127.0.0.1:{taken} is taken" in w1.log
    w1.get("/").expect(200, "one")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", w1.port("PORT2")))


def test_what_is_cached_stays(origin, forebay):
    origin.on("/*").reply(200, "ok", cache_control="max-age=60", content_type="text/html")
    w1 = forebay(app=origin)
    w1.get("/a").expect(200, x_cache_status="MISS", x_frame_options="DENY")
    w1.reload("routes: [{match: /**, security_headers: off}]", says=LOADED)
    w1.get("/a").expect(200, "ok", x_cache_status="HIT", x_frame_options=None)
    assert origin.count() == 1
    w1.reload("cache: {memory: 1MiB}", says=LOADED)
    w1.get("/a").expect(200, "ok", x_frame_options="DENY")


def test_a_request_under_way_finishes_with_its_own_configuration(origins, forebay):
    old, new = origins("old"), origins("new")
    step = Gate()
    old.on("GET /a").reply(200, ["one", step, "two"], cache_control="no-store", content_type="text/html")
    new.on("GET /a").reply(200, "new", cache_control="no-store")
    w1 = forebay("upstreams: {app: '@old@'}", old=old, new=new)
    c1 = w1.client()
    r = c1.begin("GET", "/a")
    r.stream.until(b"one")
    w1.reload("upstreams: {app: '@new@'}", says=LOADED)
    w1.get("/a").expect(200, "new")
    step.release()
    c1.finish(r).expect(200, "onetwo")
    c1.get("/a").expect(200, "new")             # the same connection, the next request
    assert c1.connections == 1
    old.wait_connections(0)                     # nobody will need it again


def test_a_request_that_waits_for_its_answer_keeps_its_upstream(origins, forebay):
    old, new = origins("old"), origins("new")
    old.on("GET /a").reply(200, "old", cache_control="no-store")
    gate = old.hold()
    w1 = forebay("upstreams: {app: '@old@'}", old=old, new=new)
    c1 = w1.client().ask("GET", "/a")
    old.wait_asked(1)
    w1.reload("upstreams: {other: '@new@'}", says=LOADED)
    gate.release()
    c1.answer().expect(200, "old")
    old.wait_connections(0)


def test_connections_to_an_upstream_that_stays_are_kept(origin, forebay):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    w1 = forebay("workers: 1", app=origin)
    w1.get("/").expect(200)
    for _ in range(3):
        w1.reload(says=LOADED)
        w1.get("/").expect(200)
    assert origin.connections == 1


def test_listeners_come_and_go(forebay):
    w1 = forebay("listen: ['127.0.0.1:@PORT@']\nroutes: [{match: /**, respond: {body: here}}]")
    c1 = w1.client()
    c1.get("/").expect(200)
    w1.reload("listen: ['127.0.0.1:@PORT2@', 'unix:@DIR@/a.sock']\nroutes: [{match: /**, respond: {body: there}}]", says=LOADED)
    for address in (f"127.0.0.1:{w1.port('PORT2')}", f"unix:{w1.directory}/a.sock"):
        with Client(address) as c2:
            c2.get("/").expect(200, "there")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", w1.port()))
    c1.get("/").expect(200, "there")            # who came by the old one is still served
    w1.reload("listen: ['127.0.0.1:@PORT@']\nroutes: [{match: /**, respond: {body: again}}]", says=LOADED)
    w1.get("/").expect(200, "again")
    assert not (w1.directory / "a.sock").exists()


@pytest.mark.tsan
@pytest.mark.patience(120)
def test_reloads_under_load_lose_no_request(origin, forebay):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    w1 = forebay("workers: 3", app=origin)
    stop, answered, faults, over = threading.Event(), [0] * 4, [], []

    def visit(i):
        try:
            while not stop.is_set():
                with Client(w1.address) as c1:
                    for _ in range(5):
                        c1.get("/").expect(200, "ok")
                        answered[i] += 1
        except BaseException as fault:
            faults.append(fault)
        over.append(i)
    visitors = [threading.Thread(target=visit, args=(i,), daemon=True) for i in range(4)]
    for v in visitors:
        v.start()
    for i in range(10):
        before = list(answered)
        w1.reload(f"workers: 3\nroutes: [{{match: /**, name: r{i}}}]", says=rf"generation {i + 2}\)")
        wait_until(lambda: faults or all(now > then for now, then in zip(answered, before)), "each visitor to be served on")
    stop.set()
    for v in visitors:
        v.join(patiently(USUAL_S))
    assert not faults and len(over) == 4


def test_the_admin_token_and_log_level_change_too(forebay):
    w1 = forebay("routes: [{match: /**, respond: {body: x}}]")
    w1.admin("GET", "/metrics").expect(200)
    w1.reload("admin: {address: '127.0.0.1:@ADMIN@', token: another-token}\nroutes: [{match: /**, respond: {body: x}}]", says=LOADED)
    w1.admin("GET", "/metrics").expect(401)
    w1.admin("GET", "/metrics", authorization="Bearer another-token").expect(200)


def test_limits_that_stay_remember_what_they_counted(forebay):
    limit = "rate_limits: {few: {algorithm: fixed_window, limit: 2, window: 1h, key: client}}\n"
    w1 = forebay(limit + "routes: [{match: /**, rate_limit: few, respond: {body: x}}]")
    for status in (200, 200, 429):
        w1.get("/").expect(status)
    w1.reload(limit + "routes: [{match: /**, rate_limit: few, respond: {body: y}}]", says=LOADED)
    w1.get("/").expect(429)


def test_many_reloads_leak_nothing(origin, forebay):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    w1 = forebay(app=origin)
    for _ in range(5):
        w1.reload(says=LOADED)
    fds = w1.fd_count()
    for _ in range(10):
        w1.reload(says=LOADED)
        w1.get("/").expect(200)
    wait_until(lambda: w1.fd_count() <= fds + 4, "descriptors to be given back")


def test_two_signals_at_once_are_one_reload_or_two_but_no_accident(forebay):
    w1 = forebay("routes: [{match: /**, respond: {body: x}}]")
    for _ in range(20):
        w1.signal(1)
    w1.wait_log(LOADED)
    w1.get("/").expect(200, "x")
