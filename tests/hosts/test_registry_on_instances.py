"""An instance's registry, for real: the user data as EC2 would run it, under systemd, up to the agent's first pull.

The instance is a host of a test fleet; its init is systemd in a container, with the units that AWS's image for ECS has
in the order that they have there. Its role comes from metadata.py, the bucket is bucket.py, which checks signatures.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planning.aws.registry import InstanceRegistry, registry_script
from tests.hosts import metadata
from tests.hosts.bucket import Bucket
from tests.hosts.fleet import Fleet, Host
from tests.hosts.fleet_remains import archive_of
from tests.hosts.shop import free_port
from tests.hosts.test_registry import KEY, REGISTRY, SECRET, pushed, until

__all__ = ["pushed"]

SYSTEMD = "/usr/lib/systemd/systemd"
pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(not Path(SYSTEMD).exists(), reason="systemd is not installed"),
]
JOURNAL = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
TARGETS = ("sysinit.target", "basic.target", "shutdown.target", "network-online.target")
EMPTY = "[Unit]\nDefaultDependencies=no\n"
ONCE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart="
# Of the agent's unit, what decides when it starts: amazon-ecs-agent, packaging/amazon-linux-ami-integrated/ecs.service.
ECS = """\
[Unit]
Requires=docker.service
After=docker.service
After=cloud-final.service
[Service]
ExecStart=/bin/sh -c 'docker pull {image} && touch /run/pulled; exec sleep infinity'
"""
# cloud-init runs user data on the first boot of an instance and on no other.
CLOUD_FINAL = f"{ONCE}/bin/sh -c '[ -e /var/booted ] || {{ touch /var/booted; exec /bin/sh /user-data; }}'\n"
MULTI_USER = f"{EMPTY}Wants=docker.service cloud-final.service ecs.service systemd-journald.service\n"


class Instance:
    """One host of the fleet with systemd for its init."""

    def __init__(self, host: Host, folder: Path, image: str, endpoint: str) -> None:
        self.host = host
        units = {
            **dict.fromkeys(TARGETS, EMPTY),
            "multi-user.target": MULTI_USER,
            "docker.service": f"{ONCE}/bin/true\n",
            "cloud-final.service": CLOUD_FINAL,
            "ecs.service": ECS.format(image=image),
            **{name: (Path("/usr/lib/systemd/system") / name).read_text() for name in JOURNAL},
        }
        (folder / "units").mkdir()
        for name, text in units.items():
            (folder / "units" / name).write_text(text)
        script = registry_script(InstanceRegistry(image=REGISTRY, memory=64, bucket="images", region="us-east-1"))
        # In the place of AWS's own name for the bucket, which leads to AWS.
        here = f'    region: "us-east-1"\n    regionendpoint: "{endpoint}"\n    forcepathstyle: true\n'
        assert script.count('    region: "us-east-1"\n') == 1
        (folder / "user-data").write_text(script.replace('    region: "us-east-1"\n', here))
        host.inside("mkdir", "-p", "/etc/quayside")
        shared = {
            **{path: path for path in ("/usr", "/etc/passwd", "/etc/group")},
            **{f"/{name}": f"/usr/{name}" for name in ("bin", "sbin", "lib", "lib64") if Path(f"/usr/{name}").exists()},
            "/user-data": f"{folder}/user-data",
        }
        binds = [word for at, path in shared.items() for word in ("-v", f"{path}:{at}:ro")]
        # The engine of the instance reads what the unit mounts.
        binds += ["-v", f"{folder}/units:/etc/systemd/system", "-v", "/etc/quayside:/etc/quayside"]
        binds += ["--tmpfs", "/run", "-v", "/run/docker.sock:/var/run/docker.sock"]
        given = ["-e", "container=docker", "-e", "SYSTEMD_UNIT_PATH=/etc/systemd/system"]
        # Its own cgroups, which systemd mounts for itself, so that it takes none of this machine's for its own.
        space = [
            "--cap-add",
            "SYS_ADMIN",
            "--security-opt",
            "seccomp=unconfined",
            "--security-opt",
            "apparmor=unconfined",
        ]
        space += ["--cgroupns", "private", "--tmpfs", "/sys/fs/cgroup", "--network", "host", "-t", "--name", "instance"]
        command = ["--entrypoint", SYSTEMD, REGISTRY, "--system", "--unit=multi-user.target"]
        host.docker("run", "-d", *space, *binds, *given, *command)

    def says(self, *command: str) -> str:
        return self.host.docker("exec", "instance", *command)

    def state(self, unit: str) -> str:
        done = subprocess.run(
            ["docker", "-H", self.host.socket, "exec", "instance", "systemctl", "is-active", unit],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    @property
    def console(self) -> str:
        return self.host.docker("logs", "instance")

    def status(self, path: str, *options: str) -> str:
        """HTTP's; 000 where nothing answers."""
        ask = [
            "curl",
            "--noproxy",
            "*",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            *options,
            f"localhost:5000{path}",
        ]
        return self.host.inside("sh", "-c", '"$@" || true', "sh", *ask)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fleet.start(("host1",)) as fleet:
        archive = archive_of((REGISTRY,))
        assert archive is not None
        fleet["host1"].load(archive)
        yield fleet


