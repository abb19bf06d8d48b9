"""A fleet as the engine would be told of it: how many of what, wired how, and what a change of its hosts touches."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal import Report, rehearse
from rehearsal.errors import RehearsalError
from rehearsal.secrets import set_secret
from tests.stories import PASSPHRASE, story

REPOSITORY = Path(__file__).parents[2]
CONTAINER = "docker:index/container:Container"
VOLUME = "docker:index/volume:Volume"
COMMAND = "command:local:Command"
SERVER = "hcloud:index/server:Server"
FIREWALL = "hcloud:index/firewall:Firewall"
DROPLET = "digitalocean:index/droplet:Droplet"
RRSET = "hcloud:index/zoneRrset:ZoneRrset"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBumMRcK6C8QIWffxuCIDzRHzVGlwRW1fMBKFypM6CMN"
DIGEST = "@sha256:" + "1f3c5a8e0b92d47c" * 4
OFFICE = "198.51.100.0/24"

SERVICES: dict[str, Any] = {
    "web": {
        "image": f"web{DIGEST}",
        "port": 8000,
        "replicas": 3,
        "uses": ["api", "db"],
        "after": ["db"],
        "secrets": {"TOKEN": "token"},
    },
    "api": {"image": f"api{DIGEST}", "port": 8000, "replicas": 2, "routes": [], "uses": ["db"]},
    "db": {
        "image": f"redis{DIGEST}",
        "port": 6379,
        "protocol": "tcp",
        "volume": "/data",
        "place": "box",
        "ports": [{"port": 6379, "sources": ["198.51.100.0/28"]}],
    },
    "disk": {"image": f"redis{DIGEST}", "port": 6380, "protocol": "tcp", "volume": "/data", "place": "host1"},
    "worker": {"image": f"worker{DIGEST}", "uses": ["db"]},
}
CONFIG: dict[str, Any] = {
    "cloud": "hetzner",
    "domain": "example.com",
    "dns": {"provider": "hetzner"},
    "capacity": {
        "location": "fsn1",
        "hosts": {"count": 3, "type": "cx33"},
        "existing": [{"name": "box", "address": "203.0.113.7", "cpu": 8, "memory": "32GiB", "host_key": KEY}],
        "balancer": {},
    },
    "burst": {"services": ["web"]},
    "access": {"ssh": [OFFICE], "keys": [KEY]},
}
HOSTS = ("host1", "host2", "host3", "box")
STEPS = ("files", "accept", "route", "forget", "admit", "burst", "settle")

Found = dict[str, Any]
Change = Callable[[dict[str, Any], dict[str, Any]], None]
SECRETS = {"token": "a secret", "site": "a secret"}


class Fleet:
    """What a fleet would be."""

    def __init__(self, report: Report) -> None:
        assert [str(problem) for problem in report.problems] == []
        self.report = report
        self.by_urn: dict[str, Found] = {found["urn"]: found for found in report.resources}

    def of(self, type_: str) -> dict[str, Found]:
        return {found["name"]: found for found in self.by_urn.values() if found["type"] == type_}

    def host_of(self, found: Found) -> str | None:
        """The host whose provider a Docker resource has."""
        named = found["provider"].rpartition("::")[0]
        return self.by_urn[named]["name"] if found["type"].startswith("docker:") and found["custom"] else None

    def on(self, host: str) -> list[Found]:
        return [found for found in self.by_urn.values() if self.host_of(found) == host]

    def replicas(self) -> dict[str, str]:
        """Slot → host; one that is down is not counted."""
        rows: Any = self.report.outputs["placement"]
        return {slot: row["host"] for row in rows for slot in row["runs"].split(", ") if slot != "–"}

    def hosts(self) -> dict[str, Any]:
        rows: Any = self.report.outputs["hosts"]
        return {row["host"]: row for row in rows}

    def config(self, host: str) -> str:
        return self.of(COMMAND)[f"{host}-route"]["inputs"]["stdin"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fleet]:
    return fleets(tmp_path_factory)


def fleets(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fleet]:
    known: dict[str, Fleet] = {}

    def get(change: Change | None = None) -> Fleet:
        services, config = copy.deepcopy(SERVICES), copy.deepcopy(CONFIG)
        if change is not None:
            change(services, config)
        key = json.dumps([services, config])
        if key not in known:
            known[key] = Fleet(rehearsed(tmp_path_factory.mktemp("fleet") / "p", services, config))
        return known[key]

    return get


def rehearsed(
    root: Path, services: Mapping[str, Any], config: Mapping[str, Any], secrets: Mapping[str, str] = SECRETS
) -> Report:
    root.mkdir()
    shutil.copy(REPOSITORY / "__main__.py", root)
    (root / "Pulumi.yaml").write_text("name: fx\nruntime: python\n")
    (root / "services.yaml").write_text(yaml.safe_dump({"services": services}))
    stack = {"config": {f"quayside:{key}": value for key, value in config.items()}}
    (root / "Pulumi.t.yaml").write_text(yaml.safe_dump(stack))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
        for key, value in secrets.items():
            set_secret(root / "Pulumi.t.yaml", f"quayside:secrets.{key}", value, PASSPHRASE)
        return rehearse("t", root)


def _same(before: Found, after: Found) -> bool:
    keys = ("inputs", "provider", "dependencies", "protect", "ignoreChanges")
    return all(before[key] == after[key] for key in keys)


# --- the whole -------------------------------------------------------------------------------------------------------


def test_exactly_what_the_plan_names_is_made(fleet: Any) -> None:
    made = fleet()
    count = Counter(found["type"] for found in made.by_urn.values() if found["custom"])
    assert {kind: number for kind, number in count.items() if kind.startswith(("hcloud:", "digitalocean:"))} == {
        "hcloud:index/sshKey:SshKey": 1,
        "hcloud:index/network:Network": 1,
        "hcloud:index/networkSubnet:NetworkSubnet": 1,
        "hcloud:index/placementGroup:PlacementGroup": 1,
        FIREWALL: 5,
        "hcloud:index/primaryIp:PrimaryIp": 6,
        SERVER: 3,
        "hcloud:index/volume:Volume": 1,
        "hcloud:index/loadBalancer:LoadBalancer": 1,
        "hcloud:index/loadBalancerNetwork:LoadBalancerNetwork": 1,
        "hcloud:index/loadBalancerTarget:LoadBalancerTarget": 3,
        "hcloud:index/loadBalancerService:LoadBalancerService": 1,
        "hcloud:index/managedCertificate:ManagedCertificate": 1,
        RRSET: 2,
    }
    assert count["pulumi:providers:docker"] == 4
    # Four edges; three of web, two of api, db, disk, worker.
    assert count[CONTAINER] == 4 + 8
    steps = {f"{host}-{step}" for host in HOSTS for step in ("room", "placed", "leave", *STEPS)}
    steps |= {f"{host}_edge" for host in HOSTS}
    rebuilds = {f"{host}-rebuild" for host in HOSTS if host != "box"}
    assert set(made.of(COMMAND)) == {*HOSTS, *steps, *rebuilds, "generations", "disk", "owner"}


def test_every_docker_resource_has_the_provider_of_its_host_and_goes_with_a_server_that_was_made(fleet: Any) -> None:
    made = fleet()
    servers = {name: found["urn"] for name, found in made.of(SERVER).items()}
    docker = [found for found in made.by_urn.values() if found["type"].startswith("docker:") and found["custom"]]
    assert docker
    for found in docker:
        host = made.host_of(found)
        assert host in HOSTS, found["name"]
        # The volume of a stateful service alone leaves out its host.
        assert found["name"].startswith((f"{host}-", f"{host}_")) or found["name"] in {"db", "disk"}
        anchor = made.of(COMMAND)[f"{host}-placed"]
        if found["protect"]:
            assert (found["name"], found["deletedWith"]) == ("db", "")
            continue
        stays = ":Edge$" in found["urn"]
        assert (found["deletedWith"] or None) == (servers.get(host) if stays else anchor["urn"]), found["name"]
        # And what it goes with goes with the server.
        assert (anchor["deletedWith"] or None) == servers.get(host)
    assert {host: len(made.on(host)) > 0 for host in HOSTS} == dict.fromkeys(HOSTS, True)


def test_a_host_is_reached_with_its_key_pinned_and_after_it_was_prepared(fleet: Any) -> None:
    made = fleet()
    for host, found in made.of("pulumi:providers:docker").items():
        assert found["inputs"]["host"] == f"ssh://root@{made.hosts()[host]['address']}:22"
        assert "StrictHostKeyChecking=yes" in str(found["inputs"]["sshOpts"])
        assert made.of(COMMAND)[host]["urn"] in found["dependencies"]
        assert made.of(COMMAND)[f"{host}-room"]["urn"] in found["dependencies"]


def test_a_host_that_leaves_is_emptied_before_its_data_and_its_edge_go(fleet: Any) -> None:
    """What is deleted goes before what it waited for. `destroy --exclude-protected` keeps the room, and not the anchor:
    so containers are forgotten, and taken away by this."""
    made = fleet()
    for host in HOSTS:
        leave = made.of(COMMAND)[f"{host}-leave"]
        before = {made.of(COMMAND)[f"{host}-{step}"]["urn"] for step in ("room", "forget")} | {
            made.of(COMMAND)[f"{host}_edge"]["urn"]
        }
        before |= {made.of(VOLUME)["db"]["urn"]} if host == "box" else set()
        assert made.of(CONTAINER)[f"{host}_edge"]["urn"] in made.of(COMMAND)[f"{host}_edge"]["dependencies"]
        assert before <= set(leave["dependencies"])
        assert leave["inputs"]["create"] == "true"
        assert leave["inputs"]["delete"].endswith("room away")
        provider = made.of("pulumi:providers:docker")[host]
        assert made.of(COMMAND)[f"{host}-placed"]["urn"] not in provider["dependencies"]


def test_replicas_are_where_the_placement_says(fleet: Any) -> None:
    made = fleet()
    containers = {name for name in made.of(CONTAINER) if not name.endswith("_edge")}
    assert containers == {f"{host}_{slot}" for slot, host in made.replicas().items()}
    assert (made.replicas()["db-1"], made.replicas()["disk-1"]) == ("box", "host1")


def test_data_is_protected_once_on_a_disk_of_its_own_where_the_host_is_made(fleet: Any) -> None:
    made = fleet()
    assert made.of(VOLUME)["db"]["protect"]
    disk = made.of(VOLUME)["disk"]
    assert not disk["protect"]
    assert disk["inputs"]["driverOpts"] == {"type": "none", "o": "bind", "device": "/mnt/quayside/disk/data"}
    assert made.of(COMMAND)["disk"]["urn"] in disk["dependencies"]
    (volume,) = made.of("hcloud:index/volume:Volume").values()
    assert volume["protect"]
    assert not volume["deletedWith"]


# --- what is open ----------------------------------------------------------------------------------------------------


def test_nothing_is_open_that_the_plan_does_not_name(fleet: Any) -> None:
    made = fleet()
    for name, server in made.of(SERVER).items():
        assert len(server["inputs"]["firewallIds"]) == 1, name
    addresses = {host: row["address"] for host, row in made.hosts().items()}
    for name, found in made.of(FIREWALL).items():
        opened = {(r["protocol"], r.get("port")): set(r["sourceIps"]) for r in found["inputs"]["rules"]}
        if name == "mesh":
            edges = {f"{address}/32" for address in addresses.values()}
            assert opened == {("tcp", "8443"): edges, ("icmp", None): edges}
            assert found["inputs"]["applyTos"]
        elif name == "access":
            assert opened == {("tcp", "22"): {OFFICE}, ("icmp", None): {OFFICE}}
            assert found["inputs"]["applyTos"]
            # New ranges are there before the old ones go, at the end of the `up`.
            assert (found["deleteBeforeReplace"], found["replaceOnChanges"]) == (False, ["rules"])
        else:
            # Behind a balancer, which comes by the private network, there is nothing but SSH.
            assert opened == {}
            assert "applyTos" not in found["inputs"]


def test_hosts_publish_what_the_plan_names_and_filter_it_themselves(fleet: Any) -> None:
    made = fleet()
    published = {
        name: {port["external"] for port in found["inputs"].get("ports", ())}
        for name, found in made.of(CONTAINER).items()
        if found["inputs"].get("ports")
    }
    # On every host alike, whatever it is for now: one more would replace the edge.
    assert published == {**{f"{host}_edge": {80, 443, 8443, 8405} for host in HOSTS}, "box_db-1": {6379}}
    scripts = {host: made.of(COMMAND)[host]["inputs"]["stdin"] for host in HOSTS}
    assert "-s 198.51.100.0/28 -p tcp --dport 6379 -j ACCEPT" in scripts["box"]
    assert all("6379" not in scripts[host] for host in HOSTS if host != "box")
    for host in HOSTS:
        others = {row["address"] for name, row in made.hosts().items() if name != host}
        assert all(f"-s {address}/32 -p tcp --dport 8443" in scripts[host] for address in others)
        # Visitors do not come to a server that the balancer does not know, and nobody but the balancer asks for health.
        for port in (80, 443, 8405):
            assert (f"--dport {port} " in scripts[host]) is (host != "box"), (host, port)
            admitting = [line for line in scripts[host].splitlines() if f"--dport {port} " in line]
            assert all(re.search(r"-s 10\.\d+\.\d+\.\d+/32 ", line) for line in admitting), admitting


def test_the_balancer_alone_is_believed_and_asks_where_no_proxy_protocol_is(fleet: Any) -> None:
    made = fleet()
    (service,) = made.of("hcloud:index/loadBalancerService:LoadBalancerService").values()
    assert service["inputs"]["proxyprotocol"] is True
    assert service["inputs"]["healthCheck"]["port"] == 8405
    assert "expect-proxy layer4 if { src 10.0." in made.config("host1")
    assert "bind :8405" in made.config("host1")
    assert {found["inputs"]["name"] for found in made.of(RRSET).values()} == {"web"}
    assert made.report.outputs["urls"] == ["https://web.example.com/"]


# --- routing ---------------------------------------------------------------------------------------------------------


def test_all_hosts_accept_before_any_routes_and_all_route_before_any_forgets(fleet: Any) -> None:
    made = fleet()
    commands = made.of(COMMAND)
    for host in HOSTS:
        assert {commands[f"{other}-accept"]["urn"] for other in HOSTS} <= set(commands[f"{host}-route"]["dependencies"])
        assert {commands[f"{other}-route"]["urn"] for other in HOSTS} <= set(commands[f"{host}-forget"]["dependencies"])
        mine = {f["urn"] for f in made.on(host) if f["type"] == CONTAINER}
        assert mine <= set(commands[f"{host}-accept"]["dependencies"])


def test_a_service_elsewhere_is_reached_by_its_hosts_gateway(fleet: Any) -> None:
    made = fleet()
    caller = made.replicas()["web-1"]
    assert caller != "box"
    assert "203.0.113.7:8443 sni str(db.box.quayside)" in made.config(caller)


def test_no_secret_is_in_what_a_preview_shows(fleet: Any) -> None:
    made = fleet()
    for name, found in made.of(COMMAND).items():
        if not name.endswith("-files"):
            assert "PRIVATE KEY" not in str(found["inputs"]), name
    assert "a secret" not in str(made.report.resources)


def test_a_given_certificate_is_passed_to_the_entries(fleet: Any) -> None:
    def given(_services: Any, config: Any) -> None:
        config["edge"] = {"certificate": "site"}
        del config["capacity"]["balancer"]
        config["dns"] = {"provider": "manual"}

    made = fleet(given)
    assert "ssl crt /var/lib/haproxy/mesh/site_" in made.config("box")
    records: Any = made.report.outputs["records"]
    assert {(r["name"], r["type"]) for r in records} == {("web.example.com", "A")}
    assert {r["value"] for r in records} == {row["address"] for row in made.hosts().values()}


def test_a_certificate_is_issued_for_the_routes_and_passed_to_the_entries(fleet: Any) -> None:
    def issued(services: Any, config: Any) -> None:
        config["edge"] = {"acme": {"email": "ops@example.com"}}
        config["dns"] = {"provider": "digitalocean"}
        del config["capacity"]["balancer"]
        services["api"]["routes"] = ["*.example.com", "example.com/api"]

    made = fleet(issued)
    (certificate,) = made.of("acme:index/certificate:Certificate").values()
    assert certificate["inputs"]["subjectAlternativeNames"] == ["*.example.com", "example.com"]
    assert certificate["inputs"]["dnsChallenges"] == [{"provider": "digitalocean", "config": {}}]
    for host in HOSTS:
        assert "ssl crt /var/lib/haproxy/mesh/site_" in made.config(host)
        # The files come first, and wait for the certificate.
        assert certificate["urn"] in made.of(COMMAND)[f"{host}-files"]["dependencies"]
    assert "https://example.com/api" in str(made.report.outputs["urls"])
    assert not any("plain HTTP" in note for note in made.report.notes)


def test_with_a_certificate_of_its_own_the_balancer_passes_tls_on(fleet: Any) -> None:
    def issued(_services: Any, config: Any) -> None:
        config["edge"] = {"acme": {"email": "ops@example.com"}}

    made = fleet(issued)
    assert not made.of("hcloud:index/managedCertificate:ManagedCertificate")
    services = made.of("hcloud:index/loadBalancerService:LoadBalancerService").values()
    assert {(one["inputs"]["listenPort"], one["inputs"]["protocol"]) for one in services} == {(80, "tcp"), (443, "tcp")}


def test_a_fleet_without_routes_has_nothing_to_get_a_certificate_for(fleet: Any) -> None:
    def issued(services: Any, config: Any) -> None:
        config["edge"] = {"acme": {"email": "ops@example.com"}}
        del config["capacity"]["balancer"]
        for service in services.values():
            service["routes"] = []

    made = fleet(issued)
    assert not made.of("acme:index/certificate:Certificate")
    assert "ssl crt" not in made.config("box").partition("frontend internal")[0]


# --- changes ---------------------------------------------------------------------------------------------------------


def _down(_services: Any, config: Any) -> None:
    config["capacity"]["down"] = ["host2"]


def test_a_host_that_is_down_is_left_alone_whatever_else_changes(fleet: Any) -> None:
    """No resource is on it that may not have been: with what was placed there goes what it is deleted with."""

    def grown(services: Any, config: Any) -> None:
        _down(services, config)
        services["web"]["replicas"] = 6
        services["more"] = {"image": f"more{DIGEST}", "port": 8000, "replicas": 4, "routes": []}

    before = fleet()
    placed = before.of(COMMAND)["host2-placed"]["urn"]
    for change in (_down, grown):
        after = fleet(change)
        assert after.hosts()["host2"]["state"] == "down"
        assert "host2" not in after.replicas().values()
        assert set(before.replicas()) <= set(after.replicas())
        assert {found["urn"] for found in after.on("host2")} <= {found["urn"] for found in before.on("host2")}
        assert placed not in after.by_urn
        gone = [found for urn, found in before.by_urn.items() if urn not in after.by_urn and found["custom"]]
        on_it = [f for f in gone if before.host_of(f) == "host2"]
        assert any(found["type"] == CONTAINER for found in on_it)
        assert {found["deletedWith"] for found in on_it} == {placed}
        steps = {"host2_edge", *(f"host2-{step}" for step in STEPS)}
        asked = [*after.on("host2"), *(f for name, f in after.of(COMMAND).items() if name in steps)]
        assert len(asked) > 5
        for found in asked:
            assert found["ignoreChanges"] == ["*"], found["name"]
            # With its server, or with what it is part of; retained, it would stay behind when it is replaced later.
            assert found["deletedWith"], found["name"]
            assert not found["retainOnDelete"], found["name"]
            assert not found["protect"]
        dead = {found["urn"] for found in asked}
        for found in after.by_urn.values():
            others = found["urn"] not in dead and found["custom"] and found["type"] != "pulumi:providers:docker"
            tied = dead & set(found["dependencies"]) if found["name"] != "host2-leave" else set[str]()
            assert not (others and tied), found["name"]


@pytest.mark.parametrize(("host", "service"), [("box", "db"), ("host1", "disk")])
def test_a_service_whose_data_is_on_a_host_that_is_down_is_unavailable_and_the_rest_is_released(
    fleet: Any, host: str, service: str
) -> None:
    def down(_services: Any, config: Any) -> None:
        config["capacity"]["down"] = [host]

    before, after = fleet(), fleet(down)
    assert f"{service}-1" in before.replicas()
    assert f"{service}-1" not in after.replicas()
    assert sorted({*after.replicas(), f"{service}-1"}) == sorted(before.replicas())
    # The data stays as it is, and nothing else of it.
    kept = after.of(VOLUME if service == "db" else "hcloud:index/volume:Volume")[service]
    if service == "db":
        assert kept["urn"] == before.of(VOLUME)["db"]["urn"]
        assert kept["ignoreChanges"] == ["*"]
        assert kept["deletedWith"]
    else:
        assert _same(before.of("hcloud:index/volume:Volume")["disk"], kept)
        assert kept["protect"]
        assert "disk" not in after.of(COMMAND)
    assert f"{host}_{service}-1" not in after.of(CONTAINER)
    assert any(f"{service} is UNAVAILABLE" in str(message) for message in after.report.notes)


def _calls(host: str, before: Fleet, after: Fleet) -> set[str]:
    """What an engine would do on a host, by its provider or a Command, going by what the states say."""

    def there(made: Fleet) -> dict[str, Found]:
        found = {one["urn"]: one for one in made.on(host)}
        # A Command that reaches the host has its address among its inputs.
        address = f"root@{made.hosts()[host]['address']}" if host in made.hosts() else "-"
        return found | {
            one["urn"]: one
            for one in made.of(COMMAND).values()
            if one["inputs"].get("environment", {}).get("QUAYSIDE_DESTINATION") == address
        }

    old, new = there(before), there(after)
    called = set[str]()
    for urn, one in new.items():
        told = one["inputs"].get("environment", {}).get("QUAYSIDE_DOWN") == "1"
        if one["type"] == COMMAND and (one["inputs"]["create"] == "true" or told):
            continue
        if urn not in old:
            called.add(f"make {one['name']}")
        elif one["ignoreChanges"] != ["*"] and not _same(old[urn], one):
            called.add(f"change {one['name']}")
    for urn, one in old.items():
        asks = one["type"] != COMMAND or "delete" in one["inputs"]
        if urn not in new and asks and (one["deletedWith"] or urn) in {urn, *after.by_urn}:
            called.add(f"{'refuse to ' if one['protect'] else ''}delete {one['name']}")
    return called


FILES = {"/etc/x/a.conf": {"content": "two"}}


def _all_else(services: Any, config: Any) -> None:
    """Of every service that has data, too."""
    for service in services.values():
        service.update(env={"A": "2"}, files=FILES, image=f"other{DIGEST}")
    services["db"]["ports"] = []
    services["disk"]["replicas"] = 0
    services["worker"]["ports"] = [{"port": 9000, "sources": [OFFICE]}]
    services["vault"] = {"image": f"redis{DIGEST}", "port": 7000, "protocol": "tcp", "volume": "/d", "place": "host1"}
    config["edge"] = {"memory": "300MiB"}


def _more_droplets(_services: Any, config: Any) -> None:
    config["burst"]["droplets"] = 2


def _removed(services: Any, _config: Any) -> None:
    del services["disk"], services["worker"]


@pytest.mark.parametrize("host", ["host1", "host2", "box"])
@pytest.mark.parametrize("change", [_all_else, _more_droplets, _removed])
def test_no_call_goes_to_a_host_that_is_down_whatever_changes_with_it_or_later(
    fleet: Any, host: str, change: Change
) -> None:
    def down(_services: Any, config: Any) -> None:
        config["capacity"]["down"] = [host]

    def both(services: Any, config: Any) -> None:
        down(services, config)
        change(services, config)

    up, changed = fleet(), fleet(change)
    still, moved = fleet(down), fleet(both)
    for before, after in ((up, still), (up, moved), (still, moved), (moved, still), (changed, moved), (changed, still)):
        assert _calls(host, before, after) == set()
    # By the same measure, it is called when it is there.
    assert _calls(host, moved, changed)


@pytest.mark.parametrize("change", [_more_droplets, _all_else])
def test_a_service_with_a_volume_that_goes_while_its_host_is_down_is_forgotten(fleet: Any, change: Change) -> None:
    """On a server that was there its volume is forgotten with it, unless with the very `up` that declares it down."""

    def gone(services: Any, config: Any) -> None:
        change(services, config)
        del services["db"]
        for name in ("web", "api", "worker"):
            services[name]["uses"] = [one for one in services[name].get("uses", []) if one != "db"]
        services["web"].pop("after", None)
        config["capacity"]["down"] = ["box"]

    def down(_services: Any, config: Any) -> None:
        config["capacity"]["down"] = ["box"]

    up, still, left = fleet(), fleet(down), fleet(gone)
    assert _calls("box", still, left) == set()
    assert _calls("box", up, left) == {"refuse to delete db"}


def test_a_new_volume_on_a_host_that_is_down_comes_after_what_refuses_it(fleet: Any) -> None:
    def new(services: Any, config: Any) -> None:
        services["vault"] = {"image": f"r{DIGEST}", "port": 7000, "protocol": "tcp", "volume": "/d", "place": "box"}
        config["capacity"]["down"] = ["box"]

    made = fleet(new)
    room = made.of(COMMAND)["box-room"]
    assert room["inputs"]["environment"]["QUAYSIDE_DATA"] == "db vault"
    assert room["urn"] in made.of("pulumi:providers:docker")["box"]["dependencies"]
    assert _calls("box", fleet(), made) == {"make vault"}


def test_no_other_container_waits_for_another_host_or_moves_when_one_is_down(fleet: Any) -> None:
    before, after = fleet(), fleet(_down)
    for urn, found in before.by_urn.items():
        # Edges are replaced one after another.
        if found["type"] == CONTAINER and before.host_of(found) != "host2" and not found["name"].endswith("_edge"):
            assert _same(found, after.by_urn[urn]), found["name"]


def test_a_draining_host_keeps_its_edge_and_loses_its_replicas(fleet: Any) -> None:
    def drain(_services: Any, config: Any) -> None:
        config["capacity"]["drain"] = ["host3"]

    before, after = fleet(), fleet(drain)
    assert "host3" not in after.replicas().values()
    assert sorted(after.replicas()) == sorted(before.replicas())
    assert {found["name"] for found in after.on("host3") if found["type"] == CONTAINER} == {"host3_edge"}
    assert 'string "draining"' in after.config("host3")
    moved = {slot for slot, host in before.replicas().items() if after.replicas()[slot] != host}
    assert moved == {slot for slot, host in before.replicas().items() if host == "host3"}


def test_a_host_with_data_on_a_disk_of_its_own_drains_but_for_that(fleet: Any) -> None:
    def drain(_services: Any, config: Any) -> None:
        config["capacity"]["drain"] = ["host1"]

    before, after = fleet(), fleet(drain)
    assert {slot for slot, host in after.replicas().items() if host == "host1"} == {"disk-1"}
    assert sorted(after.replicas()) == sorted(before.replicas())
    assert 'string "draining"' in after.config("host1")
    container = "host1_disk-1"
    assert _same(before.of(CONTAINER)[container], after.of(CONTAINER)[container])


def test_a_generation_replaces_one_server_and_nothing_else_changes(fleet: Any) -> None:
    def roll(_services: Any, config: Any) -> None:
        config["capacity"]["generation"] = {"host2": 1}

    before, after = fleet(), fleet(roll)
    assert set(before.by_urn) == set(after.by_urn)
    changed = {
        (found["type"], found["name"]) for urn, found in before.by_urn.items() if not _same(found, after.by_urn[urn])
    }
    assert changed == {(SERVER, "host2"), (COMMAND, "host2-rebuild"), (COMMAND, "generations")}
    server = after.of(SERVER)["host2"]
    assert server["replaceOnChanges"] == ["labels.generation"]
    assert server["deleteBeforeReplace"]


def test_no_server_is_touched_before_it_is_known_that_one_alone_is_rebuilt_and_drained(fleet: Any) -> None:
    made = fleet()
    commands = made.of(COMMAND)
    for host, server in made.of(SERVER).items():
        assert commands[f"{host}-rebuild"]["urn"] in server["dependencies"]
        assert commands["generations"]["urn"] in commands[f"{host}-rebuild"]["dependencies"]
        assert commands[f"{host}-rebuild"]["inputs"]["environment"]["QUAYSIDE_STACK"] == "fx/t"


def test_a_service_that_moves_to_another_created_host_takes_its_disk_along(fleet: Any) -> None:
    """First without a replica, so that nothing has the disk; then at the other place: the disk itself only moves."""

    def still(services: Any, _config: Any) -> None:
        services["disk"]["replicas"] = 0

    def there(services: Any, _config: Any) -> None:
        services["disk"].update(place="host2", replicas=1)

    before, stopped, moved = fleet(), fleet(still), fleet(there)
    assert "disk-1" not in stopped.replicas()
    disk, kept, new = (made.of("hcloud:index/volume:Volume")["disk"] for made in (before, stopped, moved))
    assert disk["urn"] == kept["urn"] == new["urn"]
    assert _same(disk, kept)
    assert new["protect"]
    differs = {key for key in disk["inputs"] if disk["inputs"][key] != new["inputs"][key]}
    assert differs == {"serverId"}
    # Docker's volume is of a host and has nothing in it but the way to the disk.
    assert moved.host_of(moved.of(VOLUME)["disk"]) == "host2"
    assert not moved.of(VOLUME)["disk"]["protect"]
    assert moved.replicas()["disk-1"] == "host2"


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda _s, c: c.update(registry={"local": {"bucket": "images"}}), "quayside:registry/local/access_key"),
        (
            lambda s, _c: s["api"].update(ports=[{"port": 9000, "protocol": "udp", "sources": [OFFICE]}]),
            "services/api/ports/0/protocol",
        ),
        (lambda s, _c: s["web"].update(routes=["elsewhere.org"]), "services/web/routes"),
        (lambda _s, c: c["capacity"].update(location="mars1"), "quayside:capacity/location"),
        (lambda _s, c: c["capacity"].update(balancer={"type": "lb99"}), "quayside:capacity/balancer/type"),
        (lambda _s, c: c.update(edge={"http": 8080}), "quayside:edge/http"),
        (lambda _s, c: c["access"].update(ssh=[]), "quayside:access/ssh"),
        (lambda _s, c: c.update(edge={"acme": {"email": "a@b.org"}}, dns={"provider": "manual"}), "quayside:edge/acme"),
        (lambda s, _c: s["db"].update(place="nowhere"), "services/db/place"),
    ],
)
def test_what_cannot_be_carried_out_is_named(change: Change, path: str, tmp_path: Path) -> None:
    services, config = copy.deepcopy(SERVICES), copy.deepcopy(CONFIG)
    change(services, config)
    with pytest.raises(RehearsalError, match=path):
        rehearsed(tmp_path / "p", services, config)


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    services, config = copy.deepcopy(SERVICES), copy.deepcopy(CONFIG)
    config["edge"] = {"http": 8080}
    config["access"]["ssh"] = []
    services["web"]["uses"] = ["nobody"]
    with pytest.raises(RehearsalError) as refused:
        rehearsed(tmp_path / "p", services, config)
    assert all(
        path in str(refused.value) for path in ("quayside:edge/http", "quayside:access/ssh", "services/web/uses")
    )


# --- stacks that people keep -----------------------------------------------------------------------------------------


def test_the_shops_staging_stack_is_as_designed() -> None:
    made = Fleet(rehearse("staging", REPOSITORY))
    assert {host: row["kind"] for host, row in made.hosts().items()} == {
        "host1": "created",
        "host2": "created",
        "host3": "created",
        "db1": "existing",
    }
    assert made.replicas()["session-1"] == "db1"
    assert not made.of(DROPLET)


@pytest.mark.parametrize("stack", ["prod", "move"])
def test_jam(stack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
    made = Fleet(story("jam").rehearse(stack, tmp_path / "project"))
    assert not made.of(SERVER)
    assert made.replicas()["mysql-1"] == ("alto" if stack == "prod" else "old1")
    if stack == "prod":
        assert len(made.of(DROPLET)) == 2
        alto = made.of(COMMAND)["alto"]["inputs"]["stdin"]
        assert "-s 198.51.100.0/28 -p tcp --dport 3306 -j ACCEPT" in alto
        for found in made.of("pulumi:providers:docker").values():
            assert found["inputs"]["registryAuth"] == "[secret]"
    else:
        # Traffic is on the old side, and each side serves both databases to whom it may concern.
        assert "weight 0" in made.config("old1")
        assert made.replicas()["mysql-new-1"] == "alto"
