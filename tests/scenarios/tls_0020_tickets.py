"""Sessions are resumed by tickets: on any worker, after a reload, and by other instances that have the same keys."""

import os
import re

import pytest

from stage.peers import run

ROTATIONS = "forebay_tls_ticket_rotations_total"
KEYS = "listen: [{{address: '127.0.0.1:@PORT@', tls: {{certificates: [{{cert: '{0.cert}', key: '{0.key}'}}]{1}}}}}]\n"


def new_key():
    return run("openssl", "rand", "-base64", "80").out.replace("\n", "") + "\n"


def write(path, text):
    """At once, and for its owner alone."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.chmod(0o600)
    os.replace(beside, path)


class Visitor:
    """A client that keeps its session in a file."""

    def __init__(self, directory, version):
        self.session, self.version = directory / f"session{version}", version

    def visits(self, forebay):
        """Whether it was recognised."""
        known = ("-sess_in", self.session) if self.session.exists() else ()
        done = run("openssl", "s_client", "-connect", str(forebay), self.version, *known, "-sess_out", self.session, "-ign_eof",
                   feed="GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert "HTTP/1.1 200" in done.out, done.err
        return re.search(r"^(New|Reused), TLS", done.out, re.M)[1] == "Reused"


@pytest.fixture(params=["-tls1_3", "-tls1_2"])
def visitor(request, tmp_path):
    return Visitor(tmp_path, request.param)


@pytest.fixture
def site(origin, forebay, certs):
    origin.on("GET /").reply(200, "home", cache_control="max-age=60")

    def open_(keys=None, **how):
        return forebay(KEYS.format(certs.certificate("localhost"), f", ticket_keys: '{keys}'" if keys else ""), app=origin, **how)
    return open_


@pytest.mark.smoke
def test_any_worker_knows_a_visitor_again_also_after_a_reload(site, visitor):
    w1 = site()
    assert not visitor.visits(w1)
    assert all(visitor.visits(w1) for _ in range(8))
    w1.reload()
    assert visitor.visits(w1)
    w1.wait_metric("forebay_tls_handshakes_total", 9, result="resumed")


def test_own_keys_change_each_hour_and_open_what_is_still_good(site, visitor, clock):
    w1 = site()
    visitor.visits(w1)
    clock.advance(3700)
    w1.wait_metric(ROTATIONS, 1, result="renewed")
    assert visitor.visits(w1)
    clock.advance(3700)
    w1.wait_metric(ROTATIONS, 2, result="renewed")
    assert visitor.visits(w1)
    for n in (3, 4, 5):
        clock.advance(3700)
        w1.wait_metric(ROTATIONS, n, result="renewed")
    assert not visitor.visits(w1)


def test_instances_with_one_file_know_each_others_visitors(site, visitor, tmp_path):
    keys = tmp_path / "tickets"
    write(keys, "# shared\n\n" + new_key())
    w1, w2, w3 = site(keys), site(keys), site()
    assert not visitor.visits(w1)
    assert visitor.visits(w2)
    assert not visitor.visits(w3)


def test_a_new_file_changes_the_keys_and_old_ones_open_for_a_while(site, visitor, tmp_path, clock):
    keys, old, new = tmp_path / "tickets", new_key(), new_key()
    write(keys, old)
    w1, w2 = site(keys), site(keys)
    visitor.visits(w1)
    write(keys, new)
    for member in (w1, w2):
        member.wait_metric(ROTATIONS, 1, result="renewed")
    assert visitor.visits(w1) and visitor.visits(w2)
    visitor.session.unlink()
    assert not visitor.visits(w1)
    w3 = site(keys)                                     # never had the old
    assert visitor.visits(w3)


def test_a_bad_file_leaves_the_keys_as_they_are(site, visitor, tmp_path):
    keys = tmp_path / "tickets"
    write(keys, new_key())
    w1 = site(keys)
    visitor.visits(w1)
    write(keys, new_key() + "c2hvcnQ=\n")
    w1.wait_metric(ROTATIONS, 1, result="failed")
    w1.wait_log(r"tickets:2: expected a key of 80 bytes in base64, .* there are 8; the ticket keys in use are kept")
    assert visitor.visits(w1)


@pytest.mark.parametrize("text, says", [
    ("", r"tickets: no key in it"), ("x\n", r"tickets:1: expected a key of 80 bytes"), (None, r"tickets: No such file"),
    ("key\n" * 17, r"tickets:17: more than 16 keys"),
])
def test_it_does_not_begin_with_a_bad_file(site, tmp_path, text, says):
    keys = tmp_path / "tickets"
    if text is not None:
        write(keys, text.replace("key\n", new_key()))
    w1 = site(keys, start=False)
    with pytest.raises(AssertionError, match=says):
        w1.start()
