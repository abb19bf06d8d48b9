"""The registry of an instance: what its user data lays down, so that tasks find it on localhost before they come.

It is no task of ECS. A daemon service would compete with the tasks that need it: ECS may place one of those first, and
its pull would fail and be tried again. (ECS's managed daemons do start first, and are for ECS Managed Instances only:
API ecs CreateDaemon.) So it is a unit of the instance's own, and the agent, which takes tasks, comes after it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from planning.registry import registry_config
from settings.rules_registry import PORT, instance_image
from settings.stack import Stack
from settings.units import whole_mib

_FOLDER = "/etc/quayside"
_NAME = "quayside-registry"
KEYS = "docker/registry/v2/"
"""What every key of a registry's bucket begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRegistry:
    """The same on every instance of the pool."""

    image: str
    memory: int
    """MiB, a hard limit, that the agent keeps from tasks."""
    bucket: str
    region: str

    @property
    def address(self) -> str:
        return f"localhost:{PORT}"


def instance_registry(stack: Stack) -> InstanceRegistry | None:
    """None for a stack without one."""
    local = stack.registry.local if stack.registry is not None else None
    if local is None or stack.cloud != "aws":
        return None
    return InstanceRegistry(
        image=instance_image(local),
        memory=whole_mib(local.memory),
        bucket=local.bucket,
        region=local.region or stack.region or "",
    )


def registry_script(registry: InstanceRegistry) -> str:
    """The part of the user data that starts it, POSIX shell, and ends once it reads its bucket.

    ECS's agent comes after user data on the first boot (`After=cloud-final.service` in its unit); on every later one,
    which runs no user data, the second unit here holds it back.
    """
    files = {
        f"{_FOLDER}/registry.yml": registry_config(
            bucket=registry.bucket, region=registry.region, address=f"127.0.0.1:{PORT}"
        ),
        f"{_FOLDER}/registry-ready": _READY,
        f"/etc/systemd/system/{_NAME}.service": _service(registry),
        f"/etc/systemd/system/{_NAME}-ready.service": _gate(registry),
    }
    lines = ["umask 022", f"mkdir -p {_FOLDER}"]
    for path, content in files.items():
        lines += [f"cat > {path} <<'QUAYSIDE-END'", content.rstrip("\n"), "QUAYSIDE-END"]
    units = f"{_NAME}.service {_NAME}-ready.service"
    # The first fails while its image cannot be pulled, and is tried again; the second ends when it is there.
    lines += ["systemctl daemon-reload", f"systemctl enable {units}", f"systemctl start {_NAME}-ready.service", ""]
    return "\n".join(lines)


def _service(registry: InstanceRegistry) -> str:
    image, config = shlex.quote(registry.image), f"{_FOLDER}/registry.yml"
    options = [
        f"--rm --name {_NAME}",
        # Its own address alone, and the one network from which the instance's role can be had: the hop limit keeps
        # containers behind a bridge from it.
        "--network host",
        "--read-only --cap-drop ALL --security-opt no-new-privileges --user 65534:65534 --pids-limit 256",
        # Beside tasks, whose shares are 1024 a vCPU: it yields to them.
        f"--memory {registry.memory}m --memory-swap {registry.memory}m --cpu-shares 128",
        f"--env GOMEMLIMIT={registry.memory * 9 // 10}MiB --env OTEL_TRACES_EXPORTER=none",
        f"--volume {config}:{config}:ro",
        # Its output is the unit's.
        "--log-driver none --entrypoint registry",
    ]
    run = " \\\n    ".join([f"/usr/bin/docker run {options[0]}", *options[1:], f"{image} serve {config}"])
    return _SERVICE.format(bucket=registry.bucket, name=_NAME, image=image, run=run)


def _gate(registry: InstanceRegistry) -> str:
    return _GATE.format(
        bucket=registry.bucket,
        name=_NAME,
        ready=f"{_FOLDER}/registry-ready {PORT} {registry.bucket}",
    )


# What is there already is not asked for again: an instance boots although the image's registry is away.
_SERVICE = """\
[Unit]
Description=Registry of this instance, of bucket {bucket}
Requires=docker.service
Wants=network-online.target
After=docker.service network-online.target
StartLimitIntervalSec=0

[Service]
ExecStartPre=-/usr/bin/docker rm --force {name}
ExecStartPre=/bin/sh -c '/usr/bin/docker image inspect {image} >/dev/null 2>&1 || \\
    exec /usr/bin/docker pull --quiet {image}'
ExecStart={run}
ExecStop=/usr/bin/docker stop --time 10 {name}
Restart=always
RestartSec=5
TimeoutStartSec=10min

[Install]
WantedBy=multi-user.target
"""
# Once in a boot: a bucket that is away later stops no agent, whose tasks run on.
_GATE = """\
[Unit]
Description=Registry of this instance reads bucket {bucket}
Wants={name}.service
After={name}.service
Before=ecs.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {ready}
TimeoutStartSec=infinity
StandardOutput=journal+console

[Install]
RequiredBy=ecs.service
"""
_READY = r"""#!/bin/sh
# Ends once the registry of this instance reads its bucket: asked for an image that is in none, it has to look there to
# say so. Until then no task comes here, so this never gives up, and says on the console twice a minute why it waits.
set -u
url=http://127.0.0.1:$1/v2/quayside/manifests/none
tries=0
while :; do
    answer=$(curl --noproxy '*' --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "$url")
    [ "$answer" != 404 ] || exit 0
    if [ $((tries % 30)) -eq 5 ]; then
        echo "the registry cannot read bucket $2 (HTTP $answer)"
        echo "  check bucket and region under quayside:registry/local; the last line of its log:"
        journalctl _SYSTEMD_UNIT=quayside-registry.service --lines 1 --output cat --no-pager 2>&1 | sed 's/^/    | /'
    fi
    tries=$((tries + 1))
    sleep 1
done
"""
