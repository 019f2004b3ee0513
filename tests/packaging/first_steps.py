"""What somebody does first: `make run`, the same page twice, Ctrl-C. In a network of its own (unshare -n)."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from loopback import raise_loopback

ROOT = Path(__file__).resolve().parents[2]
PAGE = "http://127.0.0.1:8080/products/7"


def cache_status():
    with urllib.request.urlopen(PAGE, timeout=60) as answer:
        answer.read()
        return answer.headers["X-Cache-Status"]


def first_answer(make):
    for _ in range(2400):
        assert make.poll() is None, f"make run ended with {make.returncode}"
        try:
            return cache_status()
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{PAGE} does not answer")


def main():
    raise_loopback()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs this in the background has it ignored
    make = subprocess.Popen(["make", "-s", "run"], cwd=ROOT, start_new_session=True)
    try:
        seen = [first_answer(make), cache_status()]
        assert seen == ["MISS", "HIT"], seen
        os.killpg(make.pid, signal.SIGINT)                  # as the terminal does
        make.wait(300)
    finally:
        if make.poll() is None:
            os.killpg(make.pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while (left := [pid for pid in os.listdir("/proc") if pid.isdigit() and is_ours(pid)]) and time.monotonic() < end:
        time.sleep(0.05)                                    # it has been told, and is on its way out
    assert not left, f"still running: {left}"
    print("MISS, then HIT, and nothing is left behind")


def is_ours(pid):
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return os.readlink(f"/proc/{pid}/root") == os.readlink("/proc/self/root") and \
            os.stat(f"/proc/{pid}/ns/net").st_ino == os.stat("/proc/self/ns/net").st_ino and \
            any(word.endswith((b"build/forebay", b"sample/app.py")) for word in command)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
