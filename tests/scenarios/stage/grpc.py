"""gRPC as the npm package @grpc/grpc-js speaks it, at either end: a service of four methods, and a client that is told what to call."""

import json
import os

from stage.peers import npm, run
from stage.process import Process
from stage.waiting import ports, wait_until

PACKAGE = "@grpc/grpc-js@1.14.7"
SERVICE = """
const grpc = require("@grpc/grpc-js"), fs = require("fs");
const pack = {serialize: value => Buffer.from(JSON.stringify(value)), deserialize: bytes => JSON.parse(bytes.toString())};
const method = (name, asks, answers) => ({path: "/spring.Flood/" + name, requestStream: asks, responseStream: answers,
	requestSerialize: pack.serialize, requestDeserialize: pack.deserialize,
	responseSerialize: pack.serialize, responseDeserialize: pack.deserialize});
const definition = {say: method("Say", false, false), count: method("Count", false, true),
	sum: method("Sum", true, false), chat: method("Chat", true, true)};
"""
SERVER = SERVICE + """
const server = new grpc.Server({"grpc.max_receive_message_length": -1});
const watch = (call, name) => call.on("cancelled", () => console.log("cancelled", name));
server.addService(definition, {
	say(call, done) {
		watch(call, "say");
		console.log("say", call.request.text === undefined ? "" : String(call.request.text).slice(0, 40), JSON.stringify(call.metadata.getMap()));
		if (call.request.text == "wait") return;
		if (call.request.text == "fail") {
			const more = new grpc.Metadata();
			more.set("why", "too wet");
			done({code: grpc.status.FAILED_PRECONDITION, details: "no: water, everywhere", metadata: more});
			return;
		}
		const behind = new grpc.Metadata();
		behind.set("level", "high");
		done(null, {text: call.request.text, by: process.argv[3]}, behind);
	},
	count(call) {
		watch(call, "count");
		let n = 0;
		const more = () => {
			while (n < call.request.to && !call.cancelled)
				if (!call.write({n: n++, fill: "x".repeat(call.request.bytes || 0)})) { call.once("drain", more); return; }
			if (!call.cancelled) { console.log("counted", n); call.end(); }
		};
		setInterval(() => console.log("at", n), 100).unref();
		more();
	},
	sum(call, done) {
		let sum = 0, bytes = 0;
		watch(call, "sum");
		call.on("data", part => { sum += part.n; bytes += (part.fill || "").length; });
		call.on("end", () => done(null, {sum, bytes}));
	},
	chat(call) {
		watch(call, "chat");
		call.on("data", said => call.write({heard: said.text}));
		call.on("end", () => call.end());
		call.on("error", () => {});
	},
});
const pem = process.argv.slice(4).map(path => fs.readFileSync(path));
const creds = pem.length == 0 ? grpc.ServerCredentials.createInsecure()
	: grpc.ServerCredentials.createSsl(null, [{cert_chain: pem[0], private_key: pem[1]}]);
server.bindAsync("127.0.0.1:" + process.argv[2], creds, error => console.log(error ? String(error) : "listening"));
"""
CLIENT = SERVICE + """
const Flood = grpc.makeGenericClientConstructor(definition, "Flood"), ca = process.argv[3];
const client = new Flood(process.argv[2], ca ? grpc.credentials.createSsl(fs.readFileSync(ca)) : grpc.credentials.createInsecure(),
	{"grpc.max_receive_message_length": -1, "grpc.enable_http_proxy": 0});
const end = error => error ? {code: error.code, details: error.details, why: error.metadata && error.metadata.get("why")[0]} : {code: 0};
const say = (text, how = {}) => new Promise(got => {
	const told = {}, call = client.say({text}, new grpc.Metadata(), how, (error, answer) => { Object.assign(told, end(error), {answer}); });
	call.on("status", status => { told.level = status.metadata.get("level")[0]; setImmediate(() => got(told)); });
	const look = how.cancel_when && setInterval(() => { if (how.cancel_when()) { clearInterval(look); call.cancel(); } }, 10);
});
const sleep = ms => new Promise(over => setTimeout(over, ms));
(async () => { const told = await (async () => { %s })(); console.log(JSON.stringify(told)); client.close(); })();
"""


def with_grpc():
    return {**os.environ, "NODE_PATH": str(npm(PACKAGE) / "node_modules"), "no_proxy": "*", "grpc_proxy": ""}


class GrpcServer:
    def __init__(self, directory, name="g1", certificate=None, port=None):
        self.port = port or ports.free()
        self.address = f"127.0.0.1:{self.port}"
        script = directory / f"{name}.js"
        script.write_text(SERVER)
        files = [] if certificate is None else [certificate.cert, certificate.key]
        self.process = Process(name, ["node", script, self.port, name, *files], directory / f"{name}.log", with_grpc())
        wait_until(lambda: "listening" in self.log(), lambda: f"{name} to listen\n{self.process.tail()}", 60)

    def log(self):
        return self.process.log()

    def wait_for(self, word, timeout=30):
        wait_until(lambda: word in self.log(), lambda: f"{word!r} in\n{self.process.tail()}", timeout)

    def on(self, *_):
        raise AssertionError("it has no script")

    def __str__(self):
        return self.address


def call(directory, address, play, ca=None, timeout=100):
    """What the play (an async function's body) returns: say(text) and the stub client are at hand."""
    script = directory / "client.js"
    script.write_text(CLIENT % play)
    done = run("node", script, address, *([ca] if ca else []), env=with_grpc(), timeout=timeout).expect()
    return json.loads(done.out)
