"""A program of the cast: started for one scenario, watched, and gone with it, even if the test run is killed."""

import contextlib
import os
import signal
import subprocess

from stage.waiting import USUAL_S, patiently, wait_until

PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024
TICKS = os.sysconf("SC_CLK_TCK")


def thread_states(pid):
    """Of each thread of the process that is still there: they are stopped one after the other, and may end meanwhile."""
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/task/{task}/stat") as file:
            yield file.read().rpartition(")")[2].split()[0]


class Process:
    def __init__(self, name, command, log_path, env=None, cwd=None):
        self.name, self.command, self.log_path = name, [str(word) for word in command], log_path
        self.ended_by_test = False
        with open(log_path, "ab") as log:
            self.child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *self.command], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log, env=env, cwd=cwd)
        self.pid = self.child.pid

    @property
    def is_running(self):
        return self.child.poll() is None

    @property
    def exit_code(self):
        return self.child.poll()

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        """As a crash or the kernel's killer would."""
        self.ended_by_test = True
        self.child.kill()
        self.child.wait(patiently(USUAL_S))

    def pause(self):
        self.signal(signal.SIGSTOP)
        wait_until(lambda: set(thread_states(self.pid)) == {"T"}, f"{self.name} to stand still")

    def resume(self):
        self.signal(signal.SIGCONT)

    def wait_exit(self, timeout=USUAL_S):
        self.ended_by_test = True
        try:
            return self.child.wait(patiently(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs {timeout} s after it was to end\n{self.tail()}") from None

    def log(self):
        with open(self.log_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])

    def _stat(self):
        with open(f"/proc/{self.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()

    def rss_kib(self):
        return int(self._stat()[21]) * PAGE_KIB

    def cpu_s(self):
        user, system = self._stat()[11:13]
        return (int(user) + int(system)) / TICKS

    def thread_count(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def maps(self, path):
        with open(f"/proc/{self.pid}/maps") as file:
            return any(line.rstrip().endswith(path) for line in file)
