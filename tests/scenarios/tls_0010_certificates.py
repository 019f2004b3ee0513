"""Certificates: which one a client is shown, and what becomes of them when their files change."""

import os
import re
import shutil
import ssl
import subprocess
import threading

import pytest

from stage.peers import run, tool
from stage.waiting import patiently, wait_until

EXPIRY, RELOADS, SHAKEN = ("forebay_tls_certificate_expiry_seconds", "forebay_tls_certificate_reloads_total",
                           "forebay_tls_handshakes_total")


def listen(*pairs, more=""):
    """One door with those certificates, written by hand as certbot's paths would be."""
    certificates = ", ".join(f"{{cert: '{pair.cert}', key: '{pair.key}'}}" for pair in pairs)
    return f"listen: [{{address: '127.0.0.1:@PORT@', tls: {{certificates: [{certificates}]{more}}}}}]\n"


def s_client(w1, *words, feed=""):
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{w1.port()}", *words, feed=feed)


def shown(w1, name=None, *words):
    """The subject of the certificate that a client gets who asks for name."""
    asks = ("-servername", name) if name else ("-noservername",)
    return re.search(r"subject=CN = (\S+)", s_client(w1, *asks, *words).out)[1]


def renegotiates(w1):
    """What a client hears that asks for a new handshake, and stays until it has heard."""
    child = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{w1.port()}", "-tls1_2"], text=True, errors="replace",
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    late = threading.Timer(patiently(60), child.kill)
    late.start()
    try:
        child.stdin.write("R\n")
        child.stdin.flush()
        return child.stdout.read()
    finally:
        late.cancel()
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def serial(w1):
    out = s_client(w1, "-servername", "a.example").out
    return run("openssl", "x509", "-noout", "-serial", feed=out[out.index("-----BEGIN"):]).out


@pytest.fixture
def pair(certs, tmp_path):
    """A pair of a test's own, which it may spoil."""
    def make(*names, **how):
        made = certs.certificate(*names, **how)
        for attribute in ("cert", "key"):
            own = tmp_path / getattr(made, attribute).name
            shutil.copyfile(getattr(made, attribute), own)
            own.chmod(0o600)
            setattr(made, attribute, own)
        return made
    return make


def replace(old, new):
    """As tools do it that do it well: each file at once."""
    for attribute in ("cert", "key"):
        beside = getattr(old, attribute).with_suffix(".new")
        shutil.copyfile(getattr(new, attribute), beside)
        os.replace(beside, getattr(old, attribute))


def test_the_name_asked_for_decides_an_exact_one_before_a_wildcard(origin, forebay, pair):
    w1 = forebay(listen(pair("first.example"), pair("*.site.example"), pair("shop.site.example")), app=origin)
    assert shown(w1, "shop.site.example") == "shop.site.example"
    assert shown(w1, "SHOP.Site.example") == "shop.site.example"
    assert shown(w1, "blog.site.example") == "*.site.example"
    assert shown(w1, "a.blog.site.example") == "first.example"      # a wildcard is one label
    assert shown(w1, "unknown.example") == "first.example"
    assert shown(w1) == "first.example"


def test_ecdsa_and_rsa_stand_side_by_side(origin, forebay, pair, certs, tmp_path):
    ecdsa = pair("both.example", file="both-ecdsa")
    rsa = pair("both.example", file="both-rsa")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=both.example", "-addext",
        "subjectAltName=DNS:both.example", "-keyout", rsa.key, "-out", rsa.cert).expect()
    w1 = forebay(listen(ecdsa, rsa), app=origin)
    def kind(*words):
        return re.search(r"Peer signature type: (\S+)", s_client(w1, "-servername", "both.example", *words).out)[1]
    assert kind() == "ECDSA"
    assert kind("-sigalgs", "rsa_pss_rsae_sha256") == "RSA-PSS"
    assert kind("-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256") == "RSA-PSS"


