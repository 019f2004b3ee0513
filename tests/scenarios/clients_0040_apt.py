"""apt with a small repository behind Forebay: its own directories, nothing of this machine is touched."""

import os
import re

import pytest

from stage.peers import run, tool
from stage.site import Site

pytestmark = pytest.mark.smoke


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.close()


class Repository:
    """suite stable, component main, made as Debian's tools make it."""

    def __init__(self, root):
        self.root, self.pool = root, root / "pool"
        self.index = root / "dists/stable/main/binary-all"
        for directory in (self.pool, self.index, root / "dists/stable/main/binary-amd64"):
            directory.mkdir(parents=True)

    def add(self, name, version, data, depends=""):
        tree = self.root.parent / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "usr/share" / name).mkdir(parents=True)
        (tree / "usr/share" / name / "data").write_bytes(data)
        needs = f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: {version}\nArchitecture: all\n{needs}"
                                             f"Maintainer: Ada <ada@site.test>\nDescription: the {name}\n")
        run("dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, self.pool).expect()

    def publish(self, age_s=0):
        """Writes the indices. age_s old, as a repository is that was last changed then."""
        archive = tool("apt-ftparchive", "apt-utils")
        packages = run(archive, "packages", "pool", cwd=self.root).expect().out
        for arch in ("all", "amd64"):
            (self.root / f"dists/stable/main/binary-{arch}/Packages").write_text(packages)
            run("gzip", "-kf", "Packages", cwd=self.root / f"dists/stable/main/binary-{arch}").expect()
        stable = self.root / "dists/stable"
        (stable / "Release").unlink(missing_ok=True)
        release = run(archive, "-o", "APT::FTPArchive::Release::Suite=stable", "-o", "APT::FTPArchive::Release::Components=main",
                      "-o", "APT::FTPArchive::Release::Architectures=amd64 all", "release", "dists/stable", cwd=self.root).expect()
        (stable / "Release").write_text(release.out)
        for path in [*stable.rglob("*"), *self.pool.iterdir()]:
            then = path.stat().st_mtime - age_s
            os.utime(path, (then, then))


class Machine:
    """Somebody's Debian, as far as apt is concerned."""

    def __init__(self, root, source):
        self.root = root
        for directory in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d", "var/lib/apt/lists/partial",
                          "var/lib/dpkg", "var/cache/apt/archives/partial", "var/log/apt"):
            (root / directory).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] {source} stable main\n")
        self.config = root / "apt.conf"
        self.config.write_text(f'Dir "{root}"; Dir::State "var/lib/apt"; Dir::State::status "{root}/var/lib/dpkg/status";\n'
                               'Dir::Bin::Methods "/usr/lib/apt/methods"; APT::Architecture "amd64"; APT::Sandbox::User "root";\n'
                               'Acquire::http::Proxy "DIRECT"; Acquire::Retries "0"; Acquire::Languages "none";\n'
                               'APT::Update::Error-Mode "any";\n')

    def apt(self, *words, code=0):
        return run("apt-get", "-y", *words, cwd=self.root, env={"APT_CONFIG": str(self.config), "LC_ALL": "C"}).expect(code)

    def versions(self, name):
        policy = run("apt-cache", "madison", name, env={"APT_CONFIG": str(self.config), "LC_ALL": "C"}).expect().out
        return sorted(set(re.findall(r"\| +(\S+) +\|", policy)))


@pytest.fixture
def repository(site):
    repository = Repository(site.files / "debian")
    repository.add("turbine", "1.0", os.urandom(2_000_000))
    repository.add("forebay-data", "1.0", b"water\n" * 1000, depends="turbine")
    repository.publish(age_s=3 * 86400)
    return repository


def test_packages_are_listed_and_downloaded_whole(site, repository, forebay, tmp_path):
    w1 = forebay(app=site)
    machines = [Machine(tmp_path / name, f"http://{w1}/debian") for name in ("ada", "grace")]
    for machine in machines:
        machine.apt("update")
        assert machine.versions("turbine") == ["1.0"]
        machine.apt("install", "--download-only", "forebay-data")       # apt verifies what it gets, and so do we
        for name in ("turbine", "forebay-data"):
            got = machine.root / f"var/cache/apt/archives/{name}_1.0_all.deb"
            assert got.read_bytes() == (repository.pool / got.name).read_bytes()
    assert machines[1].apt("update").out.count("Hit:") == 1             # nothing new: If-Modified-Since


@pytest.mark.parametrize("cache", ["heuristic: no", "client_directives: obey"])
def test_a_new_version_is_seen_at_the_next_update(site, repository, forebay, tmp_path, cache):
    """The repository says nothing about lives, and its age would let a cache guess that it stays as it is."""
    w1 = forebay(f'routes: [{{match: /debian/dists/**, cache: {{{cache}}}}}, {{match: /**}}]', app=site)
    machine = Machine(tmp_path / "ada", f"http://{w1}/debian")
    machine.apt("update")
    repository.add("turbine", "1.1", os.urandom(1000))
    repository.publish()
    machine.apt("update")
    assert machine.versions("turbine") == ["1.0", "1.1"]
    machine.apt("install", "--download-only", "turbine=1.1")


def test_an_interrupted_download_is_resumed(site, repository, forebay, tmp_path):
    w1 = forebay(app=site)
    machine = Machine(tmp_path / "ada", f"http://{w1}/debian")
    machine.apt("update")
    whole = repository.pool / "turbine_1.0_all.deb"
    part = machine.root / "var/cache/apt/archives/partial" / whole.name
    part.write_bytes(whole.read_bytes()[:500_000])
    then = whole.stat().st_mtime
    os.utime(part, (then, then))                # it asks with If-Range by this date
    machine.apt("install", "--download-only", "turbine")
    assert (machine.root / "var/cache/apt/archives" / whole.name).read_bytes() == whole.read_bytes()
    assert 206 in [line["status"] for line in w1.access(1, path="/debian/pool/turbine_1.0_all.deb")]
