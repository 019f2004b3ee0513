"""A real web server as an origin: lighttpd over a directory of files, with Debian's git behind /git/.

    site = Site(tmp_path)
    (site.files / "hello.html").write_text("hello")
    site.repository("shop.git")             # bare, and open to pushes
"""

from pathlib import Path

from stage.client import Client
from stage.peers import run, tool
from stage.process import Process
from stage.waiting import ports, wait_until

CONFIG = """
server.modules = ("mod_cgi", "mod_setenv", "mod_alias")
server.document-root = "{site.files}"
server.bind = "127.0.0.1"
server.port = {site.port}
server.upload-dirs = ("{site.directory}")
server.stream-response-body = 1
server.stat-cache-engine = "disable"
setenv.add-environment = ("GIT_PROJECT_ROOT" => "{site.repositories}", "GIT_HTTP_EXPORT_ALL" => "1", "REMOTE_USER" => "tester")
alias.url = ("/git" => "{backend}")
$HTTP["url"] =~ "^/git" {{ cgi.assign = ("" => "") }}
mimetype.assign = (".html" => "text/html", ".css" => "text/css", ".js" => "text/javascript", ".svg" => "image/svg+xml",
                   "" => "application/octet-stream")
"""


class Site:
    def __init__(self, directory):
        self.directory = Path(directory) / "site"
        self.files, self.repositories = self.directory / "files", self.directory / "git"
        self.files.mkdir(parents=True)
        self.repositories.mkdir()
        self.port = ports.free()
        self.address = f"127.0.0.1:{self.port}"
        self.access_path = self.directory / "access.log"
        config = self.directory / "lighttpd.conf"
        backend = Path(run("git", "--exec-path").expect().out.strip()) / "git-http-backend"
        config.write_text(CONFIG.format(site=self, backend=backend))
        self.process = Process("site", [tool("lighttpd", "lighttpd"), "-D", "-f", config], self.directory / "stderr.log")
        wait_until(self._is_open, lambda: f"the site to open\n{self.process.tail()}")

    def _is_open(self):
        try:
            with Client(self.address) as client:
                return client.get("/").status in (403, 404)
        except OSError:
            return False

    def repository(self, name):
        path = self.repositories / name
        run("git", "init", "-q", "--bare", "-b", "main", path).expect()
        run("git", "-C", path, "config", "http.receivepack", "true").expect()
        return path

    def on(self, *_):
        raise AssertionError("the site has no script")

    def __str__(self):
        return self.address

    def close(self):
        self.process.kill()
