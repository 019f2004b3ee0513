"""Who takes part in tests/bench/run, and how each is set up: one worker, on one processor, tuned for what is asked of it.

A peer's method is given a Place and returns the argv to start it in the foreground, having written its files. What it does not do
it does not list in `does`; what is not installed is left out with a word.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BROTLI_MODULE = Path("/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so")
IS_ROOT = os.geteuid() == 0


@dataclass
class Place:
    """Where one peer runs for one scenario. port speaks TLS where the scenario does."""
    directory: Path
    fast: Path              # in memory, where there is such a file system
    port: int
    origin: int
    bare_bytes: int
    feature: str
    is_tls: bool
    certificate: Path = None
    key: Path = None
    binary: str = ""
    environment: dict = field(default_factory=dict)

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def both_pem(self):
        return self.write("both.pem", self.certificate.read_text() + self.key.read_text())


def bare(p):
    tls = [p.certificate, p.key] if p.is_tls else []
    if p.feature in ("miss", "store"):
        return [p.binary, "relay", str(p.origin)]
    return [p.binary, "answer", str(p.bare_bytes), *tls]


def forebay(p):
    real = p.feature == "real"
    tls = f"\n    tls: {{certificates: [{{cert: {p.certificate}, key: {p.key}}}]}}" if p.is_tls else ""
    codings = {"gzip": "{encodings: [gzip]}", "br": "{encodings: [br]}"}
    access = f"{{path: {p.directory}/access.log, format: combined}}" if real else "off"
    limit = ("rate_limits: {each: {algorithm: sliding_window, limit: 1000000000, window: 1m, key: client}}\n"
             "routes: [{match: /**, rate_limit: each}]\n")
    return [p.binary, "serve", "-c", p.write("forebay.yaml", f"""workers: 1
listen:
  - address: "127.0.0.1:{p.port}"{tls}
admin: off
log: {{level: error, access: {access}}}
limits: {{keepalive_timeout: 3600s}}
upstreams: {{origin: "127.0.0.1:{p.origin}"}}
cache: {{memory: 2GiB}}
compression: {codings.get(p.feature, "off")}
security_headers: {"standard" if real else "off"}
""" + (limit if real else "routes: [/**]\n"))]


def nginx(p):
    real, tls = p.feature == "real", ""
    if p.is_tls:
        tls = f"ssl_certificate {p.certificate}; ssl_certificate_key {p.key}; ssl_protocols TLSv1.3;"
    coding = {"gzip": "gzip on; gzip_types *; gzip_proxied any;", "br": "brotli on; brotli_types *;"}.get(p.feature, "")
    load = f"load_module {BROTLI_MODULE};" if p.feature == "br" and BROTLI_MODULE.exists() else ""
    coding = coding if p.feature != "br" or load else ""
    paths = " ".join(f"{kind}_temp_path {p.directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    per_request = """limit_req zone=each burst=100000 nodelay;
			add_header X-Cache-Status $upstream_cache_status;
			add_header Cache-Status 'nginx; $upstream_cache_status';
			add_header X-Content-Type-Options nosniff;
			add_header X-Frame-Options SAMEORIGIN;
			add_header Referrer-Policy strict-origin-when-cross-origin;""" if real else ""
    conf = p.write("nginx.conf", f"""{load}
{"user root;" if IS_ROOT else ""}
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid {p.directory}/pid;
error_log {p.directory}/error.log crit;
events {{ worker_connections 15000; multi_accept on; }}
http {{
	access_log {f"{p.directory}/access.log combined" if real else "off"};
	sendfile on; tcp_nodelay on; server_tokens off;
	keepalive_timeout 3600s; keepalive_requests 1000000000;
	open_file_cache max=5000 inactive=1h; open_file_cache_valid 1h;
	{paths}
	{"limit_req_zone $binary_remote_addr zone=each:10m rate=1000000r/s;" if real else ""}
	proxy_cache_path {p.fast}/nginx levels=1:2 keys_zone=bench:64m inactive=2h max_size=4g use_temp_path=off;
	upstream origin {{ server 127.0.0.1:{p.origin}; keepalive 256; keepalive_requests 1000000000; }}
	{coding}
	server {{
		listen 127.0.0.1:{p.port} {"ssl http2" if p.is_tls else ""} backlog=4096;
		{tls}
		{"http2_max_requests 1000000000;" if p.feature == "h2" else ""}
		location / {{
			proxy_pass http://origin;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_cache bench;
			proxy_cache_key $host$request_uri;
			proxy_cache_lock on;
			proxy_buffers 16 32k;
			{per_request}
		}}
	}}
}}
""")
    return ["nginx", "-e", p.directory / "error.log", "-p", p.directory, "-c", conf]


def haproxy(p):
    real = p.feature == "real"
    tls = f" ssl crt {p.both_pem()} alpn h2,http/1.1 ssl-min-ver TLSv1.3" if p.is_tls else ""
    coding = "filter compression\n\tcompression algo gzip\n\tcompression type text/html" if p.feature == "gzip" else ""
    per_request = """log global
	option httplog
	stick-table type ip size 100k expire 1m store http_req_rate(60s)
	http-request track-sc0 src
	http-request deny deny_status 429 if { sc_http_req_rate(0) gt 1000000000 }
	http-after-response set-header X-Cache-Status %[res.cache_hit,iif(HIT,MISS)]
	http-after-response set-header Cache-Status "haproxy; %[res.cache_hit,iif(hit,fwd=uri-miss)]"
	http-after-response set-header X-Content-Type-Options nosniff
	http-after-response set-header X-Frame-Options SAMEORIGIN
	http-after-response set-header Referrer-Policy strict-origin-when-cross-origin""" if real else ""
    return ["haproxy", "-db", "-f", p.write("haproxy.cfg", f"""global
	nbthread 1
	maxconn 14000
	no strict-limits
	tune.bufsize {max(16384, p.bare_bytes + 16384)}
	{"log stdout format raw local0" if real else ""}
