"""npm with a registry of its own (verdaccio) behind Forebay: published, installed, and installed again from the cache."""

import json
import os

import pytest

from stage.client import Client
from stage.peers import npm, run
from stage.process import Process
from stage.waiting import ports, wait_until

pytestmark = pytest.mark.slow
REGISTRY = "verdaccio@5.33.0"               # the last line that Debian 12's node runs
NOT_AS_PUBLISHED = {"node-fetch": "2.6.7"}  # it names a tag that not every mirror has


class Verdaccio:
    def __init__(self, directory):
        self.address = f"127.0.0.1:{ports.free()}"
        directory.mkdir()
        config = directory / "config.yaml"
        config.write_text(json.dumps({
            "storage": str(directory / "storage"), "uplinks": {}, "web": {"enable": False},
            "packages": {"**": {"access": "$all", "publish": "$anonymous", "unpublish": "$anonymous"}},
            "log": {"type": "stdout", "format": "json", "level": "warn"}}))
        program = npm(REGISTRY, overrides=NOT_AS_PUBLISHED) / "node_modules/.bin/verdaccio"
        self.process = Process("verdaccio", ["node", program, "-c", config, "-l", self.address], directory / "log",
                               {**os.environ, "HOME": str(directory)}, directory)
        wait_until(self._is_open, lambda: f"the registry to open\n{self.process.tail()}", 120)

    def _is_open(self):
        assert self.process.is_running, self.process.tail()
        try:
            with Client(self.address) as client:
                return client.get("/-/ping").status == 200
        except OSError:
            return False

    def on(self, *_):
        raise AssertionError("the registry has no script")

    def __str__(self):
        return self.address


@pytest.fixture
def registry(tmp_path):
    registry = Verdaccio(tmp_path / "registry")
    yield registry
    registry.process.kill()


class Developer:
    """Somebody's npm, with nothing in its cache. Who publishes has a token; who installs is nobody in particular."""

    def __init__(self, directory, registry, publishes=False):
        self.directory = directory
        directory.mkdir()
        host = registry.split("//")[1]
        token = f"//{host}/:_authToken=ada\n" if publishes else ""
        (directory / "npmrc").write_text(f"registry={registry}/\n{token}audit=false\nfund=false\n"
                                         "update-notifier=false\nfetch-retries=0\n")
        self.env = {"HOME": str(directory), "npm_config_cache": str(directory / "cache"), "no_proxy": "*", "NO_PROXY": "*",
                    "npm_config_userconfig": str(directory / "npmrc"), "npm_config_globalconfig": str(directory / "none")}

    def npm(self, *words, cwd=None):
        return run("npm", *words, cwd=cwd or self.directory, env=self.env, timeout=120).expect()

    def publish(self, name, version, data, **more):
        package = self.directory / f"{name}-{version}"
        package.mkdir()
        (package / "package.json").write_text(json.dumps({"name": name, "version": version, "main": "index.js", **more}))
        (package / "index.js").write_text(f"module.exports = {json.dumps(version)};\n")
        (package / "data").write_bytes(data)
        self.npm("publish", cwd=package)

    def install(self, *packages):
        self.npm("install", "--no-save", "--prefix", self.directory, *packages)
        listed = run("npm", "ls", "--json", "--all", "--prefix", self.directory, env=self.env).out
        return {name: told["version"] for name, told in json.loads(listed)["dependencies"].items()}


@pytest.mark.patience(600)
def test_packages_are_published_and_installed(registry, forebay, tmp_path):
    # A tarball never changes under its name; what a package consists of does, whenever somebody publishes.
    w1 = forebay("""
        routes:
          - {match: "GET /{name}/-/{tarball}", cache: {ttl: 365d, cookies: ignore}}
          - match: /**
    """, registry=registry)
    url = f"http://{w1}"
    ada = Developer(tmp_path / "ada", url, publishes=True)
    ada.publish("turbine", "1.0.0", os.urandom(1_000_000))
    ada.publish("forebay-data", "1.0.0", b"water\n" * 1000, dependencies={"turbine": "^1.0.0"})

    for name in ("grace", "barbara"):
        developer = Developer(tmp_path / name, url)
        assert developer.install("forebay-data") == {"forebay-data": "1.0.0", "turbine": "1.0.0"}     # npm verifies what it gets
        data = (developer.directory / "node_modules/turbine/data").read_bytes()
        assert data == (ada.directory / "turbine-1.0.0/data").read_bytes()
    tarball = "/turbine/-/turbine-1.0.0.tgz"
    assert [line["cache"] for line in w1.access(2, path=tarball)] == ["MISS", "HIT"]

    ada.publish("turbine", "1.1.0", b"more")
    assert developer.install("turbine@latest")["turbine"] == "1.1.0"
