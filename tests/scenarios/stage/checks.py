"""Active checks by the clock of the stage: their interval is longer than any machine is slow, and a test says when the next ones are made.

    w1 = forebay({"upstreams": {"app": {..., "health": {**CHECKS, "path": "/health"}}}})
    rounds = Rounds(w1, clock)              # the first has been made
    origin.refuse()
    rounds.until(origin, up=False)          # as many as it takes
"""

from stage.waiting import wait_until

EVERY_S = 60
CHECKS = {"interval": f"{EVERY_S}s", "timeout": f"{EVERY_S}s", "fall": 2, "rise": 2}
MOST = 5


class Rounds:
    def __init__(self, daemon, clock):
        self.daemon, self.clock = daemon, clock
        self._wait_more_than({})

    def made(self):
        """How many checks of each server have ended, whatever they found."""
        return {labels["server"]: value for name, labels, value in self.daemon.metrics().samples if name == "forebay_upstream_checks_total"}

    def _wait_more_than(self, before):
        """Until none is under way: time may go on."""
        def are_over():
            made = self.made()
            return made and all(value > before.get(server, 0) for server, value in made.items())
        wait_until(are_over, lambda: f"one more check of each server than {before}: {self.made()}")

    def next(self):
        """One more check of each server; what it found is in force."""
        before = self.made()
        self.clock.advance(EVERY_S)
        self._wait_more_than(before)

    def until(self, *servers, up):
        """Until checks have found these servers to be up, or not."""
        for _ in range(MOST):
            if all(self.daemon.metric("forebay_upstream_up", server=str(server)) == up for server in servers):
                return
            self.next()
        names = ", ".join(map(str, servers))
        raise AssertionError(f"{MOST} rounds of checks, and {names}: not {'up' if up else 'down'}\n{self.daemon.process.tail()}")
