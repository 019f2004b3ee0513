"""Bad starts and hard times: each with its clear outcome."""

import os
import re
import resource
import signal
import subprocess

import pytest

from stage.client import Client
from stage.daemon import binary
from stage.waiting import USUAL_S, patiently, stands_still, wait_until

FIXED = "routes: [{match: /**, respond: {body: here}}]\n"


def fails(daemon):
    """Starts what cannot start, and returns what it said."""
    with pytest.raises(AssertionError):
        daemon.start()
    assert daemon.process.exit_code == 1, daemon.process.tail()
    return daemon.process.log()


def unreadable(path, text):
    """Root reads everything: a directory in its place cannot be read by anybody."""
    if os.geteuid() == 0:
        path.mkdir()
    else:
        path.write_text(text)
        path.chmod(0)
    return path




def https(cert, key):
    return f"listen: [{{address: '127.0.0.1:@PORT@', tls: {{certificates: [{{cert: '{cert}', key: '{key}'}}]}}}}]\n" + FIXED


def pem(directory):
    made = directory / "made"
    made.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a.test",
                    "-addext", "subjectAltName=DNS:a.test", "-keyout", made / "key.pem", "-out", made / "cert.pem"], check=True, capture_output=True)
    return made / "cert.pem", made / "key.pem"


def test_an_unreadable_certificate_is_told(forebay, tmp_path):
    cert = unreadable(tmp_path / "site.pem", "x")
    said = fails(forebay(https(cert, cert), start=False))
    assert str(cert) in said and re.search("Permission denied|Is a directory|directory", said), said


def test_a_missing_key_is_told(forebay, tmp_path):
    cert, key = pem(tmp_path)
    key.unlink()
    said = fails(forebay(https(cert, key), start=False))
    assert str(key) in said and "No such file" in said


def test_a_key_that_is_not_the_certificates_is_told(forebay, tmp_path):
    cert, _ = pem(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    _, key = pem(other)
    said = fails(forebay(https(cert, key), start=False))
    assert str(key) in said or str(cert) in said


def test_a_file_that_is_no_certificate_is_told(forebay, tmp_path):
    cert = tmp_path / "site.pem"
    cert.write_text("this is no PEM\n")
    said = fails(forebay(https(cert, cert), start=False))
    assert str(cert) in said


def test_an_unreadable_secret_is_told_with_its_place(forebay, tmp_path):
    token = unreadable(tmp_path / "token", "x")
    said = fails(forebay(f'admin: {{address: "127.0.0.1:@ADMIN@", token: "${{file:{token}}}"}}\n' + FIXED, start=False))
    assert str(token) in said and re.search(r"forebay\.yaml:\d+:\d+: error", said), said


def test_a_missing_secret_in_the_environment_is_told(forebay):
    said = fails(forebay('admin: {address: "127.0.0.1:@ADMIN@", token: "${NO_SUCH_SECRET}"}\n' + FIXED, start=False))
    assert "NO_SUCH_SECRET" in said and re.search(r"forebay\.yaml:\d+:\d+: error", said)


def test_a_wrong_configuration_starts_nothing(forebay):
    w1 = forebay("routes:\n  - match: /**\n    cahce: off\n", start=False)
    said = fails(w1)
    assert re.search(r"forebay\.yaml:\d+:5: error", said)
    with pytest.raises(ConnectionRefusedError):
        Client(w1.address).connect()


def test_a_missing_configuration_is_told(tmp_path):
    done = subprocess.run([binary(), "serve", "-c", tmp_path / "nowhere.yaml"], capture_output=True, text=True, timeout=patiently(USUAL_S))
    assert done.returncode == 1 and "nowhere.yaml" in done.stderr and "No such file" in done.stderr


def test_a_log_that_cannot_be_opened_is_told(forebay, tmp_path):
    said = fails(forebay(f"log: {{access: {{path: {tmp_path}/no/such/access.log}}}}\n" + FIXED, start=False))
    assert "no/such/access.log" in said and "No such file" in said


def test_a_full_disk_under_the_log_stops_nobody(forebay):
    w1 = forebay("log: {path: /dev/full, access: {path: /dev/full}}\n" + FIXED)
    for _ in range(20):
        w1.get("/").expect(200, "here")
    w1.signal(signal.SIGUSR1)
    w1.signal(signal.SIGHUP)
    w1.get("/").expect(200, "here")


def test_sigusr1_opens_both_logs_again(forebay):
    w1 = forebay("log: {path: '@DIR@/forebay.log', access: {path: '@DIR@/access.log', format: json}}\n" + FIXED)
    log = w1.directory / "forebay.log"
    wait_until(log.exists, "the log")
    w1.get("/").expect(200)
    w1.access(1)
    log.rename(w1.directory / "forebay.log.1")
    w1.access_path.rename(w1.directory / "access.log.1")
    w1.signal(signal.SIGUSR1)
    wait_until(lambda: log.exists() and "logs opened again" in log.read_text() and w1.access_path.exists(), "the new files")
    w1.get("/").expect(200)
    assert len(w1.access(1)) == 1


def test_when_descriptors_run_out_it_waits_and_goes_on(forebay, clock):
    w1 = forebay("limits: {connections: 10000}\n" + FIXED)
    w1.get("/").expect(200)
    resource.prlimit(w1.pid, resource.RLIMIT_NOFILE, (w1.fd_count() + 10, 4096))
    held = [w1.client().connect() for _ in range(40)]
    w1.wait_log("accept: Too many open files")

    def told():
        return len(re.findall("Too many open files", w1.log))
    for _ in range(5):                          # it tries again and again
        clock.advance(1)
        stands_still(told)
    assert told() <= 4                          # each worker tells it once, and again when it got one meanwhile
    for c in held[5:]:
        c.close()
    for c in held[:5]:                          # wherever they waited
        c.get("/").expect(200, "here")
        c.close()
    with Client(w1.address) as c1:
        c1.get("/").expect(200, "here")


def test_few_descriptors_are_told_at_the_start(forebay):
    code = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512)); os.execv(sys.argv[1], sys.argv[1:])"
    w1 = forebay(FIXED, start=False)
    done = subprocess.Popen(["/usr/bin/python3", "-c", code, binary(), "serve", "-c", w1.config_path], stderr=subprocess.PIPE, text=True, env=w1.env)
    line = done.stderr.readline()
    done.terminate()
    done.communicate(timeout=patiently(USUAL_S))
    assert "open files: at most 512" in line and "LimitNOFILE" in line


