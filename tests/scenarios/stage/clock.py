"""The clock: moves the time of every daemon on this stage, wall and monotonic alike.

The test build adds the eight bytes of a shared file to what the kernel says. They are written in one store; a daemon reads
them at the beginning of its next turn, so a request sent after advance() returns is served in the new time. What its
timers do follows within some 20 ms: wait for that with wait_until.
"""

import ctypes
import mmap
import time


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
        return time.time() + self._offset_ms.value / 1000

    def close(self):
        del self._offset_ms             # the mapping cannot be closed while it is pointed into
        self._map.close()
