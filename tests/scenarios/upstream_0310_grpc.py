"""gRPC through Forebay, with @grpc/grpc-js at either end: all four kinds of calls, statuses in trailers, deadlines, cancelled
calls, and readers who take their time."""

from pathlib import Path

import pytest

from stage.grpc import GrpcServer, call
from stage.h2 import DATA, H2, HEADERS
from stage.waiting import wait_until

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
CONFIG = "workers: 1\nupstreams: {app: {servers: '@app@', protocol: h2}}\nroutes: [{match: /**, cache: off}]\n"


@pytest.fixture
def flood(tmp_path):
    server = GrpcServer(tmp_path)
    yield server
    server.process.kill()


@pytest.fixture
def w1(flood, forebay):
    return forebay(CONFIG, app=flood)


@pytest.mark.smoke
def test_a_unary_call_passes_with_its_metadata_and_its_status(w1, tmp_path):
    told = call(tmp_path, w1.address, "return [await say('rain'), await say('fail')];")
    assert told[0] == {"code": 0, "answer": {"text": "rain", "by": "g1"}, "level": "high"}
    assert told[1] == {"code": 9, "details": "no: water, everywhere", "why": "too wet"}
    assert [line["status"] for line in w1.access(2)] == [200, 200]


def test_a_server_streams_its_answer(w1, tmp_path):
    told = call(tmp_path, w1.address, """return new Promise(got => { const seen = []; let status;
        const call = client.count({to: 1000});
        call.on("data", part => seen.push(part.n)); call.on("status", s => status = s.code);
        call.on("end", () => setImmediate(() => got([seen.length, seen[0], seen[999], status]))); });""")
    assert told == [1000, 0, 999, 0]


def test_a_client_streams_its_request(w1, tmp_path):
    told = call(tmp_path, w1.address, """return new Promise(async got => {
        const call = client.sum((error, answer) => got([end(error), answer]));
        for (let n = 1; n <= 200; n++) if (!call.write({n, fill: "x".repeat(50000)})) await new Promise(go => call.once("drain", go));
        call.end(); });""")
    assert told == [{"code": 0}, {"sum": 20100, "bytes": 10_000_000}]


@pytest.mark.tsan
def test_both_stream_and_each_message_is_answered_before_the_next_is_sent(w1, tmp_path):
    told = call(tmp_path, w1.address, """return new Promise(got => { const heard = []; let n = 0;
        const call = client.chat(), next = () => n == 50 ? call.end() : call.write({text: "no " + n++});
        call.on("data", part => { heard.push(part.heard); next(); });
        call.on("status", s => got([heard.length, heard[49], s.code])); next(); });""")
    assert told == [50, "no 49", 0]


@pytest.mark.tsan
def test_many_calls_share_one_connection(w1, flood, tmp_path):
    told = call(tmp_path, w1.address, """const all = await Promise.all([...Array(300).keys()].map(n => say("no " + n)));
        return all.filter((told, n) => told.code == 0 && told.answer.text == "no " + n).length;""")
    assert told == 300
    assert w1.metric("forebay_upstream_requests_h2_total") == 300
    assert w1.metric("forebay_upstream_connects_total") <= 3       # a hundred streams each


def test_a_deadline_that_passes_is_told_to_the_server(w1, flood, tmp_path):
    told = call(tmp_path, w1.address, """await say("rain");                 // who calls next has a connection
        return await say("wait", {deadline: Date.now() + 5000});""")
    assert told["code"] == 4
    flood.wait_for("cancelled say")


@pytest.mark.tsan
def test_a_call_that_its_client_cancels_is_cancelled_at_the_server(w1, flood, tmp_path):
    told = call(tmp_path, w1.address, """const first = await say("wait", {cancel_when: () => fs.readFileSync("%s").includes("say wait")});
        const second = await new Promise(got => { const call = client.chat();
            call.on("data", () => call.cancel()); call.on("error", () => {}); call.on("status", s => got(s.code)); call.write({text: "a"}); });
        const third = await new Promise(got => { const call = client.count({to: 1e9, bytes: 1000}); let n = 0;
            call.on("data", () => { if (++n == 10) call.cancel(); }); call.on("error", () => {}); call.on("status", s => got(s.code)); });
        return [first.code, second, third];""" % flood.process.log_path)
    assert told == [1, 1, 1]
    for name in ("say", "chat", "count"):
        flood.wait_for("cancelled " + name)
    assert call(tmp_path, w1.address, "return await say('still there');")["code"] == 0


