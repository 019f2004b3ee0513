"""The image's own command serves, its own health check sees that, and SIGTERM ends it in order.

image_serves.py COMMAND HEALTH-CHECK, in a network of its own."""

import subprocess
import sys
import time
import urllib.error
import urllib.request

from loopback import raise_loopback


def wait_until_healthy(daemon, check):
    for _ in range(2000):
        assert daemon.poll() is None, f"it ended with {daemon.returncode}"
        done = subprocess.run(check, capture_output=True, text=True)
        if done.returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(f"{' '.join(check)} says {done.returncode}: {done.stdout}{done.stderr}")


def answer():
    try:
        return urllib.request.urlopen("http://127.0.0.1:8080/", timeout=60).status
    except urllib.error.HTTPError as refusal:
        return refusal.code


def main():
    command, check = (text.split() for text in sys.argv[1:])
    raise_loopback()
    before = subprocess.run(check, capture_output=True).returncode
    assert before != 0, "the health check is content though nothing runs"
    daemon = subprocess.Popen(command)
    try:
        wait_until_healthy(daemon, check)
        assert (status := answer()) == 502, f"{status}, though there is no application behind it"
        daemon.terminate()
        assert (code := daemon.wait(120)) == 0, f"SIGTERM ended it with {code}"
    finally:
        if daemon.poll() is None:
            daemon.kill()
    print("it serves, says that it is healthy, and stops when told")


if __name__ == "__main__":
    main()
