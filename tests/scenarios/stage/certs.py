"""Certificates for a scenario: an authority of the stage's own, and what it signs. Made by the openssl command."""

import ssl
import subprocess
from pathlib import Path

from stage.waiting import patiently


class Authority:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.cert, self.key = self.directory / "ca.pem", self.directory / "ca.key"
        self._openssl("req", "-x509", *NEW_KEY, "-nodes", "-days", "30", "-subj", "/CN=Forebay's stage",
                      "-keyout", self.key, "-out", self.cert)

    def certificate(self, *names, days=30, file=None):
        """A Certificate for names; a name that is an address is one."""
        stem = self.directory / (file or names[0].replace("*", "any").replace(":", "_"))
        alternative = ",".join(("IP:" if name.replace(".", "").isdigit() or ":" in name else "DNS:") + name for name in names)
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={alternative}\n")
        self._openssl("req", "-new", *NEW_KEY, "-nodes", "-subj", f"/CN={names[0]}", "-keyout", f"{stem}.key", "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-days", days,
                      "-extfile", extensions, "-set_serial", int.from_bytes(stem.name.encode()[:8], "big"), "-out", f"{stem}.pem")
        return Certificate(Path(f"{stem}.pem"), Path(f"{stem}.key"))

    def client_context(self, alpn=(), **limits):
        """What a client that trusts this authority connects with."""
        context = ssl.create_default_context(cafile=str(self.cert))
        for name, value in limits.items():
            setattr(context, name, value)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=patiently(60))


NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Certificate:
    def __init__(self, cert, key):
        self.cert, self.key = cert, key

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context
