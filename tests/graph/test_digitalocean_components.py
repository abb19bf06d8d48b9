"""DigitalOcean's components, and how any host is connected to and prepared, as the engine would be told of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pulumi
import pytest

from components.rules import Rule
from rehearsal import RehearsalError
from tests.components import Found, Resources, Run

CONFIG = "#cloud-config\npackages: [docker.io]\n"
ADMINS = "198.51.100.0/24"
EDGES = ("203.0.113.1", "203.0.113.2")
RULES = (
    Rule(protocol="tcp", first=8443, last=8443, sources=EDGES, why="the fleet's edges"),
    Rule(protocol="tcp", first=22, last=22, sources=[ADMINS], why="administration"),
)
DROPLET = "digitalocean:index/droplet:Droplet"
FIREWALL = "digitalocean:index/firewall:Firewall"
COMMAND = "command:local:Command"
PROVIDER = "pulumi:providers:docker"
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAJ5"
PASSWORD = "a-password-nobody-may-see"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("digitalocean")
        patch.chdir(root)
        yield Run(root, patch)


def burst(droplets: int, **changes: Any) -> Callable[[], None]:
    """The whole of a burst: what is there for any number of droplets, and those."""

    def main() -> None:
        from components.digitalocean.access import Access, AccessArgs
        from components.digitalocean.droplet import Droplet, DropletArgs
        from components.digitalocean.firewall import Firewall, FirewallArgs
        from components.digitalocean.network import Network, NetworkArgs

        network = Network("burst", NetworkArgs(region="fra1", description="shop/staging"))
        firewall = Firewall("burst", FirewallArgs(rules=RULES, tag="shop_staging_burst"))
        access = Access("burst", AccessArgs(public_key=HOST_KEY))
        args = DropletArgs(
            droplet_name="staging.shop",
            size="s-4vcpu-8gb",
            region="fra1",
            image="debian-12-x64",
            generation=0,
            cloud_config=CONFIG,
            ssh_key_ids=[access.id],
            vpc_id=network.vpc_id,
            tags=[firewall.tag],
            firewall=firewall.resource,
        )
        for number in range(1, droplets + 1):
            name = f"burst{number}"
            more = changes if number == 1 else {}
            made = Droplet(name, replace(args, **{"droplet_name": f"{name}.staging.shop", **more}))
            pulumi.export(name, {"address": made.address, "host_key": made.host_key, "id": made.droplet_id})

    return main


# --- burst -----------------------------------------------------------------------------------------------------------


def test_a_burst_is_a_network_a_firewall_and_its_droplets(run: Run) -> None:
    found = run(burst(4))
    assert found.count() == {
        "digitalocean Vpc": 1,
        "digitalocean Tag": 1,
        "digitalocean Firewall": 1,
        "digitalocean SshKey": 1,
        "digitalocean Droplet": 4,
        "tls PrivateKey": 4,
    }
    outputs = found.report.outputs
    assert len({outputs[f"burst{n}"]["host_key"] for n in range(1, 5)}) == 4
    assert len({outputs[f"burst{n}"]["address"] for n in range(1, 5)}) == 4


def test_the_number_changes_nothing_but_droplets(run: Run) -> None:
    none, two, four = (run(burst(number)) for number in (0, 2, 4))
    for fewer, more in ((none, two), (two, four), (none, four)):
        before = {one["urn"]: one for one in fewer.all}
        after = {one["urn"]: one for one in more.all}
        assert {urn: after[urn] for urn in before} == before
        assert all("Droplet" in urn for urn in after.keys() - before.keys())


def test_droplets_are_closed_before_they_are_there(run: Run) -> None:
    found = run(burst(2))
    firewall, tag = found.one(FIREWALL), found.one("digitalocean:index/tag:Tag")
    assert firewall["inputs"]["tags"] == [tag["inputs"]["name"]] == ["shop_staging_burst"]
    assert tag["urn"] in firewall["propertyDependencies"]["tags"]
    assert "dropletIds" not in firewall["inputs"]
    for droplet in found.of(DROPLET).values():
        assert droplet["inputs"]["tags"] == ["shop_staging_burst"]
        assert tag["urn"] in droplet["propertyDependencies"]["tags"]
        assert firewall["urn"] in droplet["dependencies"]
        assert {"Vpc burst", "Tag burst"} <= found.needs(droplet)


def test_a_firewall_opens_what_its_rules_name_and_no_more(run: Run) -> None:
    made = run(burst(0)).one(FIREWALL)["inputs"]
    assert made["inboundRules"] == [
        {"protocol": "tcp", "portRange": "8443", "sourceAddresses": ["203.0.113.1/32", "203.0.113.2/32"]},
        {"protocol": "tcp", "portRange": "22", "sourceAddresses": [ADMINS]},
    ]
    # Without these, DigitalOcean would let nothing out: no image could be fetched.
    assert [(rule["protocol"], rule.get("portRange")) for rule in made["outboundRules"]] == [
        ("tcp", "1-65535"),
        ("udp", "1-65535"),
        ("icmp", None),
    ]


def test_a_droplet_is_hardened_watched_and_known_by_its_key(run: Run) -> None:
    found = run(burst(1))
    droplet = found.one(DROPLET)
    inputs = droplet["inputs"]
    assert {key: inputs[key] for key in ("monitoring", "dropletAgent", "ipv6", "backups", "gracefulShutdown")} == {
        "monitoring": True,
        "dropletAgent": False,
        "ipv6": False,
        "backups": False,
        "gracefulShutdown": True,
    }
    assert len(inputs["sshKeys"]) == 1
    assert found.secret_inputs(droplet) == {"userData"}
    assert "PRIVATE KEY" not in found.plain()
    import yaml

    document = yaml.safe_load(found.registration(droplet).inputs["userData"].value)
    assert document["packages"] == ["docker.io"]
    assert document["ssh_keys"]["ed25519_public"] == found.report.outputs["burst1"]["host_key"]


def test_a_generation_raised_rebuilds_this_droplet_delete_first_and_nothing_else(run: Run) -> None:
    before, after = run(burst(2)), run(burst(2, generation=1))
    changed = [new["urn"] for old, new in zip(before.all, after.all, strict=True) if old != new]
    assert changed == [after.of(DROPLET)["burst1"]["urn"]]
    old, new = (found.of(DROPLET)["burst1"] for found in (before, after))
    assert {key for key in new["inputs"] if new["inputs"][key] != old["inputs"][key]} == {"name"}
    assert (old["inputs"]["name"], new["inputs"]["name"]) == ("burst1.staging.shop", "burst1.staging.shop.g1")
    assert new["replaceOnChanges"] == ["name"]
    assert new["deleteBeforeReplace"]


def test_what_would_replace_or_switch_off_every_droplet_at_once_waits_for_its_generation(run: Run) -> None:
    after = run(
        burst(
            1,
            size="c-4",
            region="ams3",
            image="debian-13-x64",
            cloud_config="#cloud-config\n{}\n",
            ssh_key_ids=["1"],
            vpc_id="other",
        )
    )
    old, new = run(burst(1)).one(DROPLET)["inputs"], after.one(DROPLET)["inputs"]
    different = {key for key in new if new[key] != old[key]} | {"userData"}  # secret, and so shown alike
    assert different == {"size", "region", "image", "userData", "sshKeys", "vpcUuid"}
    assert different == set(after.one(DROPLET)["ignoreChanges"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"droplet_name": "a" * 59}, "droplet_name should be 1–58 of a–z, 0–9, hyphens and dots"),
        ({"generation": -1}, "generation should be at least 0, got -1"),
        ({"ssh_key_ids": []}, "ssh_key_ids should have at least one"),
        ({"tags": []}, "tags should have the firewall's, got none"),
        ({"cloud_config": "packages: []\n"}, 'should begin with the line "#cloud-config", got "packages: \\[\\]"'),
    ],
)
def test_a_droplet_that_cannot_be_is_refused(run: Run, changes: Any, message: str) -> None:
    with pytest.raises(RehearsalError, match=message):
        run(burst(1, **changes))


def test_more_rules_than_a_firewall_can_have_are_refused(run: Run) -> None:
    def main() -> None:
        from components.digitalocean.firewall import Firewall, FirewallArgs

        rules = [Rule(protocol="tcp", first=n, last=n, sources=[ADMINS], why="x") for n in range(1, 49)]
        Firewall("burst", FirewallArgs(rules=rules, tag="x"))

    with pytest.raises(RehearsalError, match="rules should be at most 47, got 48"):
        run(main)


@pytest.mark.parametrize(
    ("type_", "inputs", "finding"),
    [
        ("Vpc", {"region": "fsn1"}, "region: should be one of nyc1"),
        ("Vpc", {"region": "fra1", "ip_range": "10.0.0.0/8"}, "ipRange: should be a private IPv4 range of /16 to /24"),
        ("Vpc", {"region": "fra1", "name": "a_b"}, "name: should be 1–255 letters, digits, dots or hyphens"),
        ("Tag", {"name": "a b"}, "name: should be 1–255 letters, digits, `:`, `-` or `_`, got 'a b'"),
        (
            "Firewall",
            {"inbound_rules": [{"protocol": "gre"}]},
            "inboundRules/protocol: should be one of tcp, udp, icmp",
        ),
        ("Firewall", {"inbound_rules": [{"protocol": "tcp"}]}, "inboundRules/portRange: is missing, and tcp requires"),
        ("Firewall", {"droplet_ids": list(range(1, 12))}, "dropletIds: should be at most 10 droplets a firewall"),
        (
            "Firewall",
            {"inbound_rules": [{"protocol": "tcp", "port_range": "all", "source_addresses": [ADMINS]}]},
            "inboundRules/portRange: should be a port or a range of ports within 1–65535, got 'all'",
        ),
        ("Droplet", {"image": "debian-12-x64", "size": "c-4", "region": "fra9"}, "region: should be one of nyc1"),
        ("Droplet", {"image": "debian-12-x64", "size": "c-4"}, "sshKeys: is missing"),
        ("Droplet", {"image": "debian-12-x64", "size": "c-4", "tags": ["a b"]}, "tags: should be 1–255 letters"),
    ],
)
def test_what_digitalocean_would_refuse_is_found_before(run: Run, type_: str, inputs: Any, finding: str) -> None:
    def main() -> None:
        import pulumi_digitalocean as digitalocean

        getattr(digitalocean, type_)("x", **inputs)

    said = [str(problem) for problem in run.problems(main).report.problems]
    assert [one for one in said if finding in one], said


# --- connections -----------------------------------------------------------------------------------------------------


def connected(*, user: str = "root", port: int = 22, machine: str | None = None, **more: Any) -> Callable[[], None]:
    """A host with its key, prepared, and its engine."""

    def main() -> None:
        from components.docker.connection import Connection, ConnectionArgs, Engine, EngineArgs, Login
        from components.docker.deploy_key import DeployKey, DeployKeyArgs
        from components.docker.prepared_host import PreparedHost, PreparedHostArgs

        key = DeployKey("deploy", DeployKeyArgs(stack="t"))
        connection = Connection(
            ConnectionArgs(
                address=more.get("address", "203.0.113.7"),
                host_key=more.get("host_key", HOST_KEY),
                identity=key.identity,
                user=user,
                port=port,
            )
        )
        prepared = PreparedHost(
            "db1",
            PreparedHostArgs(
                host="db1",
                connection=connection,
                script=more.get("script", "apt-get install docker.io\n"),
                owner="shop/prod 1f",
                public_key=key.public_key,
                machine=machine,
            ),
        )
        Engine(
            "db1",
            EngineArgs(
                connection=connection,
                registries={"ghcr.io": Login(username="ci", password=PASSWORD)},
                after=[prepared.resource],
            ),
        )
        for what in ("url", "command", "docker", "ssh_opts"):
            pulumi.export(what, getattr(connection, what))
        pulumi.export("ready", prepared.ready)

    return main


def options(found: Resources) -> list[str]:
    """The tokens of every place that connects, which are the same."""
    environment: Found = found.one(COMMAND)["inputs"]["environment"]
    return shlex.split(environment["QUAYSIDE_OPTIONS"])


def test_a_connection_is_a_provider_that_waits_for_its_host(run: Run) -> None:
    found = run(connected(port=2222))
    assert found.count() == {"tls PrivateKey": 1, "command Command": 1, "pulumi docker": 1}
    provider = found.one(PROVIDER)
    assert provider["inputs"]["host"] == "ssh://root@203.0.113.7:2222"
    assert "Command db1" in found.needs(provider)
    # Its settings do not derive from the preparation: they stay known while a host is prepared anew.
    command = found.one(COMMAND)["urn"]
    assert not [urns for urns in provider["propertyDependencies"].values() if command in urns]


def test_the_host_key_is_pinned_wherever_something_connects(run: Run) -> None:
    found = run(connected())
    tokens = options(found)
    outputs = found.report.outputs
    assert outputs["ssh_opts"] == tokens[:-2]
    assert tokens[-2:] == ["-p", "22"]
    assert shlex.split(outputs["command"]) == ["ssh", *tokens, "root@203.0.113.7"]
    assert shlex.split(outputs["docker"]) == ["ssh", *tokens, "root@203.0.113.7", "docker"]
    assert set(tokens[:-2:2]) == {"-o"}
    given = dict(token.split("=", 1) for token in tokens[1:-2:2])
    assert given["KnownHostsCommand"] == f"/bin/echo %H {HOST_KEY}"
    assert given["UserKnownHostsFile"] == given["GlobalKnownHostsFile"] == "/dev/null"
    assert (given["StrictHostKeyChecking"], given["BatchMode"], given["IdentitiesOnly"]) == ("yes", "yes", "yes")
    assert given["IdentityFile"] == ".quayside/ssh/t.key"
    assert (given["ControlMaster"], given["ControlPersist"]) == ("auto", "60s")
    assert len(given["ControlPath"].replace("%C", "x" * 40)) < 60  # of 104; ssh puts 17 behind it while it connects
    own = shlex.split(found.one(COMMAND)["inputs"]["environment"]["QUAYSIDE_OWN_OPTIONS"])
    assert f"KnownHostsCommand=/bin/echo %H {HOST_KEY}" in own
    assert "StrictHostKeyChecking=yes" in own
    assert not [token for token in own if token.startswith("IdentityFile")]


def test_no_secret_is_in_plain_inputs_and_no_key_in_any(run: Run) -> None:
    found = run(connected())
    assert "PRIVATE KEY" not in repr([one.inputs for one in found.report.registrations])
    assert PASSWORD not in found.plain()
    assert found.secret_inputs(found.one(PROVIDER)) == {"registryAuth"}
    assert found.secret_inputs(found.one(COMMAND)) == set()  # so that a preview shows the script's diff


def test_a_host_is_prepared_by_a_command_that_has_no_triggers_and_undoes_nothing(run: Run) -> None:
    command = run(connected()).one(COMMAND)
    assert command["inputs"]["stdin"] == "apt-get install docker.io\n"
    assert not {"triggers", "delete"} & command["inputs"].keys()
    assert command["inputs"]["environment"]["QUAYSIDE_SHELL"] == "sh -s"
    assert "apt-get" not in command["inputs"]["create"]


def test_a_changed_script_and_a_rebuilt_machine_are_prepared_anew_in_place(run: Run) -> None:
    before = run(connected(machine="77")).one(COMMAND)
    for changed, key in ((connected(machine="77", script="true"), "stdin"), (connected(machine="78"), "environment")):
        after = run(changed).one(COMMAND)
        assert after["urn"] == before["urn"]
        assert {name for name in after["inputs"] if after["inputs"][name] != before["inputs"][name]} == {key}
        assert after["replaceOnChanges"] == ["triggers[*]"]  # the SDK's own, and it has none


def test_a_made_machine_has_time_to_boot_and_one_that_was_there_has_not(run: Run) -> None:
    made = run(connected(machine="77")).one(COMMAND)["inputs"]["environment"]
    assert (made["QUAYSIDE_BOOTS"], made["QUAYSIDE_WAIT"], made["QUAYSIDE_REACH"]) == ("1", "600", "30")
    # By a person's own key a replaced key of the stack gets in again.
    assert made["QUAYSIDE_OWN_OPTIONS"].endswith("-o ControlMaster=no -o ControlPath=none -p 22")
    assert made["QUAYSIDE_PREVIOUS_OPTIONS"] == ""
    existing = run(connected()).one(COMMAND)["inputs"]["environment"]
    assert (existing["QUAYSIDE_BOOTS"], existing["QUAYSIDE_WAIT"]) == ("0", "30")


SUDO = 'sudo -n env "SSH_CONNECTION=$SSH_CONNECTION" sh -s'


def test_who_is_not_root_becomes_it(run: Run) -> None:
    found = run(connected(user="admin"))
    assert found.one(COMMAND)["inputs"]["environment"]["QUAYSIDE_SHELL"] == SUDO
    assert found.report.outputs["url"] == "ssh://admin@203.0.113.7:22"


def test_an_ipv6_address_is_bracketed_where_a_port_follows(run: Run) -> None:
    outputs = run(connected(address="2001:db8::7")).report.outputs
    assert outputs["url"] == "ssh://root@[2001:db8::7]:22"
    assert shlex.split(outputs["command"])[-1] == "root@2001:db8::7"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": "-oProxyCommand=x"}, "user should be a user's name"),
        ({"port": 0}, "port should be 1–65535, got 0"),
        ({"host_key": "ssh-ed25519 AAAA;reboot"}, "host_key should be a type and a key"),
        ({"host_key": "203.0.113.7 ssh-ed25519 AAAA"}, "host_key should be a type and a key"),
    ],
)
def test_what_a_command_line_could_mistake_is_refused(run: Run, changes: Any, message: str) -> None:
    with pytest.raises(RehearsalError, match=message):
        run(connected(**changes))
