"""Machine images: what is baked, what is left to the first boot, and what must never be in one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planning.hosts import hostfiles
from planning.hosts.fleet import fleet
from planning.hosts.hostfiles import common_files, host_files
from planning.hosts.machine_images import ecs_files, ecs_image, host_image
from planning.hosts.refusals import refusals
from quayside.machine_images import outputs
from settings.stack import Stack
from settings.units import GIB
from tests.unit.test_hosts_prepare import FIREWALL, Machine

ROOT = Path(__file__).parents[2]
PACKER = ROOT / "packer"
TEMPLATES = sorted(PACKER.glob("*.pkr.hcl"))
POLICY = ROOT / "docs" / "aws" / "image-policy.json"
LAST_CALLS = "systemctl enable --quiet --now docker chrony quayside-swap quayside-prune.timer"


class Builder(Machine):
    """A machine that is baked: `policy` is what was said of starting services while packages were installed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        for command in ("cloud-init", "dnf", "sync"):
            self.stub(command)
        self.stub("apt-get", '[ ! -x "$QUAYSIDE_ROOT/usr/sbin/policy-rc.d" ] || echo "nothing starts" >>"$CALLS"')
        for path in ("etc", "root", "home", "var/log"):
            (self.root / path).mkdir(parents=True)

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def put(self, name: str, content: str = "x") -> Path:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(content)
        return self.path(name)

    def bake(self, script: str) -> tuple[int, str, list[str]]:
        """Exit code, what it said, the commands that were called."""
        self.calls.write_text("")
        ran = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False, env=self.environment())
        return ran.returncode, ran.stdout + ran.stderr, self.calls.read_text().splitlines()

    def files(self) -> Mapping[str, tuple[int, str]]:
        """Every file, but for the notes of what this very run changed, and where."""
        found = {path.relative_to(self.root): path for path in self.root.rglob("*") if path.is_file()}
        return {
            str(name): (path.stat().st_mode & 0o7777, "".join(sorted(path.read_text().splitlines(True))))
            for name, path in found.items()
            if str(name) not in {"var/lib/quayside/changed", "var/lib/quayside/sums"}
        }


