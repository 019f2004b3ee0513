"""Where it listens: IPv4, IPv6, unix sockets; and what it says when it cannot."""

import os
import re
import socket
import stat

import pytest

from stage.client import Client
from stage.waiting import ports

pytestmark = pytest.mark.smoke
FIXED = "routes: [{match: /**, respond: {body: here}}]\n"


def fails(daemon, code=1):
    """Starts what cannot start, and returns what it said."""
    with pytest.raises(AssertionError):
        daemon.start()
    assert daemon.process.exit_code == code, daemon.process.tail()
    return daemon.process.log()


def test_ipv4_ipv6_and_unix_at_once(forebay):
    w1 = forebay("listen: ['127.0.0.1:@PORT@', '[::1]:@PORT@', 'unix:@DIR@/forebay.sock', {address: '127.0.0.2:@PORT@'}]\n" + FIXED)
    for address in (w1.address, f"[::1]:{w1.port()}", f"unix:{w1.directory}/forebay.sock", f"127.0.0.2:{w1.port()}"):
        with Client(address) as c1:
            c1.get("/").expect(200, "here")


def test_a_port_alone_is_every_address_of_the_machine(forebay):
    w1 = forebay("listen: ':@PORT@'\n" + FIXED)
    for address in (w1.address, f"[::1]:{w1.port()}", f"127.0.0.7:{w1.port()}"):
        with Client(address) as c1:
            c1.get("/").expect(200, "here")
    assert sorted(line["client"] for line in w1.access(3)) == ["127.0.0.1", "127.0.0.1", "::1"]


def test_a_unix_socket_is_there_while_it_runs_and_gone_when_it_has_stopped(forebay):
    w1 = forebay("listen: ['127.0.0.1:@PORT@', 'unix:@DIR@/forebay.sock']\n" + FIXED)
    path = w1.directory / "forebay.sock"
    assert stat.S_ISSOCK(path.stat().st_mode)
    w1.stop()
    assert not path.exists()


def test_a_unix_socket_left_by_a_crash_is_taken_over(forebay):
    w1 = forebay("listen: ['127.0.0.1:@PORT@', 'unix:@DIR@/forebay.sock']\n" + FIXED)
    w1.kill()
    assert (w1.directory / "forebay.sock").exists()
    w1.start()
    with Client(f"unix:{w1.directory}/forebay.sock") as c1:
        c1.get("/").expect(200, "here")


def test_a_file_that_is_no_socket_is_never_removed(forebay):
    w1 = forebay("listen: ['127.0.0.1:@PORT@', 'unix:@DIR@/precious']\n" + FIXED, start=False)
    (w1.directory / "precious").write_text("data")
    said = fails(w1)
    assert "precious" in said and "no socket" in said and (w1.directory / "precious").read_text() == "data"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_taken_port_is_told_with_its_owner(forebay, host):
    port = ports.free()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as taker:
        taker.bind((host, port))
        taker.listen()
        address = f"[::1]:{port}" if ":" in host else f"127.0.0.1:{port}"
        said = fails(forebay(f"listen: '{address}'\n" + FIXED, start=False))
    assert re.search(rf"{re.escape(address)} is taken \(by pid {os.getpid()}, \S+\): stop it, or listen elsewhere", said), said


def test_a_taken_admin_port_is_told_too(forebay):
    with socket.create_server(("127.0.0.1", 0)) as taker:
        port = taker.getsockname()[1]
        w1 = forebay(f"admin: {{address: '127.0.0.1:{port}'}}\n" + FIXED, start=False)
        assert f"127.0.0.1:{port} is taken (by pid {os.getpid()}" in fails(w1)


def test_a_second_instance_on_the_same_port_says_that_the_first_runs(forebay):
    w1 = forebay(FIXED)
    w2 = forebay(f"listen: '{w1.address}'\n" + FIXED, start=False)
    said = fails(w2)
    assert f"{w1.address} is taken (by pid {w1.pid}, forebay" in said and "Forebay runs already" in said
    w1.get("/").expect(200, "here")


def test_a_second_instance_on_the_same_unix_socket_says_so(forebay):
    w1 = forebay("listen: ['127.0.0.1:@PORT@', 'unix:@DIR@/forebay.sock']\n" + FIXED)
    w2 = forebay(f"listen: 'unix:{w1.directory}/forebay.sock'\n" + FIXED, start=False)
    assert f"is taken (by pid {w1.pid}" in fails(w2)
    with Client(f"unix:{w1.directory}/forebay.sock") as c1:
        c1.get("/").expect(200, "here")


def test_killed_and_started_again_at_once_it_serves(forebay):
    w1 = forebay(FIXED)
    for _ in range(3):
        c1 = w1.client()
        c1.get("/").expect(200, "here")
        w1.kill()
        w1.start()
        w1.get("/").expect(200, "here")


def test_an_address_that_is_not_ours_is_told(forebay):
    said = fails(forebay("listen: '192.0.2.7:@PORT@'\n" + FIXED, start=False))
    assert "192.0.2.7" in said and "no such address" in said


def test_the_limit_on_open_files_is_raised_and_told(forebay):
    w1 = forebay(FIXED)
    soft, hard = open(f"/proc/{w1.pid}/limits").read().split("Max open files")[1].split()[:2]
    assert soft == hard or int(soft) >= 1 << 24
    w1.wait_log(r"open files: at most \d+")
