"""git over smart HTTP: git-http-backend behind a real web server behind Forebay."""

import os
import random
import re

import pytest

from stage.daemon import ROOT
from stage.peers import run
from stage.site import Site

ADA = {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER") for what, text in (("NAME", "Ada"), ("EMAIL", "ada@site.test"))}
QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0",
         "NO_PROXY": "*", "no_proxy": "*", **ADA}


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.close()


def git(*words, cwd=None, **env):
    return run("git", *words, cwd=cwd, env={**QUIET, **env}).expect()


def commit(path, name, data, message="more"):
    (path / name).write_bytes(data)
    git("add", name, cwd=path)
    git("commit", "-q", "-m", message, cwd=path)
    return git("rev-parse", "HEAD", cwd=path).out.strip()


def head_of(path):
    return git("rev-parse", "HEAD", cwd=path).out.strip()


@pytest.fixture
def seeded(site, tmp_path):
    """A bare repository shop.git with the source of the sample shop and some history."""
    bare, work = site.repository("shop.git"), tmp_path / "seed"
    git("clone", "-q", bare, work)
    for path in sorted((ROOT / "sample").rglob("*.*")):
        if path.is_file() and "__pycache__" not in str(path):
            commit(work, path.name, path.read_bytes(), f"add {path.name}")
    commit(work, "noise", random.Random(1).randbytes(3_000_000))
    git("push", "-q", "origin", "HEAD:main", cwd=work)
    return bare


@pytest.mark.smoke
@pytest.mark.parametrize("version", [0, 2])
def test_a_repository_is_cloned_changed_and_pushed(site, seeded, forebay, tmp_path, version):
    w1 = forebay(app=site)
    url, mine, theirs = f"http://{w1}/git/shop.git", tmp_path / "mine", tmp_path / "theirs"
    protocol = ("-c", f"protocol.version={version}")

    git(*protocol, "clone", "-q", url, mine)
    git(*protocol, "clone", "-q", "--depth", 1, url, theirs)
    assert head_of(mine) == head_of(theirs) == head_of(seeded)
    git("fsck", "--strict", cwd=mine)

    tip = commit(mine, "news", b"spring flood\n")
    git(*protocol, "push", "-q", "origin", "HEAD:main", cwd=mine)
    assert head_of(seeded) == tip
    git(*protocol, "pull", "-q", cwd=theirs)                    # and nobody is told of yesterday
    assert head_of(theirs) == tip and (theirs / "news").read_text() == "spring flood\n"


def test_a_push_too_large_for_one_buffer_goes_out_in_chunks(site, seeded, forebay, tmp_path):
    w1 = forebay(app=site)
    mine, trace = tmp_path / "mine", tmp_path / "trace"
    git("clone", "-q", f"http://{w1}/git/shop.git", mine)
    tip = commit(mine, "film", os.urandom(20_000_000))          # http.postBuffer is 1 MiB

    git("push", "-q", "origin", "HEAD:main", cwd=mine, GIT_TRACE_CURL=trace, GIT_TRACE_CURL_NO_DATA="1")
    assert re.search(r"Send header: Transfer-Encoding: chunked", trace.read_text())
    assert head_of(seeded) == tip
    git("fsck", "--strict", cwd=seeded)


def test_a_long_list_of_what_is_there_travels_in_gzip(site, seeded, forebay, tmp_path):
    w1 = forebay(app=site)
    mine, seed, trace = tmp_path / "mine", tmp_path / "seed", tmp_path / "trace"
    git("clone", "-q", f"http://{w1}/git/shop.git", mine)
    for n in range(64):
        git("commit", "-q", "--allow-empty", "-m", f"mine {n}", cwd=mine,
            GIT_COMMITTER_DATE=f"{1900000000 + n} +0000")       # newer than what both have: git offers these first
    tip = commit(seed, "news", b"spring flood\n")
    git("push", "-q", "origin", "HEAD:main", cwd=seed)

    git("-c", "protocol.version=0", "fetch", "-q", cwd=mine, GIT_TRACE_CURL=trace, GIT_TRACE_CURL_NO_DATA="1")
    assert re.search(r"(?i)Send header: Content-Encoding: gzip", trace.read_text())
    assert git("rev-parse", "origin/main", cwd=mine).out.strip() == tip


def test_what_is_not_there_is_told_to_git(site, forebay, tmp_path):
    w1 = forebay(app=site)
    done = run("git", "clone", "-q", f"http://{w1}/git/nothing.git", tmp_path / "mine", env=QUIET)
    assert done.code == 128 and re.search(r"not found", done.err), done.err
