"""docs/operations.md: bounds on what servers get, servers on unix sockets that are told who asks, early hints; played as written."""

import re
import socket
import threading
from pathlib import Path

from stage.peers import curl
from stage.waiting import wait_until

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def example(section, language="yaml"):
    return OPERATIONS.read_text().partition(f"\n## {section}\n")[2].partition(f"```{language}\n")[2].partition("```")[0]


def test_servers_get_as_much_as_the_page_says_and_the_next_is_refused(origins, forebay, clock):
    two = [origins("o1"), origins("o2")]
    gates = [o.on("/*").reply(200, o.name, cache_control="no-store").hold() for o in two]
    text = example("Servers that have enough to do")
    for n, origin in enumerate(two, 1):
        text = text.replace(f"10.0.0.{n}:3000", str(origin))
    text = text.replace("requests: 12}", "requests: 12}\n    timeouts: {connect: 1m}")     # they may wait until the gates open
    w1 = forebay(text + "workers: 1\nlog: {access: {path: '@DIR@/access.log', format: json}}\n")
    for origin in two:
        origin.on("GET /old").reply(200, "old", cache_control="max-age=1")
    w1.get("/old").expect(200, "old")
    clock.advance(5)
    under_way = [w1.client().ask("GET", f"/{n}") for n in range(24)]
    for origin in two:
        origin.wait_asked(10)
        w1.wait_metric("forebay_upstream_in_flight", 12, server=str(origin))
    refused = w1.get("/more").expect(503)
    assert refused.headers["Proxy-Status"] == "forebay; error=connection_limit_reached"
    w1.get("/old").expect(200, "old", x_cache_status="STALE")
    assert sum(o.count() for o in two) == 1 + 20 and [o.connections for o in two] == [10, 10]
    for gate in gates:
        gate.release()
    assert sorted(c.answer().expect(200).text for c in under_way) == ["o1"] * 12 + ["o2"] * 12
    w1.get("/more").expect(200)
    assert [line["fetch_end"] for line in w1.access(status=503)] == ["overloaded"]


def test_a_server_on_a_socket_is_told_who_asks(forebay, tmp_path):
    heard = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "app.sock"))
        listener.listen()

        def serve():
            while not any(b"GET /a " in told for told in heard):
                connection, _ = listener.accept()
                with connection:
                    told = connection.recv(65536)
                    while told and b"\r\n\r\n" not in told[12:]:
                        more = connection.recv(65536)
                        if not more:
                            break
                        told += more
                    heard.append(told)
                    if b"GET /a " in told:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")
        threading.Thread(target=serve, daemon=True).start()
        w1 = forebay(example("Telling servers who asks, and servers on this machine").replace("/run/app.sock", str(tmp_path / "app.sock")))
        w1.client(source="127.0.0.7").get("/a").expect(200, "here")
    told = next(told for told in heard if b"GET /a " in told)
    assert told.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11") and told[16:20] == bytes([127, 0, 0, 7])


def test_a_hint_is_seen_as_on_the_page(origin, forebay):
    gate = threading.Event()

    def play(exchange):
        exchange.interim(103, {"Link": "</style.css>; rel=preload; as=style"})
        assert gate.wait(30)
        exchange.head(200, {"Content-Length": "4", "Cache-Control": "max-age=60"})
        exchange.send(b"page")
    origin.on("GET /page").do(play)
    w1 = forebay(app=origin)
    first = w1.client().ask("GET", "/page")
    origin.wait_asked(1)
    rider = w1.client().ask("GET", "/page")
    wait_until(lambda: w1.metric("forebay_connections_open") >= 3, "the second to ask")
    gate.set()
    assert origin.count("GET /page") == 1
    assert len(first.answer().expect(200, "page").interim) == 1
    assert rider.answer().expect(200, "page").interim == []

    origin.on("GET /other").reply(200, "page", interim=[(103, {"Link": "</style.css>; rel=preload; as=style"})], cache_control="no-store")
    page = example("Early Hints", "")
    said = curl(*page.partition("$ curl ")[2].partition("\n")[0].replace("http://127.0.0.1:8080/page", f"http://{w1.address}/other").split()).out
    wanted = re.sub(r"\s+", " ", page.partition("\n")[2].partition("\n\n")[0])
    assert re.sub(r"\s+", " ", said).startswith(wanted)
