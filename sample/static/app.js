"use strict";

const byId = (id) => document.getElementById(id);

/* Past the browser's own cache, so that what is seen is what stands in front of the shop. */
async function ask(path, options = {}) {
	const began = performance.now();
	const response = await fetch(path, { cache: "no-store", ...options });
	const body = await response.text();
	return { path, method: options.method ?? "GET", response, body, took: performance.now() - began };
}

function note({ path, method, response, took }) {
	const status = response.headers.get("X-Cache-Status") ?? "none";
	const row = byId("log").insertRow(0);
	for (const text of [method, path, response.status, status, response.headers.get("Age") ?? "", `${took.toFixed(1)} ms`])
		row.insertCell().textContent = text;
	row.cells[3].className = status;
	while (byId("log").rows.length > 12)
		byId("log").deleteRow(-1);
}

async function showFigures() {
	const { body } = await ask("/stats");
	const { queries, requests } = JSON.parse(body);
	byId("queries").textContent = queries;
	byId("requests").textContent = requests;
}

const plays = {
	async read() { note(await ask("/products/7")); },
	async list() { note(await ask("/products?limit=20")); },
	async hundred() {
		const all = await Promise.all(Array.from({ length: 100 }, () => ask("/products/7")));
		note(all[all.length - 1]);
	},
	async write() {
		note(await ask("/products/7", { method: "PATCH", body: JSON.stringify({ price_cents: 100 + Math.floor(Math.random() * 9900) }) }));
		const after = await ask("/products/7");
		note(after);
		byId("product").textContent = after.body;
	},
	async slow() { (await Promise.all(Array.from({ length: 5 }, () => ask("/slow?seconds=2")))).forEach(note); },
	async login() { note(await ask("/login", { method: "POST", body: JSON.stringify({ name: "guest", password: "guess" }) })); },
	async account() {
		note(await ask("/login", { method: "POST", body: JSON.stringify({ name: "guest", password: "open sesame" }) }));
		note(await ask("/account"));
	},
	events() {
		const source = new EventSource("/events?count=5&every=0.5");
		source.onmessage = (event) => { byId("stream").textContent += event.data + "\n"; };
		source.onerror = () => source.close();
	},
	socket() {
		const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
		socket.onopen = () => socket.send("hello through the forebay");
		socket.onmessage = (event) => { byId("stream").textContent += `echo: ${event.data}\n`; socket.close(); };
	},
	async reset() { await ask("/stats/reset", { method: "POST" }); },
};

document.addEventListener("click", async (event) => {
	const play = plays[event.target.dataset?.play];
	if (!play)
		return;
	try {
		await play();
	} catch (trouble) {
		byId("stream").textContent += `${trouble}\n`;
	}
	await showFigures();
});
showFigures();
