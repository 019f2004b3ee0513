"""A name server of the stage: authoritative for what a scenario says, over UDP and TCP on one port of the loopback.

    dns = nameserver()
    dns.says("app.test", "127.0.0.2", "127.0.0.3", ttl=5)
    dns.says_srv("_http._tcp.app.test", (10, 1, 8080, "a.test"), ttl=5)      # priority, weight, port, target
    dns.fails("app.test", "servfail")     # or nxdomain, refused, silent, garbage; says() makes it well again
    w1 = forebay('resolver: "@dns@" ...', dns=dns)

Whatever it was not told of is NXDOMAIN. dns.asked(name) counts questions for A, or of another type.
"""

import socket
import struct
import threading
from ipaddress import ip_address

from stage.waiting import ports

A, CNAME, AAAA, SRV = 1, 5, 28, 33
CODES = {"servfail": 2, "nxdomain": 3, "refused": 5}


def packed(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.strip(".").split(".") if label) + b"\0"


class NameServer:
    def __init__(self):
        self.port = ports.free()
        self.truncates = False              # over UDP: whoever asks must come by TCP
        self.records, self.failures = {}, {}
        self.questions = []                 # (name, type, "udp" or "tcp")
        self._lock = threading.Lock()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", self.port))
        self.tcp.listen(64)
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]
        for thread in self.threads:
            thread.start()

    def __str__(self):
        return f"127.0.0.1:{self.port}"

    # what a scenario says

    def says(self, name, *addresses, ttl=5):
        """From now on the name has these addresses, and no others; without any it is there and has none."""
        records = [(AAAA if ip_address(a).version == 6 else A, ttl, ip_address(a).packed) for a in addresses]
        self._say(name, [A, AAAA], records)

    def says_alias(self, name, target, ttl=5):
        self._say(name, [A, AAAA], [(CNAME, ttl, packed(target))])

    def says_srv(self, name, *records, ttl=5):
        self._say(name, [SRV], [(SRV, ttl, struct.pack("!HHH", *record[:3]) + packed(record[3])) for record in records])

    def _say(self, name, kinds, records):
        with self._lock:
            self.failures.pop(name, None)
            self.records[name] = [r for r in self.records.get(name, []) if r[0] not in kinds and r[0] != CNAME] + records

    def fails(self, name, how, kind=None):
        """Of that type alone, where one is named."""
        with self._lock:
            self.failures[name] = (how, kind)

    def asked(self, name, kind=A, by=None):
        with self._lock:
            return sum(n == name and k == kind and by in (None, b) for n, k, b in self.questions)

    # how it works

    def _answer(self, question, by):
        """None: silence."""
        name, at = "", 12
        while question[at] != 0:
            name += question[at + 1:at + 1 + question[at]].decode().lower() + "."
            at += question[at] + 1
        name = name[:-1]
        kind, = struct.unpack("!H", question[at + 1:at + 3])
        with self._lock:
            self.questions.append((name, kind, by))
            how, of = self.failures.get(name, (None, None))
            how = how if of in (None, kind) else None
            records = self.records.get(name)
        if how == "silent":
            return None
        if how == "garbage":
            return question[:2] + b"\x84\0\0\1\0\7\0\0\0\0" + question[12:at + 5] + b"\xc0\xff" * 9
        code = CODES[how] if how else 3 if records is None else 0
        found = [] if code else self._found(name, kind)
        flags = 0x8400 | code | (struct.unpack("!H", question[2:4])[0] & 0x0100) | 0x80
        if self.truncates and by == "udp":
            flags, found = flags | 0x0200, []
        head = question[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0) + question[12:at + 5]
        return head + b"".join(packed(owner) + struct.pack("!HHIH", k, 1, ttl, len(data)) + data for owner, k, ttl, data in found)

    def _found(self, name, kind):
        found = []
        for record in self.records.get(name, []):
            if record[0] == CNAME and kind != CNAME:
                target, at = "", 0
                while record[2][at]:
                    target += record[2][at + 1:at + 1 + record[2][at]].decode() + "."
                    at += record[2][at] + 1
                found += [(name, *record), *self._found(target[:-1], kind)]
            elif record[0] == kind:
                found.append((name, *record))
        return found

    def _serve_udp(self):
        while True:
            try:
                question, peer = self.udp.recvfrom(4096)
                if not question:
                    return
                answer = self._answer(question, "udp")
                if answer is not None:
                    self.udp.sendto(answer, peer)
            except OSError:
                return

    def _serve_tcp(self):
        while True:
            try:
                peer, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(peer,), daemon=True).start()

    def _converse(self, peer):
        with peer, peer.makefile("rb") as stream:
            try:
                while len(size := stream.read(2)) == 2:
                    answer = self._answer(stream.read(struct.unpack("!H", size)[0]), "tcp")
                    if answer is not None:
                        peer.sendall(struct.pack("!H", len(answer)) + answer)
            except OSError:
                pass                        # who asked has gone

    def close(self):
        for sock in (self.udp, self.tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)     # wakes who waits there
            except OSError:
                pass
            sock.close()
        for thread in self.threads:
            thread.join(5)
