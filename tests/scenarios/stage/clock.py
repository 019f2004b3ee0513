"""The clock: moves the time of every daemon on this stage, wall and monotonic alike.

The test build adds the eight bytes of a shared file to what the kernel says. They are written in one store; a daemon reads
them at the beginning of its next turn, so a request sent after advance() returns is served in the new time. What its
timers do follows within some 20 ms: wait for that with wait_until.
"""

import ctypes
import math
import mmap
import time


class Watch:
    """A stopwatch of the stage's time: what has gone by since, by steps and because the machine takes its time."""

    def __init__(self, clock):
        self._clock, self._began_s, self._began_offset_s = clock, clock.monotonic(), clock.offset_s()

    def s(self):
        return self._clock.monotonic() - self._began_s

    def is_age(self, text, before=0):
        """Whether that may be the Age of what was fetched since and was so old by then; it is rounded."""
        return before + self._stepped_s() <= int(text or 0) <= before + self.s() + 1

    def ttl(self, life_s):
        """What may be left of a life that began since, as a part of a regular expression: "99|100"."""
        most = life_s - math.ceil(self._stepped_s())
        return "(?:%s)" % "|".join(str(n) for n in range(math.floor(life_s - self.s()) - 1, most + 1))

    def _stepped_s(self):
        return self._clock.offset_s() - self._began_offset_s


class Clock:
    def __init__(self, directory):
        self.path = str(directory / "clock")
        self.daemons = []
        with open(self.path, "w+b") as file:
            file.write(bytes(8))
            file.flush()
            self._map = mmap.mmap(file.fileno(), 8)
        self._offset_ms = ctypes.c_int64.from_buffer(self._map)

    def advance(self, seconds):
        for daemon in self.daemons:
            assert daemon.follows_clock, f"{daemon.binary} cannot be moved in time: this scenario wants the test build"
        self._offset_ms.value += round(seconds * 1000)

    def wall(self):
        """Seconds since 1970, as the daemons see it."""
        return time.time() + self.offset_s()

    def offset_s(self):
        return self._offset_ms.value / 1000

    def monotonic(self):
        return time.monotonic() + self.offset_s()

    def watch(self):
        return Watch(self)

    def close(self):
        del self._offset_ms             # the mapping cannot be closed while it is pointed into
        self._map.close()
