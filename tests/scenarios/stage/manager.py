"""A service manager, as far as Forebay talks to one: hears what it is told, and keeps descriptors from one process to the next."""

import array
import os
import socket
import threading
from pathlib import Path


class Manager:
    """env goes to each process; binary(real, directory) is a program that starts the real one as systemd would after a restart."""

    def __init__(self, directory):
        self.address = str(Path(directory) / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.env = {"NOTIFY_SOCKET": self.address}
        self.told, self.stored = [], {}
        self.takes = True                       # False: a manager whose store has no room
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(16))
            except OSError:
                return
            fds = array.array("i")
            for _, _, data in control:
                fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
            self._hear(dict(line.partition("=")[::2] for line in text.decode().splitlines()), list(fds))

    def _hear(self, message, fds):
        name = message.get("FDNAME")
        if "FDSTORE" in message and self.takes:
            self.stored[name] = fds.pop()
        if "FDSTOREREMOVE" in message and name in self.stored:
            os.close(self.stored.pop(name))
        for fd in fds:
            os.close(fd)                        # of a barrier: its other end sees that, and what it had said before is done
        self.told.append(message)

    def binary(self, real, directory):
        """The process opens the kept memory through /proc, which leaves no race with it being closed here."""
        path = Path(directory) / "started-by-manager"
        opened = "".join(f"exec {3 + i}<>/proc/{os.getpid()}/fd/{fd}\n" for i, fd in enumerate(self.stored.values()))
        path.write_text(f"#!/bin/sh\n{opened}export LISTEN_PID=$$ LISTEN_FDS={len(self.stored)} LISTEN_FDNAMES={':'.join(self.stored)}\n"
                        f'exec {real} "$@"\n')
        path.chmod(0o755)
        return str(path)

    def close(self):
        self.socket.close()
        for fd in self.stored.values():
            os.close(fd)
        self.stored = {}
