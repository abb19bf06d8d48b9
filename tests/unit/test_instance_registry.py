"""The registry of every instance: what is planned for it, and that what the user data lays down is sound."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.aws.capacity import rows as fit_rows
from planning.aws.images import image
from planning.aws.model import AwsPlan
from planning.aws.plan import plan
from planning.aws.registry import InstanceRegistry, registry_script
from planning.aws.security import who
from settings.problems import ConfigError
from tests.unit.test_aws_planning import DIGEST, NO_NAT, stack

HERE = f"localhost:5000/acme/web@{DIGEST}"
WEB: dict[str, Any] = {"image": HERE, "port": 8080, "routes": [], "memory": 512 * 1024**2}
POOL = {"instances": {"types": ("m5.large",), "max": 3}}
LOCAL = {"local": {"bucket": "images"}}
REGISTRY = InstanceRegistry(image="registry:3", memory=128, bucket="images", region="eu-central-1")


def planned(registry: Any = LOCAL, web: Any = WEB, **values: Any) -> AwsPlan:
    return plan(stack({"web": web}, capacity=POOL, registry=registry, **values), {})


def instances(made: AwsPlan) -> dict[str, str]:
    return {f"{row['to']} {row['address']}": row["why"] for row in who(made.security) if row["from"] == "instances"}


# --- the plan --------------------------------------------------------------------------------------------------------


def test_an_instance_gets_it_with_the_stacks_region_and_an_image_that_counts_no_pulls() -> None:
    pool = planned().pool
    assert pool is not None
    assert pool.registry == InstanceRegistry(
        image="public.ecr.aws/docker/library/registry:3", memory=128, bucket="images", region="eu-central-1"
    )
    other = {"bucket": "images", "region": "us-east-1", "image": "quay.io/acme/registry:3", "memory": 200 * 1024**2 + 1}
    pool = planned({"local": other}).pool
    assert pool is not None
    assert pool.registry == InstanceRegistry(
        image="quay.io/acme/registry:3", memory=201, bucket="images", region="us-east-1"
    )
    assert (planned(None, {**WEB, "image": f"acme/web@{DIGEST}"}).pool or pool).registry is None


def test_ecs_is_told_the_image_as_it_is_and_pulls_it_without_a_login() -> None:
    found = image(HERE, stack(registry=LOCAL))
    assert (found.reference, found.repository, found.login, found.pull_from) == (HERE, None, None, None)


def test_its_memory_is_no_tasks() -> None:
    elsewhere = {**WEB, "image": f"acme/web@{DIGEST}"}
    without, with_it = planned(None, elsewhere).fit, planned().fit
    assert without is not None
    assert with_it is not None
    assert with_it.rows[0].memory_total == without.rows[0].memory_total - 128 * with_it.rows[0].running
    assert fit_rows(with_it)[0]["memory"] == "512 of 7184MiB (7 %)"


def test_a_task_that_fits_beside_no_registry_is_told_of_it() -> None:
    with pytest.raises(ConfigError) as refused:
        planned(web={**WEB, "memory": 7312 * 1024**2})
    assert next(str(problem) for problem in refused.value.problems) == (
        "services/web/memory: a task needs 7312MiB, 0.25 vCPU and 1 interface; an empty m5.large gives 7184MiB, 2 vCPU "
        "and 10 interfaces (1008MiB of its 8192MiB go to the system, the ECS agent and the registry)\n"
        "    lower it to 7184MiB, or choose larger instances in quayside:capacity/instances/types"
    )


def test_instances_reach_the_bucket_and_nothing_on_port_5000() -> None:
    """No security group is before localhost: a rule for its port would open that to the world."""
    assert instances(planned()) == {
        "internet tcp 443": "ECS, images, logs and secrets; images of bucket images; image of the registry"
    }
    elsewhere = {"local": {"bucket": "images", "image": "registry.example.com:8443/registry:3"}}
    assert instances(planned(elsewhere))["internet tcp 8443"] == "image of the registry"
    baked = {"instances": {**POOL["instances"], "image": "ami-0123456789abcdef0"}}
    closed = plan(stack({"web": WEB}, capacity=baked, registry=LOCAL, network=NO_NAT), {})
    assert instances(closed)["s3 tcp 443"] == "layers from ECR, updates; images of bucket images"
    assert "internet tcp 443" not in instances(closed)


# --- what is laid down -----------------------------------------------------------------------------------------------


def files(registry: InstanceRegistry = REGISTRY) -> dict[str, str]:
    """Path → content, of everything that the script writes."""
    found = re.findall(r"^cat > (\S+) <<'QUAYSIDE-END'\n(.*?)\nQUAYSIDE-END$", registry_script(registry), re.S | re.M)
    return {path: f"{content}\n" for path, content in found}


def test_it_listens_on_loopback_reads_only_and_holds_no_key() -> None:
    config = yaml.safe_load(files()["/etc/quayside/registry.yml"])
    assert config["http"]["addr"] == "127.0.0.1:5000"
    assert config["storage"]["s3"] == {"bucket": "images", "region": "eu-central-1"}
    assert config["storage"]["maintenance"]["readonly"]["enabled"] is True
    unit = files()["/etc/systemd/system/quayside-registry.service"]
    for option in ("--network host", "--read-only", "--cap-drop ALL", "--user 65534:65534", "--memory 128m"):
        assert option in unit
    assert "--privileged" not in unit
    assert "KEY" not in registry_script(REGISTRY).upper().replace("ACCESSKEY", "KEY")


def test_the_agent_waits_for_it_on_every_boot() -> None:
    gate = files()["/etc/systemd/system/quayside-registry-ready.service"]
    assert {"Before=ecs.service", "RequiredBy=ecs.service", "TimeoutStartSec=infinity"} <= set(gate.splitlines())
    last = registry_script(REGISTRY).splitlines()[-3:]
    assert last == [
        "systemctl daemon-reload",
        "systemctl enable quayside-registry.service quayside-registry-ready.service",
        "systemctl start quayside-registry-ready.service",
    ]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    for name, text in {"boot": registry_script(REGISTRY), "ready": files()["/etc/quayside/registry-ready"]}.items():
        (tmp_path / name).write_text(text)
        found = subprocess.run(
            ["shellcheck", "--shell=sh", str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing(tmp_path: Path) -> None:
    units = {Path(path).name: text for path, text in files().items() if path.endswith(".service")}
    for name, text in {**units, "docker.service": "[Service]\nExecStart=/bin/true\n"}.items():
        # systemd asks whether programs are there, which docker need not be.
        (tmp_path / name).write_text(text.replace("/usr/bin/docker", "/bin/true"))
    found = subprocess.run(
        ["systemd-analyze", "verify", *(str(tmp_path / name) for name in units)],
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in found.stderr.splitlines() if "quayside" in line]
    assert not ours, found.stderr


def test_the_user_data_has_room_for_it() -> None:
    # EC2 takes 16 KiB of user data, before base64.
    assert len(registry_script(REGISTRY).encode()) < 4096
