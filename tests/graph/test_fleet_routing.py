"""The steps of a fleet's release and the certificates of its mesh, as the engine would be told of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pulumi
import pytest

from planning.hosts.certificates import certificates
from planning.names import Naming
from tests.components import Resources, Run

COMMAND = "command:local:Command"
DOWN = "c"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resources]:
    with pytest.MonkeyPatch.context() as patch:
        root: Path = tmp_path_factory.mktemp("fleet")
        patch.chdir(root)
        yield Run(root, patch)(program)


def program() -> None:
    from components.docker.connection import Connection, ConnectionArgs
    from components.docker.host_routing import FleetRouting, FleetRoutingArgs, HostRoutingArgs
    from components.docker.mesh import MeshCertificates, MeshCertificatesArgs

    hosts = ("a", "b", DOWN)
    plan = certificates(Naming(project="shop", stack="prod"), hosts, date(2026, 1, 1))
    mesh = MeshCertificates("mesh", MeshCertificatesArgs(certificates=plan))
    connection = Connection(ConnectionArgs(address="192.0.2.1", host_key="ssh-ed25519 AAAA", identity="key"))
    routed = {
        host: HostRoutingArgs(
            connection=connection,
            config=mesh.names[host].apply(lambda names: f"#: file {names.certificate}\n#: file {names.authorities}\n"),
            files=mesh.files(host),
            edge_name="shop_prod_edge",
            edge_id="4711",
            containers=[],
            down=host == DOWN,
        )
        for host in hosts
    }
    FleetRouting("routing", FleetRoutingArgs(hosts=routed, network_prefix="shop_prod_"))
    pulumi.export("names", {host: mesh.names[host].apply(lambda names: names.certificate) for host in hosts})


def waits_for(found: dict[str, Any]) -> set[str]:
    """Names of the steps that come before."""
    return {urn.rpartition("::")[2] for urn in found["dependencies"] if COMMAND in urn}


def test_each_host_takes_four_steps_and_waits_for_the_others(made: Resources) -> None:
    steps = made.of(COMMAND)
    assert set(steps) == {f"{host}-{phase}" for host in "abc" for phase in ("files", "accept", "route", "forget")}
    assert waits_for(steps["a-accept"]) == {"a-files"}
    assert waits_for(steps["a-route"]) == {"a-accept", "b-accept"}
    assert waits_for(steps["b-forget"]) == {"a-route", "b-route"}


def test_a_step_runs_whenever_the_one_before_it_did(made: Resources) -> None:
    steps = made.of(COMMAND)
    for host in "ab":
        for phase in ("files", "accept"):
            assert "QUAYSIDE_AFTER" not in steps[f"{host}-{phase}"]["inputs"]["environment"]
        for phase in ("route", "forget"):
            assert "QUAYSIDE_AFTER" in steps[f"{host}-{phase}"]["inputs"]["environment"]
    assert not any("triggers" in step["inputs"] for step in steps.values())
    assert all(step["deleteBeforeReplace"] for step in steps.values())
    assert {name for name, step in steps.items() if "delete" in step["inputs"]} == {f"{h}-accept" for h in "abc"}


def test_no_call_goes_to_a_host_that_is_down(made: Resources) -> None:
    for name, step in made.of(COMMAND).items():
        down = name.startswith(DOWN)
        assert step["ignoreChanges"] == (["*"] if down else [])
        # One that is down from the beginning is not reached for when it is made.
        assert step["inputs"]["create"] == (
            "true" if down else 'exec sh -c "$QUAYSIDE_REACH" reach "$QUAYSIDE_RELEASE"'
        )


def test_only_the_files_are_secret(made: Resources) -> None:
    for name, step in made.of(COMMAND).items():
        secret = step["inputs"]["stdin"] == "[secret]"
        assert secret == name.endswith("-files"), name


def test_keys_are_p256_and_authorities_are_three(made: Resources) -> None:
    keys = made.of("tls:index/privateKey:PrivateKey")
    assert set(keys) == {"mesh-ca_2021", "mesh-ca_2024", "mesh-ca_2027", "mesh-a", "mesh-b", "mesh-c"}
    assert all((k["inputs"]["algorithm"], k["inputs"]["ecdsaCurve"]) == ("ECDSA", "P256") for k in keys.values())
    leaf = made.of("tls:index/locallySignedCert:LocallySignedCert")["mesh-a"]["inputs"]
    assert leaf["earlyRenewalHours"] * 2 == leaf["validityPeriodHours"] == 730 * 24