def test_more_connections_than_descriptors_are_told_at_the_start(forebay):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    w1 = forebay("limits: {connections: %d}\n" % min(hard, 10000000) + FIXED)
    w1.wait_log(r"more open files than there may be: enough for \d+\n")
    w1.wait_log("raise LimitNOFILE= in the unit")
    w1.get("/").expect(200)
    w2 = forebay("limits: {connections: %d}\n" % min(hard // 4, 10000000) + FIXED)
    assert "more open files" not in w2.log


def test_an_origin_that_is_away_at_the_start_is_no_reason_not_to_start(origin, forebay):
    origin.on("/*").reply(200, "ok", cache_control="no-store")
    origin.refuse()
    w1 = forebay(app=origin)
    w1.get("/").expect(502)
    origin.accept()
    w1.get("/").expect(200, "ok")


@pytest.mark.parametrize("words", [["sevre"], []], ids=" ".join)
def test_a_misuse_is_told_with_the_usage(cli, words):
    done = cli(*words)
    assert done.returncode == 2 and "usage: forebay" in done.stderr


@pytest.mark.parametrize(
    "words, told",
    [
        ("serve --colour", "there is no option --colour"),
        ("serve x", 'unexpected "x"'),
        ("status --jsn", "there is no option --jsn: --json is meant?"),
        ("purge --tag", "--tag T: its value is missing"),
        ("drain a/b --json=1", "--json takes no value"),
        ("undrain a/b --force", "there is no option --force"),
    ],
)
def test_a_misuse_of_a_command_is_told_and_where_its_help_is(cli, words, told):
    done = cli(*words.split())
    name = words.split()[0]
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"forebay {name}: {told}\ntry: forebay {name} --help\n"


def test_every_command_explains_itself(cli):
    names = re.findall(r"^  (\w+) ", cli("--help").stdout, re.M)
    assert len(names) > 12
    for name in names:
        if name != "version":
            done = cli(name, "--help")
            assert done.returncode == 0 and done.stdout.startswith(f"usage: forebay {name}")
            assert max(map(len, done.stdout.splitlines())) <= 100


def test_help_and_version(cli):
    assert cli("--help").returncode == 0 and "serve" in cli("--help").stdout
    assert re.fullmatch(r"forebay \d+\.\d+\.\d+\n", cli("version").stdout)
    assert cli("serve", "--help").stdout.startswith("usage: forebay serve")
