"""Upgrades become tunnels, what the origin refuses does not, and nothing of a tunnel is left behind."""

UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


def test_a_tunnel_is_logged_with_what_was_asked(origin, forebay):
    origin.on("GET /live").upgrade()
    origin.on("GET /x/*").reply(200, "ok", cache_control="no-store")
    w1 = forebay("workers: 1", app=origin)

    c1 = w1.client()
    c1.begin("GET", "/live?room=7", headers=[*UPGRADE, ("User-Agent", "the tunnel's")])
    c1.send(b"spring flood")
    assert c1.read(12) == b"spring flood"
    for n in range(5):                      # whose heads come to lie where the tunnel's was
        w1.get(f"/x/{n}", user_agent="somebody else's").expect(200)
    c1.close()
    line = w1.access(1, status=101)[0]
    assert "/live?room=7" in str(line) and "the tunnel's" in str(line), line


def test_an_upgrade_to_h2c_goes_no_further_however_it_is_listed(origin, forebay):
    origin.on("GET /live").reply(200, "plain", cache_control="no-store")
    w1 = forebay(app=origin)

    for fields in ([("Upgrade", "h2c, websocket")], [("Upgrade", "websocket, h2c")],
                   [("Upgrade", "websocket"), ("Upgrade", "h2c")]):
        w1.get("/live", headers=[("Connection", "Upgrade"), *fields]).expect(200)
    assert not any("Upgrade" in request.headers for request in origin.asked("GET /live"))


def test_an_open_tunnel_does_not_outlive_the_drain(origin, forebay):
    origin.on("GET /live").upgrade()
    w1 = forebay("limits: {drain_timeout: 1s}", app=origin)

    c1 = w1.client()
    c1.begin("GET", "/live", headers=UPGRADE)
    w1.terminate()
    c1.wait_closed()
    assert w1.wait_exit() == 0


def test_what_runs_when_the_drain_ends_is_cut_off(origin, forebay):
    origin.on("GET /slow").reply(200, "late", cache_control="max-age=60")
    gate = origin.hold()
    w1 = forebay("limits: {drain_timeout: 1s}", app=origin)

    c1 = w1.client().ask("GET", "/slow")
    gate.wait_arrived()
    w1.terminate()
    c1.wait_closed()
    assert w1.wait_exit() == 0
