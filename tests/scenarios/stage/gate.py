"""A gate in a script: who comes to it waits until the test opens it. Order comes from here, never from delays."""

import threading

from stage.waiting import USUAL_S, patiently, wait_until

LONGEST_S = 60


class Gate:
    def __init__(self, is_open=False):
        self._open = threading.Event()          # for those who come from now on
        self._lock = threading.Lock()
        self.arrived = 0
        if is_open:
            self._open.set()

    def hold(self):
        """Who has come and was let go goes, even if he has not taken a step yet."""
        with self._lock:
            if self._open.is_set():
                self._open = threading.Event()

    def release(self):
        with self._lock:
            self._open.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    def pass_through(self):
        """Called by the one who waits."""
        with self._lock:
            self.arrived += 1
            opened = self._open
        opened.wait(patiently(LONGEST_S))

    def wait_arrived(self, n=1, timeout=USUAL_S):
        """Until n have come here, waiting or gone through."""
        wait_until(lambda: self.arrived >= n, lambda: f"{n} at the gate, {self.arrived} came", timeout)
        return self