@pytest.fixture
def machine(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


def own() -> set[str]:
    """What differs from host to host, or from stack to stack."""
    one = host_files("#!/bin/sh\n# 203.0.113.7\n", subnets="10.128.0.0/9", memory=2 * GIB)
    other = host_files("#!/bin/sh\n# 203.0.113.8\n", subnets="172.16.0.0/12", memory=64 * GIB)
    return {path for path in one if one[path] != other[path]}


# --- hosts -----------------------------------------------------------------------------------------------------------


def test_what_all_hosts_have_alike_is_baked_and_nothing_else() -> None:
    assert own() == {hostfiles.DAEMON, hostfiles.FIREWALL, hostfiles.SWAP}
    assert set(common_files()) == set(host_files(FIREWALL)) - own()
    assert all(host_files(FIREWALL)[path] == file for path, file in common_files().items())


def test_a_baked_host_is_after_its_first_boot_as_one_that_was_not_baked(tmp_path: Path) -> None:
    baked, plain = Builder(tmp_path / "baked"), Builder(tmp_path / "plain")
    assert baked.bake(host_image())[0] == 0
    found = host_files(FIREWALL, memory=8 * GIB)
    code, changed, calls = baked.prepare(found)
    assert (code, set(changed)) == (0, own())
    assert plain.prepare(found)[0] == 0
    # The image alone has an identity that the first boot fills in.
    assert baked.path("etc/machine-id").read_text() == ""
    baked.path("etc/machine-id").unlink()
    assert baked.files() == plain.files()
    # Docker starts at last, with its settings, and behind the filter.
    assert calls.index("firewall") < calls.index("systemctl restart docker") < calls.index(LAST_CALLS)
    assert baked.prepare(found)[1] == []


def test_a_baked_host_takes_its_packages_along_and_asks_no_mirror_at_its_first_boot(machine: Builder) -> None:
    missing = '[ "$4" = docker-ce ] || [ ! -e "$QUAYSIDE_ROOT/done" ] || echo "install ok installed"'
    machine.stub("dpkg-query", missing, record=False)
    machine.stub("apt-get", 'case "$*" in *" install "*) : >"$QUAYSIDE_ROOT/done" ;; esac')
    assert any("chrony unattended-upgrades" in call for call in machine.bake(host_image())[2])
    assert not [call for call in machine.prepare(host_files(FIREWALL))[2] if call.startswith("apt-get")]


def test_nothing_runs_while_it_is_baked_and_docker_waits_for_the_filter_of_its_host(machine: Builder) -> None:
    machine.stub("dpkg-query", "exit 1", record=False)
    code, _, calls = machine.bake(host_image())
    assert code == 0
    apt = [
        n for n, call in enumerate(calls) if call.startswith("apt-get") and (" upgrade " in call or " install " in call)
    ]
    assert len(apt) == 2
    assert all(calls[n + 1] == "nothing starts" for n in apt)
    assert not machine.path("usr/sbin/policy-rc.d").exists()
    assert [call for call in calls if call.startswith("systemctl")] == [
        f"systemctl --quiet --root={machine.root} disable docker.service docker.socket"
    ]
    assert not {path for path in own() if machine.path(path).exists()}


def test_services_start_again_where_baking_failed(machine: Builder) -> None:
    machine.stub("sshd", "exit 255")
    assert machine.bake(host_image())[0] != 0
    assert not machine.path("usr/sbin/policy-rc.d").exists()


SECRET = (
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "root/.ssh/authorized_keys",
    "home/admin/.ssh/authorized_keys",
    "root/.bash_history",
    "var/lib/cloud/instance/user-data.txt",
    "var/log/journal/1/system.journal",
    "var/lib/systemd/random-seed",
    "var/lib/dhcp/dhclient.eth0.leases",
)


@pytest.mark.parametrize("script", [host_image(), ecs_image()], ids=["host", "ecs"])
def test_no_key_identity_or_note_of_the_builder_is_left(machine: Builder, script: str) -> None:
    for name in SECRET:
        machine.put(name, "-----BEGIN OPENSSH PRIVATE KEY-----\n")
    log, identity = machine.put("var/log/auth.log"), machine.put("etc/machine-id", "0123\n")
    code, said, _ = machine.bake(script)
    assert (code, [name for name in SECRET if machine.path(name).exists()]) == (0, []), said
    assert (log.read_text(), identity.read_text()) == ("", "")


@pytest.mark.parametrize("script", [host_image(), ecs_image()], ids=["host", "ecs"])
def test_a_key_that_nobody_thought_of_is_no_part_of_an_image(machine: Builder, script: str) -> None:
    key = machine.put("home/admin/deploy.pem", "-----BEGIN RSA PRIVATE KEY-----\n")
    code, said, _ = machine.bake(script)
    assert code == 1
    assert f"no image: it would have private keys in it: {key}" in said


# --- ECS -------------------------------------------------------------------------------------------------------------


def test_an_image_for_ecs_keeps_docker_and_the_agent_as_aws_has_them(machine: Builder) -> None:
    state = machine.put("var/lib/ecs/data/agent.db")
    code, _, calls = machine.bake(ecs_image())
    assert (code, state.exists()) == (0, False)
    (upgrade, _) = [call for call in calls if call.startswith("dnf")]
    assert "--exclude=docker*,containerd*,runc*,ecs-init*" in upgrade
    assert [call for call in calls if call.startswith("systemctl")] == ["systemctl stop ecs"]
    assert set(ecs_files()) == {hostfiles.JOURNAL, hostfiles.SYSCTL}
    assert all(machine.path(path).read_text() == file.content for path, file in ecs_files().items())


# --- Packer ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", outputs(), ids=lambda path: path.name)
def test_the_scripts_are_current(path: Path) -> None:
    assert path.read_text() == outputs()[path], "run `make images`"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_are_clean() -> None:
    command = ["shellcheck", "--shell=sh", *map(str, outputs())]
    assert not subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_every_build_runs_a_script_that_is_there() -> None:
    assert [path.name for path in TEMPLATES] == ["aws.pkr.hcl", "hetzner.pkr.hcl"]
    hetzner, aws = ((PACKER / f"{name}.pkr.hcl").read_text() for name in ("hetzner", "aws"))
    assert re.findall(r'script += "\$\{path.root\}/(.*)"', hetzner) == ["host.sh"]
    assert re.findall(r'script += "\$\{path.root\}/(.*)"', aws) == ["${source.name}.sh"]
    assert {f"{name}.sh" for name in re.findall(r'source "amazon-ebs" "(.*)"', aws)} == {p.name for p in outputs()}


@pytest.mark.skipif(shutil.which("packer") is None, reason="packer is not installed: its own parser checks")
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_packer_takes_the_templates(path: Path) -> None:
    for command in (["fmt", "-check", "-diff"], ["validate", "-syntax-only"]):
        ran = subprocess.run(["packer", *command, str(path)], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_ecs_image_is_made_of_the_one_that_a_pool_would_take() -> None:
    from components.aws import pool

    known = re.findall(r'(amd64|arm64) = "(/aws/service/[^"]*)"', (PACKER / "aws.pkr.hcl").read_text())
    assert dict(known) == pool._IMAGES


# --- the builder's role ----------------------------------------------------------------------------------------------


def statements() -> list[dict[str, Any]]:
    return json.loads(POLICY.read_text())["Statement"]


def test_whatever_the_builder_makes_has_the_tag_that_its_role_asks_for() -> None:
    template = (PACKER / "aws.pkr.hcl").read_text()
    (key, value) = re.findall(r'own += \{ "(.*)" = "(.*)" \}', template)[0]
    # Machine, interface, way in and image get run_tags; the disk run_volume_tags; `tags` come when the image is there.
    builds = len(re.findall('source "amazon-ebs"', template))
    for argument in ("run_tags", "run_volume_tags", "tags"):
        assert len(re.findall(rf"(?m)^  {argument} += (merge\()?local.own\b", template)) == builds
    told = {
        (name, said)
        for statement in statements()
        for name, said in statement.get("Condition", {}).get("StringEquals", {}).items()
        if name.startswith(("aws:RequestTag/", "aws:ResourceTag/"))
    }
    assert told == {(f"aws:{kind}/{key}", value) for kind in ("RequestTag", "ResourceTag")}


def allows(action: str, resource: str, **context: str) -> bool:
    """IAM's own decision, as far as this policy needs it: StringEquals, and wildcards in resources."""
    from fnmatch import fnmatchcase

    def holds(statement: dict[str, Any]) -> bool:
        resources = statement["Resource"]
        resources = [resources] if isinstance(resources, str) else resources
        conditions = statement.get("Condition", {}).get("StringEquals", {})
        return (
            action in statement["Action"]
            and any(fnmatchcase(resource, one) for one in resources)
            and all(
                context.get(name.partition("/")[0]) in ([v] if isinstance(v, str) else v)
                for name, v in conditions.items()
            )
        )

    return any(holds(statement) for statement in statements())


HERE = "arn:aws:ec2:eu-central-1:123456789012:"
IMAGE, SNAPSHOT = "arn:aws:ec2:eu-central-1::image/ami-1", "arn:aws:ec2:eu-central-1::snapshot/snap-1"
ASKED, OWNED = {"aws:RequestTag": "built"}, {"aws:ResourceTag": "built"}


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        # One call asks for each of its resources: amazon-ebs of packer-plugin-amazon 1.8.2, step by step.
        ("ec2:CreateKeyPair", f"{HERE}key-pair/k", ASKED),
        ("ec2:CreateTags", f"{HERE}key-pair/k", {**ASKED, "ec2:CreateAction": "CreateKeyPair"}),
        ("ec2:CreateSecurityGroup", f"{HERE}security-group/sg", ASKED),
        ("ec2:CreateSecurityGroup", f"{HERE}vpc/vpc", {}),
        ("ec2:AuthorizeSecurityGroupIngress", f"{HERE}security-group/sg", OWNED),
        ("ec2:RunInstances", f"{HERE}instance/i", ASKED),
        ("ec2:RunInstances", f"{HERE}volume/v", ASKED),
        ("ec2:RunInstances", f"{HERE}network-interface/n", ASKED),
        ("ec2:RunInstances", f"{HERE}subnet/s", {}),
        ("ec2:RunInstances", f"{HERE}security-group/sg", OWNED),
        ("ec2:RunInstances", f"{HERE}key-pair/k", OWNED),
        ("ec2:RunInstances", IMAGE, {"ec2:Owner": "amazon"}),
        ("ec2:RunInstances", IMAGE, {"ec2:Owner": "136693071363"}),
        ("ec2:CreateTags", f"{HERE}instance/i", {**ASKED, "ec2:CreateAction": "RunInstances"}),
        ("ec2:StopInstances", f"{HERE}instance/i", OWNED),
        ("ec2:CreateImage", f"{HERE}instance/i", OWNED),
        ("ec2:CreateImage", IMAGE, ASKED),
        ("ec2:CreateImage", SNAPSHOT, ASKED),
        ("ec2:CreateTags", SNAPSHOT, {**ASKED, "ec2:CreateAction": "CreateImage"}),
        ("ec2:CreateTags", IMAGE, OWNED),
        ("ec2:TerminateInstances", f"{HERE}instance/i", OWNED),
        ("ec2:DeleteSecurityGroup", f"{HERE}security-group/sg", OWNED),
        ("ec2:DeleteKeyPair", f"{HERE}key-pair/k", OWNED),
        ("ec2:DeregisterImage", IMAGE, OWNED),
        ("ec2:DeleteSnapshot", SNAPSHOT, OWNED),
    ],
)
def test_the_builder_may_do_what_a_build_takes(action: str, resource: str, context: dict[str, str]) -> None:
    assert allows(action, resource, **context)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        # What it did not tag when it made it, whatever the request says.
        ("ec2:TerminateInstances", f"{HERE}instance/i", ASKED),
        ("ec2:StopInstances", f"{HERE}instance/i", {}),
        ("ec2:CreateImage", f"{HERE}instance/i", ASKED),
        ("ec2:DeregisterImage", IMAGE, ASKED),
        ("ec2:DeleteSnapshot", SNAPSHOT, {}),
        ("ec2:RunInstances", f"{HERE}security-group/sg", ASKED),
        ("ec2:AuthorizeSecurityGroupIngress", f"{HERE}security-group/sg", {}),
        # Nor may it make something without the tag, or put the tag on what is there already.
        ("ec2:RunInstances", f"{HERE}instance/i", {}),
        ("ec2:RunInstances", f"{HERE}volume/v", {}),
        ("ec2:CreateTags", f"{HERE}instance/i", ASKED),
        ("ec2:CreateTags", f"{HERE}instance/i", {**ASKED, "ec2:CreateAction": "CreateVolume"}),
        # Nor start from just any image, or with a role.
        ("ec2:RunInstances", IMAGE, {"ec2:Owner": "999999999999"}),
        ("ec2:RunInstances", IMAGE, ASKED),
        ("iam:PassRole", "arn:aws:iam::123456789012:role/quayside", OWNED),
    ],
)
def test_the_builder_may_touch_only_what_it_tagged_itself(action: str, resource: str, context: dict[str, str]) -> None:
    assert not allows(action, resource, **context)


