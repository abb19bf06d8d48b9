"""The registry of a host, for real: what a fleet pulls through it, who reaches it, and what is said when it fails.

The bucket is bucket.py on this machine, which checks every signature. The packet filter of the hosts is the real one.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quayside import images, standins
from quayside.shell import CommandError
from rehearsal.secrets import set_secret
from tests.hosts.bucket import Bucket
from tests.hosts.fleet import Fleet, Host
from tests.hosts.fleet_remains import archive_of
from tests.hosts.shop import IMAGES, PYTHON, ROOT, Run, agent_with, docker, ended, free_port, rehearsal
from tests.hosts.test_fleet_release import app
from tests.stories import PASSPHRASE

pytestmark = pytest.mark.docker

REGISTRY = "registry:2"
NAMES = ("host1", "host2")
KEY, SECRET = "AKIAEXAMPLE7QX", "wJalrXUtnFEMI/K7MDENG+bPxRfi"
# As the official image, as far as its commands go: a shell, busybox and `registry`.
RECIPE = standins.Recipe(
    packages=("docker-registry",),
    folders={"var/lib/registry": "root"},
    links={"usr/local/bin/registry": "/usr/bin/docker-registry"},
    changes=('ENTRYPOINT ["registry"]', 'CMD ["serve", "/etc/docker/registry/config.yml"]'),
)
PROGRAM = """
from pathlib import Path
import pulumi
import platforms.hetzner
import settings.rules
from planning.hosts.packetfilter import host_filter
from platforms import deploy

platforms.hetzner.script = lambda _stack, admits, host, addresses, *_keys: host_filter(admits, host.name, addresses)
for key, value in deploy(Path(__file__).parent).items():
    pulumi.export(key, value)
