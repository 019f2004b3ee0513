#!/usr/bin/python3
"""The checker is checked: broken.py [NAME...] builds Forebay with one fault each that the proof in docs/invalidation.md rules out, and
has the checker find it within 2,000 rounds. SEED begins the first run; a fault that was not found with three seeds fails."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROUNDS, SEEDS = 2000, 3

# name: mode, and in which file what is put instead of what
FAULTS = {
    "no position at the beginning of a fetch": ("eventual", [
        ("src/server/fill_response.c", ".log_pos = f->log_pos,", ".log_pos = purgelog_head(f->worker->commons->purges),")]),
    "no replay after a lost connection": ("strict", [
        ("src/cache/clerk_follow.c", "static void follow_read(struct clerk *c);", "static void follow_read(struct clerk *c);\nstatic bool is_replay;"),
        ("src/cache/clerk_follow.c", "\tapply(c, &e);\n", '\tif (is_replay)\n\t\te.purge = (struct purge){.kind = PURGE_TAG, .what = SLICE_LIT("-")};\n\tapply(c, &e);\n'),
        ("src/cache/clerk_follow.c", "\tfollow_read(c);\n\tif (c->me.applied != before)", "\tis_replay = false;\n\tfollow_read(c);\n\tif (c->me.applied != before)"),
        ("src/cache/clerk_follow.c", "\tfollow_read(arg);\n", "\tis_replay = true;\n\tfollow_read(arg);\n")]),
    "a lease counted from its answer's time": ("strict", [
        ("src/cache/clerk_talk.c", "sharedlog_grant(c->log, c->renew_sent_ms, last)", "sharedlog_grant(c->log, clock_mono_ms(), last)")]),
}


def build(changes, directory):
    for name in ("src", "scripts", "Makefile"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, directory / name)
    for name, old, new in changes:
        file = directory / name
        text = file.read_text()
        if text.count(old) != 1:
            sys.exit(f"broken.py: {name} has {text.count(old)} times {old!r}: this fault must be made anew")
        file.write_text(text.replace(old, new))
    subprocess.run(["make", "-s", "-j2", "all"], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return directory / "build/forebay"


def is_found(name, mode, binary, seed):
    done = subprocess.run([sys.executable, HERE / "checker.py", "--binary", binary, "--mode", mode, "--rounds", str(ROUNDS), "--seed", str(seed), "--calm", "0.3"],
                          capture_output=True, text=True)
    wrong = [line for line in done.stdout.splitlines() if "WRONG" in line]
    if done.returncode == 1 and wrong:
        rounds = [line for line in done.stdout.splitlines() if "rounds" in line][-1].split("'rounds': ")[1].split(",")[0]
        print(f"{name}: found in round {rounds}, seed {seed}", flush=True)
        return True
    print(f"{name}: not found with seed {seed}\n{done.stdout[-300:]}{done.stderr[-300:]}", flush=True)
    return False


def main():
    seed, failed = int(os.environ.get("SEED", 1)), 0
    names = sys.argv[1:] or list(FAULTS)
    for name in names:
        mode, changes = FAULTS[name]
        with tempfile.TemporaryDirectory(prefix="forebay-broken-") as directory:
            binary = build(changes, Path(directory))
            failed += not any(is_found(name, mode, binary, seed + i) for i in range(SEEDS))
    print(f"{len(names) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