def test_what_is_old_or_dangerous_is_not_spoken(origin, forebay, pair):
    origin.on("/*").reply(200)
    w1 = forebay(listen(pair("a.example")), app=origin)
    new = s_client(w1, "-brief").err
    assert "TLSv1.3" in new and "X25519" in new
    assert "TLSv1.2" in s_client(w1, "-tls1_2", "-brief").err
    for old in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA"),
                ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256")):
        assert s_client(w1, *old).code != 0
    assert "Max Early Data: 0" in s_client(w1, "-ign_eof", feed="GET / HTTP/1.0\r\n\r\n").out
    again = renegotiates(w1)
    assert "RENEGOTIATING" in again and "no renegotiation" in again


def test_renewed_files_are_shown_without_a_reload(origin, forebay, pair):
    origin.on("/*").reply(200)
    old, new = pair("a.example"), pair("a.example", days=60, file="z-renewed")
    w1 = forebay(listen(old), app=origin)
    before = serial(w1)
    c1 = w1.client(tls=trusting(old), server_name="a.example")
    c1.get("/").expect()
    assert 29 * 86400 < w1.metric(EXPIRY, certificate=str(old.cert)) <= 30 * 86400
    replace(old, new)
    w1.wait_metric(RELOADS, 1, result="renewed")
    assert serial(w1) != before                 # whoever hears of it is shown it
    assert w1.metric(EXPIRY, certificate=str(old.cert)) > 59 * 86400
    assert w1.metric("forebay_config_generation") == 1
    c1.get("/").expect()
    assert c1.connections == 1                  # who was there stays there


def trusting(pair):
    context = ssl.create_default_context(cafile=str(pair.cert))
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize("spoil, says", [
    (lambda old, new: old.cert.write_bytes(new.cert.read_bytes()), "this private key does not belong to the certificate"),
    (lambda old, new: old.cert.write_bytes(old.cert.read_bytes()[:300]), "bad certificate|no certificate in it"),
    (lambda old, new: old.key.write_text(""), "not PEM, or no private key in it"),
    (lambda old, new: old.key.unlink(), "No such file or directory"),
], ids=["of another", "half a certificate", "an empty key", "no key"])
def test_a_bad_pair_never_takes_the_place_of_a_good_one(origin, forebay, pair, spoil, says):
    old, new = pair("a.example"), pair("a.example", file="z-renewed")
    w1 = forebay(listen(old), app=origin)
    before = serial(w1)
    spoil(old, new)
    w1.wait_metric(RELOADS, lambda n: n >= 1, result="failed")      # more where a file was seen half written
    w1.wait_log(rf"listen \S+: .*({says}).*the certificates in use are kept")
    assert serial(w1) == before
    replace(old, new)
    w1.wait_metric(RELOADS, 1, result="renewed")
    assert serial(w1) != before


def test_a_certificate_that_has_run_out_takes_nobodys_place(origin, forebay, pair, certs, clock):
    old, new = pair("a.example"), pair("a.example", days=1, file="z-short")
    w1 = forebay(listen(old), app=origin)
    before = serial(w1)
    clock.advance(2 * 86400)
    replace(old, new)
    w1.wait_log("the certificate has run out already; the certificates in use are kept")
    assert serial(w1) == before


class Crowd:
    """Who asks over and over until told to stop: each of `asks` by a thread of its own, giving how many answers it got."""

    def __init__(self, *asks):
        self.failures, self.over = [], threading.Event()
        self.asked = [0] * len(asks)
        self.members = [threading.Thread(target=self._go_on, args=(n, ask)) for n, ask in enumerate(asks)]

    def _go_on(self, n, ask):
        while not self.over.is_set():
            try:
                self.asked[n] += ask()
            except BaseException as problem:        # any is one too many
                self.failures.append(problem)

    def __enter__(self):
        for member in self.members:
            member.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for member in self.members:
            member.join()

    def wait_more(self):
        """Until each of them has asked again, from beginning to end."""
        for _ in range(2):
            before = list(self.asked)
            wait_until(lambda: self.failures or all(now > then for now, then in zip(self.asked, before)), "everybody to ask again", 60)


