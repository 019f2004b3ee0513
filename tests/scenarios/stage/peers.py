"""Other people's programs, run to their end within a bound: curl, git, apt, npm, node, chromium.

What is not installed is fetched once, from Debian or npm, into a directory all runs share (FOREBAY_TEST_CACHE), under a lock.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from stage.waiting import patiently

CACHE = Path(os.environ.get("FOREBAY_TEST_CACHE") or Path.home() / ".cache" / "forebay-tests")


class Done:
    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    def expect(self, code=0):
        assert self.code == code, f"{self.command} ended with {self.code}, not {code}\n{self.out[-4000:]}\n{self.err[-4000:]}"
        return self

    def __str__(self):
        return self.out


def run(*command, timeout=90, env=None, cwd=None, feed=None):
    """Runs a program and everything it starts; all of it is killed when the time is over."""
    command = [str(word) for word in command]
    child = subprocess.Popen(command, env={**os.environ, **(env or {})}, cwd=cwd, text=True, errors="replace",
                             stdin=subprocess.PIPE if feed is not None else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        out, err = child.communicate(feed, patiently(timeout))
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        raise AssertionError(f"{command} not done after {timeout} s\n{out[-2000:]}\n{err[-2000:]}") from None
    except BaseException:               # the scenario's own time is over
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    return Done(command, child.returncode, out, err)


def curl(*words, **how):
    return run(tool("curl", "curl"), "--silent", "--show-error", "--noproxy", "*", *words, **how)


def tool(program, package):
    """The path of a program, from this machine or else from its Debian package unpacked into the cache."""
    if path := shutil.which(program):
        return path
    root = CACHE / "debian" / package
    _once(root, lambda root: _unpack_debian(package, root))
    for directory in ("usr/bin", "usr/sbin", "usr/lib/" + package, "bin"):
        if (root / directory / program).exists():
            return str(root / directory / program)
    raise AssertionError(f"{program} is not in Debian's {package}")


def _unpack_debian(package, root):
    archives = root / "archives"
    (archives / "partial").mkdir(parents=True)
    run("apt-get", "install", "--download-only", "--no-install-recommends", "-y", "-o", f"Dir::Cache::archives={archives}",
        "-o", "Debug::NoLocking=1", package, timeout=300).expect()
    for archive in sorted(archives.glob("*.deb")):
        run("dpkg", "-x", archive, root, timeout=60).expect()
    shutil.rmtree(archives)


def npm(package, overrides=None):
    """A directory whose node_modules holds package ("name@version"); overrides as package.json has them."""
    root = CACHE / "npm" / re.sub(r"[^\w.@-]", "_", package)
    _once(root, lambda root: _install_npm(package, overrides or {}, root))
    return root


def _install_npm(package, overrides, root):
    (root / "package.json").write_text(json.dumps({"overrides": overrides}))
    run("npm", "install", "--no-audit", "--no-fund", "--prefix", root, package, timeout=300).expect()


def _once(root, fill):
    """Calls fill(root) once for all runs there ever are; what failed half-way is done again."""
    done = root.with_name(root.name + ".done")
    root.parent.mkdir(parents=True, exist_ok=True)
    with open(root.with_name(root.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.exists():
            return
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        fill(root)
        done.touch()
