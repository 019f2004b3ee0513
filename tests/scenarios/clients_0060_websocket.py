"""WebSockets as the npm package ws speaks them, at either end."""

import json
import os
import re

import pytest

from stage.peers import npm, run
from stage.process import Process
from stage.waiting import ports, wait_until

pytestmark = pytest.mark.slow
CLIENT = """
const WebSocket = require("ws"), crypto = require("crypto");
const socket = new WebSocket(process.argv[2], process.argv.slice(4)), told = {};
const next = () => new Promise((got, failed) => { socket.once("message", (data, binary) => got(binary ? data : data.toString()));
                                                  socket.once("close", code => failed("closed " + code)); });
const say = async (what, how) => { const answer = next(); socket.send(what, how); return answer; };
socket.on("error", error => { console.log(JSON.stringify({error: String(error)})); process.exit(1); });
socket.on("open", async () => {
	told.protocol = socket.protocol;
	told.extensions = socket.extensions;
	told.text = await say("spring flood");
	const large = crypto.randomBytes(Number(process.argv[3]));
	told.large = large.equals(await say(large));
	const answer = next();
	socket.send("in ", {fin: false}); socket.send("pieces", {fin: true});
	told.fragments = await answer;
	told.pong = await new Promise(got => { socket.on("pong", data => got(data.toString())); socket.ping("there?"); });
	told.many = (await Promise.all([...Array(200).keys()].map(n => new Promise(got => {
		const hear = data => { if (data.toString() == `no ${n}`) { socket.off("message", hear); got(1); } };
		socket.on("message", hear); socket.send(`no ${n}`); })))).length;
	socket.on("close", code => { told.code = code; console.log(JSON.stringify(told)); });
	socket.close(1000, "enough");
});
"""
IDLE = """
const socket = new (require("ws"))(process.argv[2]);
socket.on("open", () => console.log("open"));
socket.on("close", code => console.log("closed", code));
socket.on("error", error => console.log(String(error)));
"""
SERVER = """
const {WebSocketServer} = require("ws");
const server = new WebSocketServer({port: Number(process.argv[2]), host: "127.0.0.1", perMessageDeflate: true,
                                    handleProtocols: offered => offered.has("chat") ? "chat" : false});
server.on("connection", (socket, request) => {
	console.log("opened", request.url, request.headers["x-forwarded-for"]);
	socket.on("message", (data, binary) => socket.send(data, {binary}));
	socket.on("close", (code, reason) => console.log("closed", code, reason.toString()));
});
server.on("listening", () => console.log("listening"));
"""


class Server:
    def __init__(self, directory):
        port = ports.free()
        self.address = f"127.0.0.1:{port}"
        (directory / "server.js").write_text(SERVER)
        self.process = Process("ws", ["node", directory / "server.js", port], directory / "ws.log", with_ws())
        wait_until(lambda: "listening" in self.process.log(), lambda: f"the server to listen\n{self.process.tail()}", 60)

    def on(self, *_):
        raise AssertionError("it has no script")

    def __str__(self):
        return self.address


def with_ws():
    return {**os.environ, "NODE_PATH": str(npm("ws@8.18.3") / "node_modules")}


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.process.kill()


def visit(url, tmp_path, large, *protocols):
    (tmp_path / "client.js").write_text(CLIENT)
    return json.loads(run("node", tmp_path / "client.js", url, large, *protocols, env=with_ws(), timeout=90).expect().out)


WANTED = {"text": "spring flood", "large": True, "fragments": "in pieces", "pong": "there?", "many": 200, "code": 1000}


def test_an_echo_by_the_sample_application(shop, forebay, tmp_path):
    w1 = forebay(app=shop)
    told = visit(f"ws://{w1}/ws", tmp_path, 900_000)
    assert {key: told[key] for key in WANTED} == WANTED
    line = w1.access(1, path="/ws")[0]
    assert line["status"] == 101 and line["bytes_in"] > 900_000 and line["bytes"] > 900_000


def test_an_echo_by_ws_itself_with_its_extensions(server, forebay, tmp_path):
    w1 = forebay(app=server)
    told = visit(f"ws://{w1}/chat?room=1", tmp_path, 20_000_000, "news", "chat")
    assert told == {**WANTED, "protocol": "chat", "extensions": "permessage-deflate"}
    wait_until(lambda: re.search(r"closed 1000 enough", server.process.log()), "the server to be told of the end")
    assert "opened /chat?room=1 127.0.0.1" in server.process.log()


def test_whoever_leaves_takes_the_tunnel_with_him(server, forebay, tmp_path):
    """A client that is killed is gone for the server too, and the other way round."""
    w1 = forebay(app=server)
    (tmp_path / "idle.js").write_text(IDLE)
    client = Process("client", ["node", tmp_path / "idle.js", f"ws://{w1}/"], tmp_path / "client.log", with_ws())
    wait_until(lambda: "open" in client.log(), client.tail)
    client.kill()
    wait_until(lambda: "closed 1006" in server.process.log(), "the server to see the client go")

    client = Process("client", ["node", tmp_path / "idle.js", f"ws://{w1}/"], tmp_path / "client2.log", with_ws())
    wait_until(lambda: "open" in client.log(), client.tail)
    server.process.kill()
    wait_until(lambda: "closed 1006" in client.log(), "the client to see the server go")
    client.kill()