def test_a_slow_reader_holds_back_the_server_and_nobody_else(w1, flood, tmp_path):
    asked = b'{"to": 800, "bytes": 20000}'        # 16 MB
    with H2(w1.address, updates=False) as c1:
        stream = c1.open(c1.head("POST", "/spring.Flood/Count", [("content-type", "application/grpc"), ("te", "trailers")]), end=False)
        c1.data(stream, b"\0" + len(asked).to_bytes(4, "big") + asked, end=True)

        def written():
            return [int(line.split()[1]) for line in flood.log().splitlines() if line.startswith("at ")]
        wait_until(lambda: len(written()) > 5 and len(set(written()[-5:])) == 1, lambda: f"the server to stand still\n{written()}", 60)
        assert written()[-1] < 500                  # some windows' worth, and what sockets hold
        assert call(tmp_path, w1.address, "return (await say('others')).answer.text;") == "others"
        c1.updates = True
        c1.window(10_000_000)
        c1.window(10_000_000, stream)
        got = 0
        while not (frame := c1.next(DATA, HEADERS, stream=stream)).ends:
            got += len(frame.payload) if frame.kind == DATA else 0
        assert dict(frame.fields)["grpc-status"] == "0" and got > 16_000_000
    assert w1.metric("forebay_upstream_connects_total") == 1


def test_large_messages_pass_both_ways(w1, tmp_path):
    told = call(tmp_path, w1.address, "const text = 'x'.repeat(20e6); const told = await say(text); return [told.code, told.answer.text == text];")
    assert told == [0, True]


def test_an_unknown_method_is_answered_by_trailers_alone(w1, tmp_path):
    told = call(tmp_path, w1.address, """return new Promise(got => client.makeUnaryRequest("/spring.Flood/None", pack.serialize, pack.deserialize, {},
        error => got([error.code, error.details])));""")
    assert told[0] == 12 and "None" in told[1]


def test_a_server_that_is_away_is_unavailable(forebay, flood, tmp_path):
    w1 = forebay(CONFIG, app=flood)
    flood.process.kill()
    told = call(tmp_path, w1.address, "return await say('rain');")
    assert told["code"] == 14


def test_a_server_that_goes_away_in_the_middle_of_a_stream_breaks_it(w1, flood, tmp_path):
    told = call(tmp_path, w1.address, """return new Promise(got => { let call = client.chat();
        call.on("data", part => { if (part.heard == "a") process.kill(%d, "SIGKILL"); });
        call.on("error", () => {}); call.on("status", s => got(s.code)); call.write({text: "a"}); });""" % flood.process.pid)
    assert told in (13, 14)
    flood.process.ended_by_test = True


def test_two_servers_share_the_calls_over_tls_at_either_end(forebay, certs, tmp_path):
    certificate = certs.certificate("127.0.0.1")
    g1, g2 = GrpcServer(tmp_path, "g1", certificate), GrpcServer(tmp_path, "g2", certificate)
    try:
        w1 = forebay(f"workers: 1\nlisten: {{address: '127.0.0.1:@PORT@', tls: {{certificates: [{{cert: {certificate.cert}, key: {certificate.key}}}]}}}}\n"
                     f"upstreams: {{app: {{servers: ['{g1}', '{g2}'], protocol: auto, tls: {{ca: {certs.cert}}}}}}}\n")
        told = call(tmp_path, w1.address, "const all = []; for (let n = 0; n < 20; n++) all.push(await say('a')); "
                    "return all.map(told => told.answer && told.answer.by);", certs.cert)
        assert sorted(told) == ["g1"] * 10 + ["g2"] * 10
        assert w1.metric("forebay_upstream_requests_h2_total") == 20
        g1.process.kill()
        told = call(tmp_path, w1.address, "const all = []; for (let n = 0; n < 6; n++) all.push((await say('a')).code); return all;", certs.cert)
        assert told == [0] * 6
    finally:
        g1.process.kill()
        g2.process.kill()


def test_the_example_means_what_it_says(forebay, certs, tmp_path):
    site = certs.certificate("127.0.0.1")
    g1, g2 = GrpcServer(tmp_path, "g1"), GrpcServer(tmp_path, "g2")
    try:
        text = OPERATIONS.read_text().partition("## gRPC, and HTTP/2 to servers")[2].partition("```yaml\n")[2].partition("```")[0]
        text = text.replace("10.0.0.5:50051, 10.0.0.6:50051", f"'{g1}', '{g2}'").replace('":8443"', "'127.0.0.1:@PORT@'")
        text = text.replace("/etc/forebay/tls/site.pem", str(site.cert)).replace("/etc/forebay/tls/site.key", str(site.key))
        w1 = forebay(text + "workers: 1\n")
        told = call(tmp_path, w1.address, "const all = []; for (let n = 0; n < 10; n++) all.push(await say('a')); "
                    "return all.map(told => told.answer && told.answer.by);", certs.cert)
        assert sorted(told) == ["g1"] * 5 + ["g2"] * 5
    finally:
        g1.process.kill()
        g2.process.kill()