@pytest.mark.tsan
@pytest.mark.patience(300)
def test_no_request_is_lost_while_certificates_change_under_load(origin, forebay, pair):
    """By HTTP/1 and HTTP/2, on connections that stay and on new ones, over three changes and a reload."""
    origin.on("GET /news").reply(200, "spring flood", cache_control="max-age=600")
    old, others = pair("a.example"), [pair("a.example", file=f"{n}-renewed") for n in "uvw"]
    w1 = forebay(listen(old), app=origin)
    w1.client(tls=trusting(old), server_name="a.example").get("/news").expect(200)
    faithful = w1.client(tls=trusting(old), server_name="a.example")

    def by_http1():
        with w1.client(tls=trusting(old), server_name="a.example") as c1:
            for _ in range(3):
                c1.get("/news").expect(200, "spring flood")
        return 3

    def by_http2():
        out = run(tool("h2load", "nghttp2-client"), "-n", "200", "-c", "10", "-m", "5",
                  f"https://127.0.0.1:{w1.port()}/news").expect().out
        assert "Application protocol: h2" in out and "200 total, 200 started, 200 done, 200 succeeded, 0 failed, 0 errored, 0 timeout" in out, out
        assert "status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx" in out, out
        return 200

    def on_one_connection():
        faithful.get("/news").expect(200, "spring flood")
        return 1
    with Crowd(by_http1, by_http1, by_http2, on_one_connection) as crowd:
        for n, other in enumerate(others, 1):
            replace(old, other)
            w1.wait_metric(RELOADS, n, result="renewed", timeout=60)
            crowd.wait_more()
        w1.reload()
        crowd.wait_more()
    assert not crowd.failures and faithful.connections == 1
    assert w1.metric(SHAKEN, result="failed") == 0 and w1.metric(SHAKEN, result="done") > 50


def test_ready_tells_of_certificates_that_run_out_and_stays_ready(origin, forebay, pair):
    w1 = forebay(listen(pair("a.example", days=20), pair("b.example", days=5)), app=origin)
    ready = w1.admin("GET", "/health/ready").expect(200).json()
    assert ready["status"] == "degraded" and ready["checks"]["certificates"]["healthy"] is False
    assert re.search(r"1 of 2 certificates wait to be renewed; the first to run out, in (4 days 23|5 days 0) hours, is .*b\.example\.pem",
                     ready["checks"]["certificates"]["message"])
    w1.reload(listen(pair("a.example", days=20), more=", expiry_warning: 2d"))

    def is_well():
        ready = w1.admin("GET", "/health/ready").expect(200).json()
        return ready["status"] == "ok" and ready["checks"]["certificates"]["healthy"]
    wait_until(is_well, "readiness to tell of the new ones")


@pytest.mark.parametrize("break_it, says", [
    (lambda pair: pair.cert.unlink(), "No such file or directory"),
    (lambda pair: pair.key.write_text("none"), "not PEM, or no private key in it"),
])
def test_a_reload_with_a_bad_pair_changes_nothing(origin, forebay, pair, break_it, says):
    good, bad = pair("a.example"), pair("b.example")
    w1 = forebay(listen(good), app=origin)
    break_it(bad)
    w1.reload(listen(bad), says="the running configuration is kept")
    w1.wait_log(says)
    assert shown(w1, "b.example") == "a.example"


