"""HAProxy by a configuration of the scenario's: there once it serves, not when its files are."""

import socket

from stage.peers import tool
from stage.process import Process
from stage.waiting import USUAL_S, patiently, wait_until


class Haproxy:
    def __init__(self, directory, text):
        """What stands above the text is written by us."""
        self.directory, self.control = directory, directory / "haproxy.ctl"
        self.conf = directory / "haproxy.cfg"
        self.conf.write_text(f"global\n    stats socket {self.control}\n{text}")
        self.start()

    def start(self):
        self.control.unlink(missing_ok=True)
        self.process = Process("haproxy", [tool("haproxy", "haproxy"), "-db", "-f", self.conf], self.directory / "haproxy.log")
        wait_until(self._serves, lambda: f"haproxy to serve\n{self.process.tail()}")

    def _serves(self):
        """It answers when all that it listens on is open."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(patiently(USUAL_S))
            try:
                sock.connect(str(self.control))
                sock.sendall(b"show info\n")
                return sock.recv(1000) != b""
            except OSError:
                return False

    def kill(self):
        self.process.kill()