"""


@pytest.fixture(scope="module")
def pushed(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with all that a bucket would hold after one push, and the reference of what was pushed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standins, "RECIPES", {**standins.RECIPES, "registry": RECIPE})
        try:
            images.ensure([REGISTRY], ROOT / ".quayside" / "images", print)
        except CommandError as error:
            pytest.skip(f"the registry's image cannot be had: {error}")
    root = tmp_path_factory.mktemp("pushed")
    (root / "marker").write_text("of this test alone, so that it is a layer which no host has")
    (root / "Dockerfile").write_text(f"FROM {PYTHON}\nCOPY marker /marker\n")
    # What pushes has a registry of its own, that may write; here into a folder, elsewhere into the bucket.
    (root / "config.yml").write_text(
        "version: 0.1\nhttp: {addr: ':5000'}\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\n"
    )
    port = free_port()
    name = f"localhost:{port}/acme/web:1"
    storage = ["-v", f"{root / 'data'}:/var/lib/registry", "-p", f"127.0.0.1:{port}:5000"]
    storage += ["-v", f"{root / 'config.yml'}:/config.yml:ro"]
    container = docker("run", "-d", "--rm", *storage, REGISTRY, "serve", "/config.yml")
    try:
        subprocess.run(["docker", "build", "-q", "-t", name, str(root)], check=True, capture_output=True, timeout=120)
        until(lambda: subprocess.run(["docker", "push", name], capture_output=True).returncode == 0, 30)
        digest = docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", name).rpartition("@")[2]
        yield root / "data", f"localhost:5000/acme/web@{digest}"
    finally:
        docker("rm", "-f", container)
        subprocess.run(["docker", "rmi", "-f", name], capture_output=True)


def until(ready: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.3)


class Project:
    def __init__(self, root: Path, fleet: Fleet, agent: dict[str, str], image: str) -> None:
        self.root, self.fleet = root, fleet
        self.environment = {**os.environ, **agent, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        self.environment["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE
        self.services: dict[str, Any] = {"web": {**app("1", routes=["web.{domain}"], replicas=2), "image": image}}
        (root / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)

    def up(self, bucket: Bucket, secret: str = SECRET) -> Run:
        servers = [
            {
                "name": n,
                "address": self.fleet[n].address,
                "cpu": 4,
                "memory": "8GiB",
                "host_key": self.fleet[n].host_key,
            }
            for n in NAMES
        ]
        config = {
            "cloud": "hetzner",
            "domain": "example.test",
            "capacity": {"existing": servers},
            "access": {"ssh": [f"{self.fleet.outside}/32"]},
            "edge": {"image": IMAGES[0]},
            "registry": {
                "local": {
                    "bucket": bucket.name,
                    "endpoint": bucket.endpoint,
                    "access_key": "bucket_id",
                    "secret_key": "bucket_secret",
                    "image": REGISTRY,
                }
            },
        }
        file = self.root / "Pulumi.t.yaml"
        kept: dict[str, Any] = yaml.safe_load(file.read_text()) if file.exists() else {}
        kept["config"] = {f"quayside:{key}": value for key, value in config.items()}
        file.write_text(yaml.safe_dump(kept))
        for key, value in {"bucket_id": KEY, "bucket_secret": secret}.items():
            set_secret(file, f"quayside:secrets.{key}", value, PASSPHRASE)
        (self.root / "services.yaml").write_text(yaml.safe_dump({"services": self.services}))
        return ended(rehearsal("t", self.root, self.environment))


@pytest.fixture
def project(pushed: tuple[Path, str], tmp_path: Path) -> Iterator[Project]:
    with Fleet.start(NAMES) as fleet, agent_with(fleet.identity) as agent:
        for host in fleet:
            archive = archive_of((REGISTRY,))
            assert archive is not None
            host.load(archive)
            host.ssh("mkdir -p ~/.ssh && ln -sf /run/sshd/authorized_keys ~/.ssh/authorized_keys")
        yield Project(tmp_path, fleet, agent, pushed[1])


def knocks(origin: Host, at: Host, address: str, port: int = 5000) -> bool:
    """Whether `origin` gets an answer from an address that it takes to be behind `at`."""
    origin.inside("ip", "route", "replace", f"{address}/32", "via", at.address)
    try:
        return bool(origin.fleet.scan(address, [port], origin=origin, timeout=2))
    finally:
        origin.inside("ip", "route", "delete", f"{address}/32")


def test_hosts_pull_through_their_own_registry_and_nobody_else_reaches_it(
    project: Project, pushed: tuple[Path, str]
) -> None:
    fleet, image = project.fleet, pushed[1]
    with Bucket(pushed[0], "images", KEY, SECRET, fleet.outside) as bucket:
        # A key that opens nothing: the release ends there, before anything is pulled, and says why.
        refused = project.up(bucket, "another-secret-than-that")
        assert refused.code != 0
        assert "the registry cannot read bucket images" in refused.output
        assert "SignatureDoesNotMatch" in refused.output
        assert "another-secret-than-that" not in refused.output
        assert bucket.refused > 0
        assert not fleet["host1"].docker("ps", "-aq", "--filter", "label=dev.quayside.service=web")

        done = project.up(bucket)
        assert done.code == 0, done.output
        layers = [key for key in bucket.served if key.startswith("GET") and "/blobs/" in key]
        for name in NAMES:
            host = fleet[name]
            (web,) = host.docker("ps", "-q", "--filter", "label=dev.quayside.service=web").split()
            assert host.docker("inspect", "-f", "{{.Config.Image}}", web) == image
            assert fleet.scan(host.address, [80, 5000]) == [80]
            assert SECRET not in host.ssh("ps axww -o args")
        assert len(layers) >= 2 * 3, "manifest, configuration and layer, for each host"
        assert SECRET not in (project.root / ".quayside" / "t.json").read_text()

        host, other = fleet["host1"], fleet["host2"]
        name = "shop_t_registry"
        (address,) = host.docker(
            "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name
        ).split()
        assert host.ssh("curl --noproxy '*' -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5000/v2/") == "200"
        pushing = (
            "curl --noproxy '*' -s -o /dev/null -w '%{http_code}' -X POST localhost:5000/v2/acme/web/blobs/uploads/"
        )
        assert host.ssh(pushing) == "405", "nothing is written"
        assert not knocks(other, host, address)
        # Without the packet filter the neighbour would: the test above can fail.
        host.inside("iptables", "-F", "QUAYSIDE-DOCKER")
        host.inside("iptables", "-A", "QUAYSIDE-DOCKER", "-j", "RETURN")
        assert knocks(other, host, address)

        # What Docker publishes follows the container to whatever address it gets.
        host.docker("restart", "-t", "1", name)
        asked = "curl --noproxy '*' -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5000/v2/ || true"
        until(lambda: host.ssh(asked) == "200", 10)

        again = project.up(bucket)
        assert again.code == 0, again.output
        assert not [
            line for line in again.output.splitlines() if line.startswith(("create", "replace", "run", "delete"))
        ]
