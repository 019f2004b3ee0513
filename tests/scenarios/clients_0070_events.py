"""Server-sent events: each arrives when it happens, compressed or not."""

import subprocess

import pytest

from stage.gate import Gate
from stage.peers import tool
from stage.waiting import USUAL_S, patiently, wait_until

pytestmark = pytest.mark.smoke


class Listening:
    """curl -N, and what it has heard so far."""

    def __init__(self, path, *words):
        self.path = path
        with open(path, "wb") as heard:
            self.child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", tool("curl", "curl"), "-sS", "-N", "--noproxy", "*",
                                           *map(str, words)], stdin=subprocess.DEVNULL, stdout=heard, stderr=subprocess.PIPE)

    def wait(self, text):
        wait_until(lambda: self.path.read_text().endswith(text), lambda: f"{text!r}, heard: {self.path.read_text()[-200:]!r}")

    def end(self):
        _, err = self.child.communicate(timeout=patiently(USUAL_S))
        return self.child.returncode, err.decode()

    def stop(self):
        self.child.kill()
        self.child.communicate()


@pytest.mark.parametrize("coding", ["identity", "gzip", "br"])
def test_an_event_arrives_when_it_happens(origin, forebay, tmp_path, coding):
    gates = [Gate() for _ in range(3)]
    steps = [step for n, gate in enumerate(gates) for step in (f"id: {n}\ndata: the water rises\n\n", gate)]
    origin.on("GET /events").reply(200, [*steps, "data: done\n\n"], content_type="text/event-stream", cache_control="no-store")
    w1 = forebay(app=origin)

    heard = Listening(tmp_path / "heard", "--compressed", "-H", f"Accept-Encoding: {coding}", "-D", tmp_path / "head",
                      f"http://{w1}/events")
    for n, gate in enumerate(gates):
        heard.wait(f"id: {n}\ndata: the water rises\n\n")
        gate.wait_arrived()
        gate.release()
    heard.wait("data: done\n\n")
    assert heard.end() == (0, "")
    head = (tmp_path / "head").read_text().lower()
    assert f"content-encoding: {coding}\n" in head if coding != "identity" else "content-encoding" not in head


@pytest.mark.parametrize("old", [False, True])
def test_also_by_those_who_frame_it_otherwise(origin, forebay, tmp_path, old):
    """An origin that ends its stream by closing, a client of HTTP/1.0."""
    gate = Gate()
    origin.on("GET /events").reply(200, ["data: 1\n\n", gate, "data: 2\n\n"], content_type="text/event-stream", framing="close")
    w1 = forebay(app=origin)
    heard = Listening(tmp_path / "heard", *(["-0"] if old else []), f"http://{w1}/events")
    heard.wait("data: 1\n\n")
    gate.wait_arrived()
    gate.release()
    heard.wait("data: 2\n\n")
    assert heard.end() == (0, "")


def test_the_sample_applications_events_go_on_until_the_listener_leaves(shop, forebay, tmp_path):
    w1 = forebay(app=shop)
    heard = Listening(tmp_path / "heard", f"http://{w1}/events?every=0.05")
    wait_until(lambda: "id: 5\n" in heard.path.read_text(), "five events")
    assert shop.stats()["connections"] >= 2     # Forebay's, and the one that asks
    heard.stop()
    wait_until(lambda: shop.stats()["connections"] == 1, "the application to be told that nobody listens")
