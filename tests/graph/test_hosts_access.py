"""Who enters the hosts of a fleet, as a preview has it: people's keys, the stack's own, and the way to the hosts."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from planning.hosts.entry import begin_of, comment_of, end_of
from planning.hosts.fleet import fleet as hosts
from platforms.machines import cloud_config
from rehearsal.errors import RehearsalError
from tests.graph.test_hetzner import (
    COMMAND,
    CONFIG,
    HOSTS,
    KEY,
    OFFICE,
    SERVER,
    SERVICES,
    Change,
    Fleet,
    fleets,
    rehearsed,
)
from tests.unit.test_hosts_security import planned
from tests.unit.test_hosts_security import stack as example

PRIVATE_KEY = "tls:index/privateKey:PrivateKey"
BASTION = "ci@bastion.example.com:2200"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fleet]:
    return fleets(tmp_path_factory)


def _access(**more: Any) -> Change:
    def change(_services: Any, config: Any) -> None:
        config["access"].update(more)
        config["burst"]["droplets"] = 1

    return change


def json_list(value: Any) -> list[str]:
    """A provider's settings are JSON inside."""
    return json.loads(value) if isinstance(value, str) else value


def _block(script: str) -> list[str]:
    body = script.partition("keys=$(cat <<'QUAYSIDE-KEYS'\n")[2]
    return body.partition("\nQUAYSIDE-KEYS\n")[0].splitlines()


def test_every_host_gets_the_stacks_block_of_keys_with_every_up(fleet: Any) -> None:
    made = fleet(_access())
    own = made.report.outputs["deploy_public_key"]
    for name in (*HOSTS, "burst1"):
        script = made.of(COMMAND)[name]["inputs"]["stdin"]
        assert begin_of("fx/t") in script
        assert end_of("fx/t") in script
        assert _block(script) == [f"{own} {comment_of('fx/t')}", KEY], name


def test_a_machine_boots_with_peoples_keys_for_root_alone() -> None:
    stack = example(access={"ssh": [OFFICE], "keys": [KEY]})
    document: Any = yaml.safe_load(cloud_config(stack, planned(), hosts(stack)[0].hosts["host1"]))
    # The stack's own comes by the cloud; another user than root would keep what he has for ever.
    assert _block(document["write_files"][0]["content"]) == [KEY]
    assert document["users"] == ["root"]
    assert "ssh_authorized_keys" not in document


def test_every_host_refuses_a_filter_that_shuts_out_who_brings_it(fleet: Any) -> None:
    made = fleet(_access())
    for name in (*HOSTS, "burst1"):
        found = made.of(COMMAND)[name]["inputs"]
        assert f'has_address "$peer" {OFFICE}; then' in found["stdin"]
        assert found["environment"]["QUAYSIDE_RANGES"] == OFFICE


def test_a_new_key_of_the_stack_is_let_in_by_the_one_before(fleet: Any) -> None:
    before, after = fleet(_access()), fleet(_access(deploy_key=1))
    keys = [{name for name in made.of(PRIVATE_KEY) if name.startswith("deploy")} for made in (before, after)]
    assert keys == [{"deploy"}, {"deploy", "deploy-1"}]
    for name in (*HOSTS, "burst1"):
        found = after.of(COMMAND)[name]["inputs"]
        previous = shlex.split(found["environment"]["QUAYSIDE_PREVIOUS_OPTIONS"])
        assert "IdentityFile=.quayside/ssh/t.previous.key" in previous
        assert "IdentityFile=.quayside/ssh/t.key" in shlex.split(found["environment"]["QUAYSIDE_OPTIONS"])
        revoked = found["stdin"].partition("revoked=$(cat <<'QUAYSIDE-KEYS'\n")[2].partition("\n")[0]
        assert revoked.startswith("ssh-ed25519 ")
        assert revoked not in _block(found["stdin"])
    assert before.of(SERVER)["host1"]["urn"] == after.of(SERVER)["host1"]["urn"]


@pytest.mark.parametrize("pinned", [True, False])
def test_all_that_connects_goes_through_the_jump_host(fleet: Any, pinned: bool) -> None:
    made = fleet(_access(jump=BASTION, **({"jump_host_key": KEY} if pinned else {})))
    tokens: list[Any] = [json_list(found["inputs"]["sshOpts"]) for found in made.of("pulumi:providers:docker").values()]
    environments = [found["inputs"].get("environment", {}) for found in made.of(COMMAND).values()]
    for variable in ("QUAYSIDE_OPTIONS", "QUAYSIDE_OWN_OPTIONS"):
        tokens += [shlex.split(environment[variable]) for environment in environments if environment.get(variable)]
    assert len(tokens) > 20
    for options in tokens:
        (jump,) = [word.partition("=")[2] for word in options if word.startswith("ProxyCommand=")]
        words = shlex.split(jump)
        assert words[-7:] == ["[%h]:%p", "-p", "2200", "-l", "ci", "--", "bastion.example.com"]
        assert "StrictHostKeyChecking=yes" in words
        assert [f"KnownHostsCommand=/bin/echo %%H {KEY}"] * pinned == [
            w for w in words if w.startswith("KnownHostsCom")
        ]
        # The stack's key is for the hosts, and is not shown to another.
        assert not [word for word in words if "IdentityFile" in word]
    for row in made.report.outputs["fleet"].values():
        assert row["jump"] == BASTION
        assert row.get("jump_host_key") == (KEY if pinned else None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"jump_host_key": KEY}, "quayside:access/jump_host_key: is of a jump host, and access.jump names none"),
        ({"jump": "bastion"}, "quayside:access/jump: should be a user and a host such as ci@bastion.example.com"),
        ({"jump": "ci@bastion:70000"}, "quayside:access/jump: should have a port of 1–65535, got 70000"),
        ({"jump": "ci@-oProxyCommand=x"}, "quayside:access/jump: should be a user and a host"),
    ],
)
def test_a_jump_host_that_cannot_be_is_refused(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    config["access"].update(more)
    with pytest.raises(RehearsalError) as refused:
        rehearsed(tmp_path / "p", copy.deepcopy(SERVICES), config)
    assert said in str(refused.value)