@pytest.mark.parametrize("break_it, place, says, hint", [
    (lambda a, b: a.cert.unlink(), "4:13", "cert: {0.cert}: No such file or directory", "expected a PEM file with the server's certificate"),
    (lambda a, b: a.key.write_text("none"), "5:12", "key: {0.key}: not PEM, or no private key in it", "expected a PEM file with the certificate's private key"),
    (lambda a, b: a.key.write_bytes(b.key.read_bytes()), "5:12", "key: {0.key}: this private key does not belong to the certificate {0.cert}",
     "these must print the same: openssl x509 -noout -pubkey"),
    (lambda a, b: run("openssl", "ec", "-in", b.key, "-out", a.key, "-aes128", "-passout", "pass:sesame").expect(), "5:12",
     "key: {0.key}: the private key has a pass phrase", "openssl pkey -in FILE -out NEW writes it without"),
    (lambda a, b: run("openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=a", "-keyout", a.key, "-out", a.cert).expect(),
     "4:13", "cert: {0.cert}: its key, RSA of 1024 bits, is too weak", "expected RSA of 2048 bits or more"),
    (lambda a, b: run("openssl", "x509", "-in", b.cert, "-outform", "der", "-out", a.cert).expect(), "4:13",
     "cert: {0.cert}: not PEM, or no certificate in it", "openssl x509 -inform der"),
], ids=["missing", "not PEM", "of another", "pass phrase", "weak", "DER"])
def test_what_is_wrong_with_a_pair_is_told_where_it_is_written(origin, forebay, cli, pair, break_it, place, says, hint):
    bad = pair("a.example")
    w1 = forebay(f"listen:\n- address: '127.0.0.1:@PORT@'\n  tls:\n    - cert: {bad.cert}\n      key: {bad.key}\n", app=origin, start=False)
    break_it(bad, pair("b.example"))
    with pytest.raises(AssertionError) as told:
        w1.start()
    said = str(told.value)
    line = int(place[0]) + w1.config_path.read_text().partition("listen:")[0].count("\n")
    assert f"forebay.yaml:{line}:{place[2:]}: error: {says.format(bad)}" in said and hint in said
    for words in ([], ["--elsewhere"]):
        weight = "warning" if words and "No such file" in says else "error"
        done = cli("check", *words, "-c", w1.config_path)
        assert f"forebay.yaml:{line}:{place[2:]}: {weight}: {says.format(bad)}" in done.stderr
        assert done.returncode == (weight == "error")


def test_a_file_without_the_intermediate_is_warned_of(origin, forebay, cli, pair, tmp_path):
    """Each of the three signs the next; the last says where its issuer's certificate is, as those of public authorities do."""
    def signed(name, by, *extensions):
        more = [word for extension in extensions for word in ("-addext", extension)]
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", tmp_path / f"{name}.key", "-out",
            tmp_path / f"{name}.csr", *more).expect()
        run("openssl", "x509", "-req", "-in", tmp_path / f"{name}.csr", "-CA", tmp_path / f"{by}.pem", "-CAkey", tmp_path / f"{by}.key",
            "-copy_extensions", "copy", "-days", "9", "-out", tmp_path / f"{name}.pem").expect()
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=root", "-keyout", tmp_path / "root.key", "-out",
        tmp_path / "root.pem").expect()
    signed("middle", "root", "basicConstraints=CA:TRUE")
    signed("site", "middle", "authorityInfoAccess=caIssuers;URI:http://ca.example/middle", "subjectAltName=DNS:site.example")
    site = pair("site.example")
    site.cert, site.key = tmp_path / "site.pem", tmp_path / "site.key"
    w1 = forebay(listen(site), app=origin)
    w1.wait_log(r"warning: cert: \S+site.pem: the certificate of its issuer \(middle\) is not in the file: many clients will refuse it")
    assert "fullchain.pem" in cli("check", "-c", w1.config_path).stderr
    site.cert.write_text(site.cert.read_text() + (tmp_path / "middle.pem").read_text())
    assert cli("check", "-c", w1.config_path).stderr == ""


def test_handshakes_are_counted_by_how_they_end(origin, forebay, pair):
    w1 = forebay(listen(pair("a.example")), app=origin)
    s_client(w1)
    w1.wait_metric(SHAKEN, 1, result="done")
    s_client(w1, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    w1.wait_metric(SHAKEN, 1, result="failed")
    assert w1.get("/").status == 400
    w1.wait_metric(SHAKEN, 1, result="plain")
