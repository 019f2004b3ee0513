"""Everything that waits, waits here: for a condition, never for a while, and never without a bound."""

import os
import socket
import time

PATIENCE = float(os.environ.get("FOREBAY_TEST_PATIENCE", "1"))
USUAL_S = 30                            # what must come; it is there at once, but for a machine that has much else to do
POLL_S = 0.01


def patiently(seconds):
    """A bound of time, stretched where the machine is known to be slow."""
    return seconds * PATIENCE


def deadline_in(seconds):
    return time.monotonic() + patiently(seconds)


def left(deadline):
    return deadline - time.monotonic()


def wait_until(predicate, what, timeout=USUAL_S):
    """Polls until predicate() is true and returns what it said. Says what it waited for when it never came."""
    deadline = deadline_in(timeout)
    while True:
        answer = predicate()
        if answer:
            return answer
        if left(deadline) <= 0:
            raise AssertionError(f"waited {patiently(timeout):g} s in vain: {what() if callable(what) else what}")
        time.sleep(POLL_S)


def stands_still(count, turns=20):
    """Whether count() stays what it is while a daemon would have had many turns."""
    was = count()
    for _ in range(turns):
        time.sleep(POLL_S)
        if count() != was:
            return False
    return True


class Ports:
    """TCP ports nobody else on this machine will pick until they are given back.

    They lie below the ephemeral range, so that no outgoing connection takes one, and each is claimed by a name in the
    abstract socket name space, which the kernel gives back when the process ends, however it ends.
    """

    FIRST, LAST = 20000, 31999

    def __init__(self):
        self._claims = []
        self._next = self.FIRST + os.getpid() * 37 % (self.LAST - self.FIRST)

    def free(self):
        for _ in range(self.LAST - self.FIRST):
            port = self._next
            self._next = port + 1 if port < self.LAST else self.FIRST
            claim = self._claim(port)
            if claim is None:
                continue
            self._claims.append(claim)
            return port
        raise AssertionError("no free port on this machine")

    def give_back(self):
        """All of them, at the end of a scenario: several runs at once have enough. They are not the next to be picked."""
        while self._claims:
            self._claims.pop().close()

    def _claim(self, port):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0forebay-tests-port-{port}")
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((host, port))
            return claim
        except OSError:
            claim.close()
            return None


ports = Ports()