cache bench
	total-max-size {512 if p.feature in ("store", "many", "memory") else 64}
	max-object-size 1000000
	max-age 3600
	process-vary on
defaults
	mode http
	timeout connect 5s
	timeout client 3600s
	timeout server 60s
frontend clients
	bind 127.0.0.1:{p.port}{tls} backlog 4096
	{per_request}
	filter cache bench
	{coding}
	http-request cache-use bench
	http-response cache-store bench
	default_backend origin
backend origin
	http-reuse always
	server one 127.0.0.1:{p.origin} pool-max-conn -1
""")]


def varnish(p):
    coding = 'sub vcl_backend_response { set beresp.do_gzip = true; }' if p.feature == "gzip" else ""
    vcl = p.write("bench.vcl", f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{p.origin}"; .max_connections = 2000; }}
{coding}
""")
    return ["varnishd", "-F", "-j", "none", "-n", p.directory / "varnish", "-f", vcl, "-s", "malloc,2g", "-T", "none",
            "-a", f"127.0.0.1:{p.port}", "-p", "thread_pools=1", "-p", "thread_pool_min=600", "-p", "timeout_idle=3600",
            "-p", "listen_depth=4096"]


def h2o(p):
    """2.2 has no cache: what others have stored it serves from files, and it hands on the rest."""
    for bytes_, name in ((1024, "one"), (16384, "one"), (262144, "one")):
        file = p.fast / "h2o" / "stored" / str(bytes_) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"river and stone " * (bytes_ // 16))
    tls = f"\n  ssl: {{certificate-file: {p.certificate}, key-file: {p.key}, minimum-version: TLSv1.3}}" if p.is_tls else ""
    return ["h2o", "-m", "worker", "-c", p.write("h2o.conf", f"""num-threads: 1
max-connections: 15000
{"user: root" if IS_ROOT else ""}
pid-file: {p.directory}/pid
error-log: {p.directory}/error.log
http1-request-timeout: 3600
http2-idle-timeout: 3600
listen:
  host: 127.0.0.1
  port: {p.port}{tls}
file.mime.setdefaulttype: text/html
hosts:
  default:
    paths:
      /stored: {{file.dir: {p.fast}/h2o/stored}}
      /passed: {{proxy.reverse.url: "http://127.0.0.1:{p.origin}/passed", proxy.timeout.keepalive: 600000}}
""")]


def trafficserver(p):
    conf = p.directory / "conf"
    for name in ("run", "log", "cache", "share"):
        (p.directory / name).mkdir()
    p.write("conf/records.config", f"""CONFIG proxy.config.http.server_ports STRING {p.port}:ip-in=127.0.0.1{":ssl" if p.is_tls else ""}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.http.cache.http INT 1
CONFIG proxy.config.cache.ram_cache.size INT 1073741824
CONFIG proxy.config.cache.ram_cache_cutoff INT 4194304
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 3600
CONFIG proxy.config.net.connections_throttle INT 15000
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.ssl.server.cert.path STRING {p.certificate.parent if p.is_tls else conf}
CONFIG proxy.config.ssl.server.private_key.path STRING {p.key.parent if p.is_tls else conf}
CONFIG proxy.config.http.cache.open_read_retry_time INT 10
CONFIG proxy.config.cache.enable_read_while_writer INT 1
""")
    p.write("conf/remap.config", f"map / http://127.0.0.1:{p.origin}/\n")
    p.write("conf/storage.config", f"{p.directory}/cache 1G\n")
    p.write("conf/ssl_multicert.config",
            f"dest_ip=* ssl_cert_name={p.certificate.name} ssl_key_name={p.key.name}\n" if p.is_tls else "")
    p.write("conf/ip_allow.yaml", "ip_allow: [{apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}]\n")
    for name in ("plugin.config", "cache.config", "hosting.config", "parent.config", "volume.config", "socks.config", "splitdns.config"):
        p.write(f"conf/{name}", "")
    d = p.directory
    p.write("runroot.yaml", f"""prefix: {d}
exec_prefix: {d}
bindir: /usr/bin
sbindir: /usr/bin
sysconfdir: {conf}
datadir: {d}/share
includedir: {d}/share
libdir: /usr/lib
libexecdir: {d}/share
localstatedir: {d}/run
runtimedir: {d}/run
logdir: {d}/log
cachedir: {d}/cache
""")
    p.environment["TS_RUNROOT"] = str(d)
    return ["traffic_server"]


@dataclass
class Peer:
    name: str
    start: object
    command: str            # what must be there; the path of our own
    does: set
    ask_version: list
    note: str = ""


def words(text):
    return set(text.split())


def everybody(binary, bare_binary):
    """In the order of their turns; the first is what the others are measured by."""
    return [
        Peer("bare", bare, str(bare_binary), words("hit real many miss store gzip br tls"), []),
        Peer("forebay", forebay, str(binary), words("hit real many miss store gzip br tls h2 idle memory coalesce"), ["version"]),
        Peer("nginx", nginx, "nginx", words("hit real many miss store gzip br tls h2 idle memory coalesce"), ["-v"]),
        Peer("haproxy", haproxy, "haproxy", words("hit real many miss store gzip tls h2 idle memory coalesce"), ["-v"]),
        Peer("varnish", varnish, "varnishd", words("hit many miss store gzip idle memory coalesce"), ["-V"]),
        Peer("h2o", h2o, "h2o", words("hit miss tls h2 idle"), ["--version"], "files, no cache"),
        Peer("trafficserver", trafficserver, "traffic_server", words("hit many miss store tls h2 idle memory coalesce"), ["--version"]),
    ]


def command_of(peer):
    """Its full path, or None. Debian keeps servers where a user's PATH does not look."""
    return shutil.which(peer.command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def version_of(peer):
    if not peer.ask_version:
        return ""
    ran = subprocess.run([command_of(peer), *peer.ask_version], capture_output=True, text=True, timeout=20)
    said = [line for line in (ran.stdout + ran.stderr).splitlines() if any(c.isdigit() for c in line)]
    return said[0].strip() if said else ""
