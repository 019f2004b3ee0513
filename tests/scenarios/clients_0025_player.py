"""A browser's player seeks in something large: what it skips is never fetched."""

import struct

import pytest

from clients_0020_browser import browser
from stage.film import Film
from stage.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.patience(300)]
MIB = 1 << 20
RATE = 44100 * 4                                    # bytes of sound a second
PAGE = """<!doctype html><title>Player</title><video id="v" src="/film.wav" preload="metadata" muted></video>
<script>
const tell = (what) => fetch("/told", {method: "POST", body: JSON.stringify(what)});
v.addEventListener("loadedmetadata", () => { v.currentTime = 2700; }, {once: true});
v.addEventListener("seeked", () => tell({at: v.currentTime, long: v.duration}), {once: true});
v.addEventListener("error", () => tell({error: v.error.message}));
</script>"""


class Sound(Film):
    """Silence, as a WAV file."""

    def piece(self, first, last, version=None):
        data = self.length - 44
        head = b"RIFF" + struct.pack("<I", data + 36) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, 44100, RATE, 4, 16)
        head += b"data" + struct.pack("<I", data)
        return head[first:last + 1] + bytes(last - max(first, 44) + 1 if last >= 44 else 0)


def test_a_seek_in_a_player(origin, forebay, tmp_path):
    film = Sound(512 * MIB, fields={"Content-Type": "audio/wav"})
    origin.on("GET /").reply(200, PAGE, content_type="text/html")
    origin.on("GET /film.wav").do(film)
    origin.on("GET /favicon.ico").reply(404)
    origin.on("POST /told").reply(204)
    w1 = forebay("cache: {memory: 256MiB, slice: 1MiB}", app=origin)
    for n, name in enumerate(("ada", "grace"), 1):
        with browser(f"http://{w1}/", tmp_path / name):
            wait_until(lambda: origin.count("POST /told") == n, lambda: f"the player to tell; asked: {film.parts}", 90)
        told = origin.last("POST /told").json()
        assert told == {"at": 2700, "long": pytest.approx((512 * MIB - 44) / RATE)}
    wanted = 2700 * RATE // MIB
    asked = {part[0] // MIB for part in film.parts}
    assert wanted in asked and len(asked & set(range(wanted // 2, wanted - 10))) == 0
    assert len(film.parts) == len(asked) < 200                  # each slice once, for both; the player's own appetite is large
