"""What the unit forbids, the daemon can do without.

Serves, purges into its journal because its Redis is away, reloads and stops under strace with memory that is never both written
and executed; then every system call it made must be one that the unit's SystemCallFilter lets pass."""

import ctypes
import http.server
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/scenarios"))
from stage.waiting import ports  # noqa: E402

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
CONFIGURATION = """
listen: "127.0.0.1:{port}"
admin: {{address: "127.0.0.1:{admin}"}}
log: {{access: {{path: "{directory}/access.log"}}}}
upstreams: {{app: "127.0.0.1:{origin}"}}
cache: {{redis: {{url: "redis://127.0.0.1:{redis}/0"}}}}
routes:
  - match: PUT /page
    purge: {{urls: [/page]}}
  - match: {{path_regex: "^/a[0-9]+$"}}
    respond: {{status: 204}}
  - match: /**
"""


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Cache-Control", "max-age=60")
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"a page" * 833 + b"..")

    def do_PUT(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


def refuse_executable_memory():
    # Kernels before 6.3 do not know it: there only the system calls are looked at.
    ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


def members(name):
    """The system calls of a set of systemd's, @name, and of the sets in it; a call's own name is itself."""
    if not name.startswith("@"):
        return {name}
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    words = [line.strip() for line in text.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(members, words))


def allowed():
    names = set()
    for rule in re.findall(r"^SystemCallFilter=(.*)", (ROOT / "systemd/forebay.service").read_text(), re.M):
        listed = set().union(*map(members, rule.lstrip("~").split()))
        names = names - listed if rule.startswith("~") else names | listed
    return names


def get(url, patience_s=60, method="GET"):
    until = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=patience_s) as answer:
                answer.read()
                return answer.status
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def child_of(pid):
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def play(directory):
    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    port, admin = ports.free(), ports.free()
    configuration = Path(directory, "forebay.yaml")
    configuration.write_text(CONFIGURATION.format(port=port, admin=admin, origin=origin.server_port, redis=ports.free(),
                                                  directory=directory))
    log = Path(directory, "strace")
    strace = subprocess.Popen(["strace", "-f", "-qq", "-o", log, ROOT / "build/forebay", "serve", "-c", configuration],
                              env={**os.environ, "STATE_DIRECTORY": directory}, preexec_fn=refuse_executable_memory)
    try:
        assert get(f"http://127.0.0.1:{port}/a12") == 204, "the regular expression does not match when it is interpreted"
        for target in ("/page", "/page"):
            assert get(f"http://127.0.0.1:{port}{target}") == 200
        assert get(f"http://127.0.0.1:{port}/page", method="PUT") == 204
        assert Path(directory, "purges.journal").stat().st_size > 0, "the purge is not in the journal"
        get(f"http://127.0.0.1:{admin}/health")
        get(f"http://127.0.0.1:{admin}/metrics")
        daemon = child_of(strace.pid)
        for number in (signal.SIGHUP, signal.SIGUSR1):
            os.kill(daemon, number)
            get(f"http://127.0.0.1:{port}/page")
        os.kill(daemon, signal.SIGTERM)
        assert strace.wait(300) == 0, f"it ended with {strace.returncode}"
    finally:
        if strace.poll() is None:
            os.kill(child_of(strace.pid), signal.SIGKILL)
            strace.wait()
    return set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", log.read_text(), re.M)) - {"resumed"}


def main():
    with tempfile.TemporaryDirectory() as directory:
        used = play(directory)
    refused = used - allowed()
    assert len(used) > 30, f"too few system calls to believe: {sorted(used)}"
    assert not refused, f"the unit forbids {', '.join(sorted(refused))}"
    print(f"{len(used)} system calls, all allowed by the unit")


if __name__ == "__main__":
    sys.exit(main())