# --- a stack that names one ------------------------------------------------------------------------------------------


def wrong(image: object, **hosts: str) -> list[str]:
    capacity = {"location": "fsn1", "hosts": {name: {"type": kind} for name, kind in hosts.items()}, "image": image}
    stack = Stack.model_validate(
        {"project": "shop", "name": "t", "cloud": "hetzner", "domain": "example.com", "capacity": capacity}
    )
    return [str(problem) for problem in refusals(stack, fleet(stack)[0])]


def test_an_image_by_its_id_is_of_one_architecture() -> None:
    assert wrong(4711, a="cx33", b="cx43") == []
    assert wrong("debian-12", a="cx33", b="cax21") == []
    assert wrong(4711, a="cx33", b="cax21") == [
        "quayside:capacity/image: 4711 is an image of one architecture, and hosts are amd64 (cx33) and arm64 (cax21)\n"
        "    make hosts of one architecture alone, or name one of Hetzner's own images, such as debian-12"
    ]


@pytest.mark.parametrize("image", ["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", 4711])
def test_images_that_hosts_are_prepared_on(image: object) -> None:
    assert wrong(image, a="cx33") == []


@pytest.mark.parametrize("image", ["rocky-9", "debian-11", "docker-ce", "fedora-42"])
def test_another_image_is_refused(image: str) -> None:
    assert wrong(image, a="cx33") == [
        f"quayside:capacity/image: {image} is none that hosts are prepared on\n"
        "    one of debian-12, debian-13, ubuntu-22.04, ubuntu-24.04, "
        "or the id of a snapshot of your own that was made from one of them"
    ]