@pytest.fixture
def asked(fleet: Fleet) -> Iterator[Path]:
    """What is asked of the instance's metadata, one line a request."""
    host = fleet["host1"]
    host.inside("ip", "addr", "add", f"{metadata.ADDRESS}/32", "dev", "lo")
    command = ["ip", "netns", "exec", host.namespace, sys.executable, metadata.__file__, KEY, SECRET]
    log = host.folder / "metadata.log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield log
        finally:
            process.kill()


def test_the_agent_comes_once_the_registry_reads_the_bucket_by_the_instances_role_alone(
    fleet: Fleet, asked: Path, pushed: tuple[Path, str], tmp_path: Path
) -> None:
    host, image = fleet["host1"], pushed[1]
    port = free_port()
    bucket: Any = Bucket(pushed[0], "images", KEY, "another-secret", fleet.outside, port)
    instance = Instance(host, tmp_path, image, f"http://{fleet.outside}:{port}")
    with bucket:
        # The role opens nothing yet: it waits, and the console says why.
        until(lambda: "the registry cannot read bucket images (HTTP " in instance.console, 60)
        assert instance.state("quayside-registry.service") == "active"
        assert instance.state("ecs.service") == "inactive"
        until(lambda: "SignatureDoesNotMatch" in instance.console, 60)
        bucket.secret = SECRET
        until(lambda: instance.state("ecs.service") == "active", 30)
        until(lambda: "pulled" in instance.says("ls", "/run").split(), 30)
        assert [key for key in bucket.served if key.startswith("GET") and "/blobs/" in key]

        assert "PUT /latest/api/token 200" in asked.read_text()
        assert f"GET {metadata.ROLE}instance 200" in asked.read_text()

        # It is the instance's own, and writes nothing.
        assert instance.status("/v2/") == "200"
        assert instance.status("/v2/acme/web/blobs/uploads/", "-X", "POST") == "405"
        assert fleet.scan(host.address, [5000]) == []
        assert SECRET not in instance.says("ps", "axwwe", "-o", "args")
        assert SECRET not in (tmp_path / "user-data").read_text()

        # What ends it, ends it for seconds, and no agent with it.
        agent = instance.says("systemctl", "show", "-p", "MainPID", "ecs.service")
        first = host.docker("inspect", "-f", "{{.Id}}", "quayside-registry")
        host.docker("kill", "quayside-registry")
        until(lambda: instance.status("/v2/") == "200", 30)
        assert host.docker("inspect", "-f", "{{.Id}}", "quayside-registry") != first
        assert instance.says("systemctl", "show", "-p", "MainPID", "ecs.service") == agent

    # The next boot, with the bucket away: no user data runs, and the agent waits all the same.
    host.docker("kill", "instance")
    host.docker("rm", "-f", "quayside-registry")
    host.docker("start", "instance")
    until(lambda: instance.state("quayside-registry.service") == "active", 60)
    time.sleep(3)
    assert instance.state("ecs.service") == "inactive"
    with Bucket(pushed[0], "images", KEY, SECRET, fleet.outside, port):
        until(lambda: instance.state("ecs.service") == "active", 60)
    host.docker("rm", "-f", "instance", "quayside-registry")
