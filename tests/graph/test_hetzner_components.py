"""Hetzner's components one by one, as the engine would be told of them: how many of what, wired how, open to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.rules import EVERYWHERE, Rule
from rehearsal import RehearsalError
from tests.components import Resources, Run

LABELS = {"dev.quayside.stack": "shop/staging"}
CONFIG = "#cloud-config\npackages: [docker.io]\n"
ADMINS = "198.51.100.0/24"
RULES = (
    Rule(protocol="tcp", first=443, last=443, sources=EVERYWHERE, why="visitors"),
    Rule(protocol="tcp", first=22, last=22, sources=[ADMINS], why="administration"),
    Rule(protocol="udp", first=30000, last=30100, sources=["203.0.113.7"], why="game"),
    Rule(protocol="icmp", sources=[ADMINS], why="ping"),
)
SERVER = "hcloud:index/server:Server"
KEY = "tls:index/privateKey:PrivateKey"
COMMAND = "command:local:Command"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("hetzner")
        patch.chdir(root)
        yield Run(root, patch)


def host_args(**changes: Any) -> Any:
    from components.hetzner.host import HostArgs

    return replace(
        HostArgs(
            server_name="shop-host1",
            server_type="cx33",
            location="fsn1",
            image="debian-12",
            generation=0,
            cloud_config=CONFIG,
            ssh_key_ids=["4711"],
            firewall_ids=[12],
            subnet_id="7-10.0.0.0/16",
            placement_group_id=9,
            labels=LABELS,
        ),
        **changes,
    )


def host(**changes: Any) -> Callable[[], None]:
    def main() -> None:
        from components.hetzner.host import Host

        made = Host("host1", host_args(**changes))
        for key in ("server_id", "address", "ipv6_address", "private_address", "host_key"):
            pulumi.export(key, getattr(made, key))

    return main


# --- network, placement, firewall ------------------------------------------------------------------------------------


def test_a_network_is_one_range_and_one_subnet_in_the_locations_zone(run: Run) -> None:
    def main() -> None:
        from components.hetzner.network import Network, NetworkArgs

        pulumi.export("subnet", Network("fleet", NetworkArgs(location="hil", labels=LABELS)).subnet_id)

    found = run(main)
    assert found.count() == {"hcloud Network": 1, "hcloud NetworkSubnet": 1}
    network, subnet = found.one("hcloud:index/network:Network"), found.one("hcloud:index/networkSubnet:NetworkSubnet")
    assert network["inputs"]["ipRange"] == subnet["inputs"]["ipRange"] == "10.0.0.0/16"
    assert (subnet["inputs"]["type"], subnet["inputs"]["networkZone"]) == ("cloud", "us-west")
    assert network["urn"] in subnet["propertyDependencies"]["networkId"]
    assert str(found.report.outputs["subnet"]).endswith("-10.0.0.0/16")


def test_a_location_that_is_not_hetzners_is_refused(run: Run) -> None:
    def main() -> None:
        from components.hetzner.network import Network, NetworkArgs

        Network("fleet", NetworkArgs(location="fra1", labels=LABELS))

    with pytest.raises(RehearsalError, match="location should be one of ash, fsn1, hel1, hil, nbg1, sin, got 'fra1'"):
        run(main)


@pytest.mark.parametrize(("hosts", "groups"), [(0, 0), (1, 1), (10, 1), (11, 2), (21, 3)])
def test_a_spread_group_has_ten_hosts_at_most(run: Run, hosts: int, groups: int) -> None:
    def main() -> None:
        from components.hetzner.placement import PlacementGroups, PlacementGroupsArgs

        names = {f"host{number}": "fsn1" for number in range(1, hosts + 1)}
        made = PlacementGroups("fleet", PlacementGroupsArgs(hosts=names, labels=LABELS))
        assert list(made.ids) == list(names)
        pulumi.export("ids", made.ids)

    found = run(main)
    made = found.of("hcloud:index/placementGroup:PlacementGroup")
    assert list(made) == [f"fleet-fsn1-{number}" for number in range(1, groups + 1)]
    assert {group["inputs"]["type"] for group in made.values()} <= {"spread"}
    ids = list(found.report.outputs["ids"].values())
    assert len(set(ids)) == groups
    assert max([ids.count(one) for one in ids], default=0) <= 10


def test_hosts_of_two_locations_are_in_two_groups(run: Run) -> None:
    def main() -> None:
        from components.hetzner.placement import PlacementGroups, PlacementGroupsArgs

        hosts = {"a": "fsn1", "b": "nbg1", "c": "fsn1"}
        pulumi.export("ids", PlacementGroups("fleet", PlacementGroupsArgs(hosts=hosts, labels=LABELS)).ids)

    ids = run(main).report.outputs["ids"]
    assert ids["a"] == ids["c"] != ids["b"]


def firewall(rules: Any = RULES, **more: Any) -> Callable[[], None]:
    def main() -> None:
        from components.hetzner.firewall import Firewall, FirewallArgs

        Firewall("fleet", FirewallArgs(rules=rules, labels=LABELS, **more))

    return main


def test_a_firewall_opens_what_its_rules_name_and_no_more(run: Run) -> None:
    made = run(firewall()).one("hcloud:index/firewall:Firewall")["inputs"]
    assert [
        (rule["direction"], rule["protocol"], rule.get("port"), rule["sourceIps"], rule["description"])
        for rule in made["rules"]
    ] == [
        ("in", "tcp", "443", ["0.0.0.0/0", "::/0"], "visitors"),
        ("in", "tcp", "22", [ADMINS], "administration"),
        ("in", "udp", "30000-30100", ["203.0.113.7/32"], "game"),
        ("in", "icmp", None, [ADMINS], "ping"),
    ]
    assert "applyTos" not in made


def test_rules_that_are_known_later_are_the_same(run: Run) -> None:
    def main() -> None:
        from components.hetzner.firewall import Firewall, FirewallArgs

        Firewall("fleet", FirewallArgs(rules=pulumi.Output.from_input("x").apply(lambda _: RULES), labels=LABELS))

    assert run(main).all == run(firewall()).all


def test_without_rules_a_firewall_is_closed(run: Run) -> None:
    assert run(firewall(rules=())).one("hcloud:index/firewall:Firewall")["inputs"]["rules"] == []


def test_a_firewall_for_droplets_is_put_on_by_labels(run: Run) -> None:
    made = run(firewall(applies_to=LABELS)).one("hcloud:index/firewall:Firewall")["inputs"]
    (selected,) = made["applyTos"]
    key, _, value = selected["labelSelector"].partition("=")
    assert made["labels"] == {key: value}  # what hosts of the same labels have: see below


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"protocol": "tcp", "first": 0, "last": 80, "sources": [ADMINS]}, "within 1–65535, got 0–80"),
        ({"protocol": "tcp", "first": 90, "last": 80, "sources": [ADMINS]}, "within 1–65535, got 90–80"),
        ({"protocol": "icmp", "first": 1, "last": 1, "sources": [ADMINS]}, "icmp has no ports"),
        ({"protocol": "tcp", "first": 80, "last": 80, "sources": []}, "at least one range, got none"),
    ],
)
def test_a_rule_that_is_none_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rule(why="x", **given)


def test_a_firewall_has_fifty_rules_at_most(run: Run) -> None:
    rules = [Rule(protocol="tcp", first=n, last=n, sources=[ADMINS], why="x") for n in range(1, 52)]
    with pytest.raises(RehearsalError, match="rules should be at most 50, got 51"):
        run(firewall(rules=rules))


def test_a_hosts_script_stays_a_block_of_lines(run: Run) -> None:
    import yaml

    script = "#!/bin/sh\n\nset -eu\n" + "echo 'x: \"y\"'\n" * 100
    document = {"write_files": [{"path": "/x", "content": script}]}
    given = "#cloud-config\n" + yaml.safe_dump(document, default_style="|")
    found = run(host(cloud_config=given))
    text = str(found.registration(found.one(SERVER)).inputs["userData"].value)
    assert yaml.safe_load(text)["write_files"] == document["write_files"]
    assert text.count("\n") < script.count("\n") + 20
    assert "    echo 'x: \"y\"'\n" in text


# --- hosts -----------------------------------------------------------------------------------------------------------


def test_a_host_is_a_server_two_addresses_and_a_key(run: Run) -> None:
    found = run(host())
    assert found.count() == {"hcloud Server": 1, "hcloud PrimaryIp": 2, "tls PrivateKey": 1}
    server = found.one(SERVER)
    assert server["inputs"]["firewallIds"] == [12]
    assert server["inputs"]["ignoreRemoteFirewallIds"] is True  # or an update would take off one put on by labels
    assert server["inputs"]["sshKeys"] == ["4711"]
    assert server["inputs"]["networks"] == [{"aliasIps": [], "subnetId": "7-10.0.0.0/16"}]
    assert server["inputs"]["shutdownBeforeDeletion"] is True
    assert server["inputs"]["placementGroupId"] == 9
    assert server["inputs"]["labels"]["generation"] == "0"


def test_the_addresses_outlive_the_server(run: Run) -> None:
    found = run(host())
    addresses = found.of("hcloud:index/primaryIp:PrimaryIp")
    assert set(addresses) == {"host1-ipv4", "host1-ipv6"}
    for address in addresses.values():
        assert address["inputs"]["autoDelete"] is False
        assert "assigneeId" not in address["inputs"]
        assert "assigneeType" not in address["inputs"]
        assert not [other for other in found.needs(address) if other.startswith("Server")]
    server = found.one(SERVER)
    (public,) = server["inputs"]["publicNets"]
    assert {found.report.outputs["address"], found.report.outputs["ipv6_address"]} == {
        address_of(found, "host1-ipv4"),
        address_of(found, "host1-ipv6"),
    }
    assert (public["ipv4Enabled"], public["ipv6Enabled"]) == (True, True)
    assert public["ipv4"] != public["ipv6"]
    assert set(server["propertyDependencies"]["publicNets"]) == {address["urn"] for address in addresses.values()}


def address_of(found: Resources, name: str) -> str:
    from rehearsal.simulate import simulate
    from rehearsal.simulate_aws import Aws

    one = found.of("hcloud:index/primaryIp:PrimaryIp")[name]
    made = str(simulate(found.registration(one), Aws()).outputs["ipAddress"])
    return f"{made}1" if ":" in made else made


def test_a_generation_raised_rebuilds_this_server_delete_first_and_nothing_else(run: Run) -> None:
    before, after = run(host()), run(host(generation=1))
    old, new = (found.one(SERVER) for found in (before, after))
    assert old["urn"] == new["urn"]
    assert new["replaceOnChanges"] == ["labels.generation"]
    assert new["deleteBeforeReplace"]
    assert new["inputs"]["labels"] == {**old["inputs"]["labels"], "generation": "1"}
    assert {key for key in new["inputs"] if new["inputs"][key] != old["inputs"][key]} == {"labels"}
    others = [[one for one in found.all if one["urn"] != new["urn"]] for found in (before, after)]
    assert others[0] == others[1]


def test_what_would_replace_or_switch_off_every_server_at_once_waits_for_its_generation(run: Run) -> None:
    changed = run(
        host(
            server_type="cx43",
            image="debian-13",
            location="nbg1",
            cloud_config="#cloud-config\n{}\n",
            ssh_key_ids=["1", "2"],
            placement_group_id=10,
        )
    )
    old, new = run(host()).one(SERVER)["inputs"], changed.one(SERVER)["inputs"]
    different = {key for key in new if new[key] != old[key]} | {"userData"}  # secret, and so shown alike
    assert different == {"serverType", "image", "location", "userData", "sshKeys", "placementGroupId"}
    assert different == set(changed.one(SERVER)["ignoreChanges"])
    for address in changed.of("hcloud:index/primaryIp:PrimaryIp").values():
        assert address["ignoreChanges"] == ["location"]


def test_the_host_key_is_the_programs_and_secret(run: Run) -> None:
    found = run(host())
    server = found.one(SERVER)
    assert found.secret_inputs(server) == {"userData"}
    assert list(found.of(KEY)) == ["host1_host-key"]
    assert found.of(KEY)["host1_host-key"]["inputs"] == {"algorithm": "ED25519"}
    assert "PRIVATE KEY" not in found.plain()
    import yaml

    text = found.registration(server).inputs["userData"].value
    head, _, body = str(text).partition("\n")
    document = yaml.safe_load(body)
    assert head == "#cloud-config"
    assert document["packages"] == ["docker.io"]
    assert document["ssh_deletekeys"] is True
    assert document["ssh_keys"]["ed25519_private"].startswith("-----BEGIN")
    assert document["ssh_keys"]["ed25519_public"] == found.report.outputs["host_key"]
    assert str(found.report.outputs["host_key"]).startswith("ssh-ed25519 ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"server_name": "Shop_1"}, "server_name should be 1–63 of a–z, 0–9, hyphens and dots, got 'Shop_1'"),
        ({"server_name": "a" * 64}, "server_name should be 1–63"),
        ({"location": "fra1"}, "location should be one of ash"),
        ({"generation": -1}, "generation should be at least 0, got -1"),
        ({"ssh_key_ids": []}, "ssh_key_ids should have at least one"),
        ({"firewall_ids": []}, "firewall_ids should have at least one"),
        ({"cloud_config": "#!/bin/sh\n"}, 'should begin with the line "#cloud-config", got "#!/bin/sh"'),
        ({"cloud_config": "#cloud-config\nssh_keys: {}\n"}, "should leave host keys to the host, got ssh_keys"),
        ({"cloud_config": "#cloud-config\n#" + "x" * 32000}, "cloud_config should be at most 31744 bytes, got"),
    ],
)
def test_a_host_that_cannot_be_is_refused(run: Run, changes: Any, message: str) -> None:
    with pytest.raises(RehearsalError, match=message):
        run(host(**changes))


def test_labels_are_what_hetzner_takes(run: Run) -> None:
    from components.hetzner.ids import label_value

    labels = run(host()).one(SERVER)["inputs"]["labels"]
    assert labels["host"] == "host1"
    assert labels["dev.quayside.stack"].startswith("shop.staging.")
    assert label_value("web1") == "web1"
    long = [label_value(f"{'x' * 70}{end}") for end in "ab"]
    assert max(map(len, long)) <= 63
    assert long[0] != long[1]
    assert label_value("a/b") != label_value("a.b") == "a.b"


# --- data volumes ----------------------------------------------------------------------------------------------------


def volume(size: int = 20, server_id: str = "77", user: str = "root") -> Callable[[], None]:
    def main() -> None:
        from components.docker.connection import Connection, ConnectionArgs
        from components.docker.prepared_host import PreparedHost, PreparedHostArgs
        from components.hetzner.volume import DataVolume, DataVolumeArgs

        connection = Connection(
            ConnectionArgs(address="203.0.113.5", host_key="ssh-ed25519 AAAA", identity="key", user=user)
        )
        prepared = PreparedHost(
            "host1",
            PreparedHostArgs(
                host="host1",
                connection=connection,
                script="true",
                owner="shop/prod 1f",
                public_key="ssh-ed25519 BBBB",
                machine=server_id,
            ),
        )
        made = DataVolume(
            "session",
            DataVolumeArgs(
                server_id=server_id, connection=connection, size=size, prepared=prepared.resource, labels=LABELS
            ),
        )
        assert made.device == "/mnt/quayside/session/data"

    return main


def test_data_is_on_a_protected_volume_that_is_mounted_once_the_host_is_ready(run: Run) -> None:
    found = run(volume())
    made = found.one("hcloud:index/volume:Volume")
    assert found.count() == {"hcloud Volume": 1, "command Command": 2}
    assert made["protect"]
    assert made["inputs"]["deleteProtection"] is True
    assert (made["inputs"]["size"], made["inputs"]["serverId"], made["inputs"]["format"]) == (20, 77, "ext4")
    mount = found.of(COMMAND)["session"]
    assert {"Volume session", "Command host1"} <= found.needs(mount)
    run_there = mount["inputs"]["environment"]["QUAYSIDE_RUN"]
    assert run_there.startswith("sh -s -- /dev/disk/by-id/scsi-0HC_Volume_")
    assert run_there.endswith(" /mnt/quayside/session")
    assert "mkfs" not in mount["inputs"]["stdin"]
    assert "triggers" not in mount["inputs"]


def test_a_rebuilt_server_gets_the_same_volume_in_place(run: Run) -> None:
    before, after = (run(volume(server_id=number)).one("hcloud:index/volume:Volume") for number in ("77", "78"))
    assert before["urn"] == after["urn"]
    assert {key for key in after["inputs"] if after["inputs"][key] != before["inputs"][key]} == {"serverId"}
    assert after["replaceOnChanges"] == []


def test_a_rebuilt_server_has_its_volume_mounted_anew(run: Run) -> None:
    before, after = (run(volume(server_id=number)).of(COMMAND)["session"]["inputs"] for number in ("77", "78"))
    assert {key for key in after if after[key] != before[key]} == {"environment"}


def test_a_larger_volume_is_mounted_anew_to_grow(run: Run) -> None:
    before, after = (run(volume(size=size)).of(COMMAND)["session"]["inputs"] for size in (20, 40))
    assert before["environment"]["QUAYSIDE_SIZE"] != after["environment"]["QUAYSIDE_SIZE"]


@pytest.mark.parametrize("size", [9, 10241])
def test_a_volume_of_no_size_is_refused(run: Run, size: int) -> None:
    with pytest.raises(RehearsalError, match=f"size should be 10–10240 GB, got {size} for session"):
        run(volume(size=size))


# --- load balancer ---------------------------------------------------------------------------------------------------


def balancer(tls: str | None, **changes: Any) -> Callable[[], None]:
    def main() -> None:
        from components.hetzner.load_balancer import EdgeTls, LoadBalancer, LoadBalancerArgs, ManagedTls

        domains = changes.pop("domains", ["example.com", "*.example.com"])
        made: dict[str, Any] = {
            "managed": ManagedTls(domains=domains, zone="example.com", port=8081),
            "edge": EdgeTls(port=8444),
        }
        args = LoadBalancerArgs(
            balancer_type="lb11",
            location="fsn1",
            subnet_id="7-10.0.0.0/16",
            targets={"host1": "101", "host2": "102"},
            http_port=8081,
            tls=made[tls] if tls else None,
            health_port=8405,
            health_path="/healthy",
            protect=True,
            labels=LABELS,
        )
        LoadBalancer("entry", replace(args, **changes))

    return main


SERVICE = "hcloud:index/loadBalancerService:LoadBalancerService"


def services(found: Resources) -> dict[str, tuple[Any, ...]]:
    return {
        name: tuple(one["inputs"][key] for key in ("protocol", "listenPort", "destinationPort", "proxyprotocol"))
        for name, one in found.of(SERVICE).items()
    }


def test_a_managed_certificate_ends_tls_at_the_balancer_which_redirects(run: Run) -> None:
    found = run(balancer("managed"))
    assert found.count() == {
        "hcloud LoadBalancer": 1,
        "hcloud LoadBalancerNetwork": 1,
        "hcloud LoadBalancerTarget": 2,
        "hcloud LoadBalancerService": 1,
        "hcloud ManagedCertificate": 1,
    }
    assert services(found) == {"entry-https": ("https", 443, 8081, True)}
    certificate = found.one("hcloud:index/managedCertificate:ManagedCertificate")
    assert certificate["inputs"]["domainNames"] == ["*.example.com", "example.com"]
    assert "name" not in certificate["inputs"]  # two of one name cannot exist, and it is replaced create-first
    http = found.one(SERVICE)["inputs"]["http"]
    assert (http["redirectHttp"], len(http["certificates"])) == (True, 1)


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ("edge", {"entry-http": ("tcp", 80, 8081, True), "entry-https": ("tcp", 443, 8444, True)}),
        (None, {"entry-http": ("tcp", 80, 8081, True)}),
    ],
)
def test_otherwise_the_balancer_passes_everything_on(run: Run, tls: str | None, expected: Any) -> None:
    found = run(balancer(tls))
    assert services(found) == expected
    assert found.of("hcloud:index/managedCertificate:ManagedCertificate") == {}


def test_targets_are_reached_in_the_private_network_and_asked_for_their_health(run: Run) -> None:
    found = run(balancer("edge"))
    targets = found.of("hcloud:index/loadBalancerTarget:LoadBalancerTarget")
    assert {name: one["inputs"]["serverId"] for name, one in targets.items()} == {
        "entry-host1": 101,
        "entry-host2": 102,
    }
    for target in targets.values():
        assert (target["inputs"]["type"], target["inputs"]["usePrivateIp"]) == ("server", True)
        assert "LoadBalancerNetwork entry" in found.needs(target)
    for service in found.of(SERVICE).values():
        check = service["inputs"]["healthCheck"]
        assert (check["protocol"], check["port"], check["http"]["path"]) == ("http", 8405, "/healthy")
        assert check["http"]["statusCodes"] == ["200"]
        assert service["deleteBeforeReplace"]
    one = found.one("hcloud:index/loadBalancer:LoadBalancer")
    assert one["protect"]
    assert one["inputs"]["deleteProtection"] is True


@pytest.mark.parametrize(
    ("tls", "changes", "message"),
    [
        ("managed", {"domains": ["shop.example.org"]}, "should be in Hetzner's zone example.com, got shop.example.org"),
        ("managed", {"domains": []}, "domains should have at least one name, got none"),
        ("edge", {"targets": {}}, "targets should have at least one host, got none"),
        ("edge", {"idle": 301}, "idle should be 30–300 seconds, got 301"),
    ],
)
def test_a_balancer_that_cannot_be_is_refused(run: Run, tls: str, changes: Any, message: str) -> None:
    with pytest.raises(RehearsalError, match=message):
        run(balancer(tls, **changes))


# --- DNS -------------------------------------------------------------------------------------------------------------


def dns(provider: Any, **changes: Any) -> Callable[[], None]:
    def main() -> None:
        from components.dns import Dns, DnsArgs

        args = DnsArgs(
            provider=provider,
            zone="example.com",
            zone_id="Z1" if provider == "route53" else None,
            names=["example.com", "*.example.com", "www.example.com"],
            ipv4={"host1": "203.0.113.1", "host2": "203.0.113.2"},
            ipv6={"host1": "2001:db8::1"},
        )
        pulumi.export("records", list(Dns("names", replace(args, **changes)).records))

    return main


def test_hetzners_zone_gets_one_set_a_name_and_type(run: Run) -> None:
    found = run(dns("hetzner"))
    assert found.count() == {"hcloud ZoneRrset": 6}
    made = found.of("hcloud:index/zoneRrset:ZoneRrset")
    assert {name: (one["inputs"]["name"], one["inputs"]["type"]) for name, one in made.items()} == {
        "example.com-a": ("@", "A"),
        "example.com-aaaa": ("@", "AAAA"),
        "any.example.com-a": ("*", "A"),
        "any.example.com-aaaa": ("*", "AAAA"),
        "www.example.com-a": ("www", "A"),
        "www.example.com-aaaa": ("www", "AAAA"),
    }
    first = made["example.com-a"]["inputs"]
    assert first["records"] == [{"value": "203.0.113.1"}, {"value": "203.0.113.2"}]
    assert (first["zone"], first["ttl"]) == ("example.com", 60)


def test_route_53_gets_one_record_a_name_and_type(run: Run) -> None:
    found = run(dns("route53"))
    assert found.count() == {"aws Record": 6}
    one = found.of("aws:route53/record:Record")["any.example.com-a"]["inputs"]
    assert (one["name"], one["zoneId"], one["records"]) == ("*.example.com", "Z1", ["203.0.113.1", "203.0.113.2"])


def test_digitalocean_gets_one_record_an_address(run: Run) -> None:
    found = run(dns("digitalocean"))
    assert found.count() == {"digitalocean DnsRecord": 9}
    one = found.of("digitalocean:index/dnsRecord:DnsRecord")["www.example.com-a-host2"]["inputs"]
    assert (one["domain"], one["name"], one["value"]) == ("example.com", "www", "203.0.113.2")


def test_with_other_dns_the_records_are_told(run: Run) -> None:
    found = run(dns("manual"))
    assert found.count() == {}
    assert len(found.report.outputs["records"]) == 9
    assert {"name": "www.example.com", "type": "AAAA", "value": "2001:db8::1"} in found.report.outputs["records"]
    assert found.report.notes == ()
    assert "DNS, to bring www.example.com to host2: www.example.com A 203.0.113.2" in run.update(dns("manual"))


@pytest.mark.parametrize(
    ("provider", "changes", "message"),
    [
        ("hetzner", {"names": ["shop.example.org"]}, "names should be in the zone example.com, got shop.example.org"),
        ("route53", {"zone_id": None}, "zone_id should be the id of example.com at Route 53, got none"),
        ("hetzner", {"ipv4": {}}, "ipv4 should have at least one address, got none"),
    ],
)
def test_records_that_cannot_be_are_refused(run: Run, provider: str, changes: Any, message: str) -> None:
    with pytest.raises(RehearsalError, match=message):
        run(dns(provider, **changes))


# --- what the rehearsal finds ----------------------------------------------------------------------------------------


def raw(type_: str, **inputs: Any) -> Callable[[], None]:
    def main() -> None:
        import pulumi_hcloud as hcloud

        getattr(hcloud, type_)("x", **inputs)

    return main


@pytest.mark.parametrize(
    ("type_", "inputs", "finding"),
    [
        ("PrimaryIp", {"type": "ipv5", "location": "fsn1", "auto_delete": False}, "type: should be one of ipv4, ipv6"),
        ("PrimaryIp", {"type": "ipv4", "location": "fsn2", "auto_delete": False}, "location: should be one of fsn1"),
        ("PrimaryIp", {"type": "ipv4", "location": "fsn1"}, "autoDelete: should be false"),
        ("Network", {"ip_range": "8.8.8.0/24"}, "ipRange: should be a private IPv4 range, got '8.8.8.0/24'"),
        ("Network", {"ip_range": "10.0.0.0/16", "labels": {"a": "x/y"}}, "labels/a: should be at most 63 letters"),
        ("Network", {"ip_range": "10.0.0.0/16", "labels": {"a": "x" * 64}}, "labels/a: should be at most 63 letters"),
        ("Network", {"ip_range": "10.0.0.0/16", "labels": {"-a": "x"}}, "labels/-a: should be a key of 1–63"),
        ("PlacementGroup", {"type": "stack"}, "type: should be one of spread, got 'stack'"),
        ("LoadBalancer", {"load_balancer_type": "lb12", "location": "fsn1"}, "loadBalancerType: should be one of lb11"),
        ("Volume", {"size": 5, "location": "fsn1"}, "size: should be 10–10240 GB, got 5"),
        ("Volume", {"size": 10, "location": "fsn1", "server_id": 3}, "should have either location or serverId"),
        (
            "Firewall",
            {"rules": [{"direction": "in", "protocol": "tcp"}]},
            "rules/port: is missing, and tcp requires it",
        ),
        (
            "Firewall",
            {"rules": [{"direction": "in", "protocol": "tcp", "port": "80", "source_ips": ["10.0.0.1/8"]}]},
            "rules/sourceIps: should be a range such as 198.51.100.0/24, with no bits behind its length",
        ),
        ("Server", {"server_type": "cx33", "name": "a_b"}, "name: should be a host name of at most 63 letters"),
        ("Server", {"server_type": "cx33", "user_data": "x" * 32769}, "userData: should be at most 32768 bytes"),
        ("Server", {"server_type": "cx33"}, "firewallIds: is missing"),
        ("Server", {"server_type": "cx33"}, "sshKeys: is missing"),
        ("Server", {"server_type": "cx33", "locaton": "x"}, ""),
    ],
)
def test_what_hetzner_would_refuse_is_found_before(run: Run, type_: str, inputs: Any, finding: str) -> None:
    if not finding:
        with pytest.raises(RehearsalError, match="locaton"):
            run.problems(raw(type_, **inputs))
        return
    said = [str(problem) for problem in run.problems(raw(type_, **inputs)).report.problems]
    assert [one for one in said if finding in one], said


def test_what_is_written_once_is_the_same_twice(run: Run) -> None:
    assert run(host()).all == run(host()).all


def test_a_rehearsal_leaves_no_key_behind(run: Run) -> None:
    def main() -> None:
        from components.docker.deploy_key import DeployKey, DeployKeyArgs

        made = DeployKey("deploy", DeployKeyArgs(stack="t"))
        pulumi.export("identity", made.identity)
        pulumi.export("public", made.public_key)

    found = run(main)
    assert found.report.outputs["identity"] == ".quayside/ssh/t.key"
    assert not Path(".quayside").exists()
    run.update(main)
    assert Path(".quayside/ssh/t.key").read_text().startswith("-----BEGIN")
    assert Path(".quayside/ssh/t.key").stat().st_mode & 0o777 == 0o600
