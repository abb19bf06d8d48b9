"""A ``local`` stack as the engine would be told of it: how many of what, wired how, and what a change touches."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal import Report, rehearse
from rehearsal.secrets import set_secret

REPOSITORY = Path(__file__).parents[2]
CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
COMMAND = "command:local:Command"
SECRET = "a-token-nobody-may-see"

SERVICES: dict[str, Any] = {
    "web": {
        "image": "web:1",
        "port": 8000,
        "replicas": 2,
        "memory": "64MiB",
        "uses": ["cart", "session"],
        "after": ["session"],
        "env": {"CART": "${cart.url}", "VERSION": "1"},
        "secrets": {"TOKEN": "token"},
        "files": {"/app/web.py": {"content": "print(1)"}, "/etc/web/web.conf": {"content": "x"}},
        "canary": {"image": "web:2", "share": 10},
    },
    "cart": {"image": "cart:1", "port": 8000, "uses": ["session"], "memory": "100MB"},
    "session": {
        "image": "redis:7",
        "port": 6379,
        "protocol": "tcp",
        "volume": "/data",
        "files": {"/etc/redis/redis.conf": {"content": "save 60 1"}},
    },
    "worker": {"image": "worker:1", "capabilities": ["NET_RAW"], "read_only": False, "writable": ["/var/cache"]},
    "agent": {"image": "agent:1", "network": "host"},
}


class Project:
    """A project in a folder of its own."""

    def __init__(self, root: Path, services: Mapping[str, Any]) -> None:
        self.root = root
        self.services = copy.deepcopy(dict(services))
        root.mkdir()
        shutil.copy(REPOSITORY / "__main__.py", root)
        self._write("Pulumi.yaml", {"name": "fx", "runtime": "python"})
        self._write("Pulumi.t.yaml", {"config": {"quayside:cloud": "local", "quayside:edge": {"http": 8099}}})
        if any(service.get("secrets") for service in self.services.values()):
            set_secret(root / "Pulumi.t.yaml", "quayside:secrets.token", SECRET, "phrase")

    def _write(self, name: str, document: object) -> None:
        (self.root / name).write_text(yaml.safe_dump(document))

    def rehearse(self) -> Report:
        self._write("services.yaml", {"services": self.services})
        report = rehearse("t", self.root)
        assert not report.problems
        return report


Resources = list[dict[str, Any]]


def of_type(resources: Resources, type_: str) -> dict[str, dict[str, Any]]:
    return {found["name"]: found for found in resources if found["type"] == type_}


def running(resources: Resources) -> dict[str, dict[str, Any]]:
    """The services' containers: no edge, and no holders of files, which never start."""
    found = of_type(resources, CONTAINER)
    return {name: c for name, c in found.items() if name != "edge" and c["inputs"].get("start") is not False}


def holders(resources: Resources) -> dict[str, dict[str, Any]]:
    return {name: c for name, c in of_type(resources, CONTAINER).items() if c["inputs"].get("start") is False}


def labels(found: Mapping[str, Any]) -> dict[str, str]:
    return {item["label"]: item["value"] for item in found["inputs"]["labels"]}


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")
        return Project(tmp_path_factory.mktemp("local") / "project", SERVICES).rehearse()


@pytest.fixture(scope="module")
def resources(report: Report) -> Resources:
    return report.resources


def test_exactly_the_declared_resources_exist(resources: Resources) -> None:
    assert set(running(resources)) == {"web-1", "web-2", "web-canary1", "cart-1", "session-1", "worker-1", "agent-1"}
    assert set(of_type(resources, NETWORK)) == {"edge", "web", "cart", "session", "worker"}
    # Two images of web, each with its own copy of the files; one of session.
    assert sorted(name.rpartition("_")[0] for name in holders(resources)) == ["session", "web", "web"]
    volumes = of_type(resources, VOLUME)
    assert {"edge", "session"} <= set(volumes)
    assert len(volumes) == 2 + 2 * 2 + 1
    assert set(of_type(resources, "docker:index/remoteImage:RemoteImage")) == {"edge", "session"}
    assert set(of_type(resources, COMMAND)) == {"edge", "routing"}


def test_the_edge_alone_publishes_a_port(resources: Resources) -> None:
    published = [found for found in of_type(resources, CONTAINER).values() if found["inputs"].get("ports")]
    assert [found["name"] for found in published] == ["edge"]
    assert published[0]["inputs"]["ports"] == [{"internal": 10080, "external": 8099, "ip": "0.0.0.0"}]


def test_each_container_is_in_its_own_network_and_no_other(resources: Resources) -> None:
    for name, found in running(resources).items():
        service = labels(found)["dev.quayside.service"]
        networks = [network["name"] for network in found["inputs"].get("networksAdvanced", [])]
        if service == "agent":
            assert (networks, found["inputs"]["networkMode"]) == ([], "host")
        else:
            assert networks == [f"fx_t_{service}"], name
            assert "networkMode" not in found["inputs"]
    for found in holders(resources).values():
        assert found["inputs"]["networkMode"] == "none"
    (edge,) = of_type(resources, CONTAINER)["edge"]["inputs"]["networksAdvanced"]
    assert edge == {"name": "0-fx_t"}


def test_networks_are_disjoint_and_keep_the_edges_address_out_of_the_dynamic_range(resources: Resources) -> None:
    subnets = set[str]()
    for network in of_type(resources, NETWORK).values():
        (ipam,) = network["inputs"]["ipamConfigs"]
        base = ipam["subnet"].rpartition(".")
        last = int(base[2].partition("/")[0])
        assert ipam["gateway"] == f"{base[0]}.{last + 1}"
        assert ipam["ipRange"] == f"{base[0]}.{last + 32}/27"
        subnets.add(ipam["subnet"])
    assert len(subnets) == 5


def test_stateless_containers_are_replaced_create_first_and_have_no_name(resources: Resources) -> None:
    stateless = {name: found for name, found in running(resources).items() if name != "session-1"}
    for found in [*stateless.values(), *holders(resources).values()]:
        assert (found["deleteBeforeReplace"], found["deleteBeforeReplaceDefined"]) == (False, True)
        assert "name" not in found["inputs"]
        assert not found["protect"]


def test_a_stateful_container_is_replaced_stop_first_on_a_protected_volume(resources: Resources) -> None:
    session = running(resources)["session-1"]
    assert (session["deleteBeforeReplace"], session["deleteBeforeReplaceDefined"]) == (True, True)
    assert session["inputs"]["name"] == "fx_t_session"
    assert not session["protect"]
    assert {"containerPath": "/data", "volumeName": "fx_t_session"} in session["inputs"]["volumes"]
    assert [name for name, volume in of_type(resources, VOLUME).items() if volume["protect"]] == ["session"]
    image = of_type(resources, "docker:index/remoteImage:RemoteImage")["session"]
    assert image["urn"] in session["dependencies"]


def test_the_routing_waits_for_every_container_and_has_no_triggers(resources: Resources) -> None:
    routing = of_type(resources, COMMAND)["routing"]
    wanted = {found["urn"] for found in [*running(resources).values(), of_type(resources, CONTAINER)["edge"]]}
    assert wanted <= set(routing["dependencies"])
    assert "triggers" not in routing["inputs"]
    config = routing["inputs"]["stdin"]
    for name in running(resources):
        if name != "agent-1":
            assert f"#: server {name.partition('-')[0]} {name} " in config


def test_after_orders_creation_and_nothing_else_depends_on_a_container(resources: Resources) -> None:
    containers = {found["urn"]: name for name, found in running(resources).items()}
    depends = {
        name: sorted(containers[urn] for urn in found["dependencies"] if urn in containers)
        for name, found in of_type(resources, CONTAINER).items()
    }
    assert {name: found for name, found in depends.items() if found} == {
        "web-1": ["session-1"],
        "web-2": ["session-1"],
        "web-canary1": ["session-1"],
    }


def test_hosts_name_what_is_used_and_nothing_else(resources: Resources) -> None:
    edges = {
        name: network["inputs"]["ipamConfigs"][0]["gateway"][:-1]
        for name, network in of_type(resources, NETWORK).items()
    }
    for name, found in running(resources).items():
        service = labels(found)["dev.quayside.service"]
        hosts = {entry["host"]: entry["ip"] for entry in found["inputs"].get("hosts", [])}
        assert set(hosts) == set(SERVICES[service].get("uses", ())), name
        # All of them are the edge, in the caller's own network.
        assert len(set(hosts.values())) <= 1
        assert all(ip.rpartition(".")[0] == edges[service].rpartition(".")[0] for ip in hosts.values())


def test_every_container_of_a_service_is_hardened_and_bounded(resources: Resources) -> None:
    for name, found in running(resources).items():
        inputs = found["inputs"]
        assert inputs["readOnly"] is (name != "worker-1"), name
        assert inputs["capabilities"]["drops"] == ["ALL"]
        assert inputs["securityOpts"] == ["no-new-privileges:true"]
        assert inputs["init"] is True
        assert inputs["memory"] == inputs["memorySwap"] > 0
        assert (inputs["logDriver"], inputs["logOpts"]) == ("local", {"max-size": "10m", "max-file": "3"})
        assert inputs["restart"] == "unless-stopped"
        assert inputs["destroyGraceSeconds"] == inputs["stopTimeout"] == 30
        assert inputs["mustRun"] is False
        assert not inputs.get("privileged")
    assert running(resources)["cart-1"]["inputs"]["memory"] == 96  # 100 MB, rounded up to whole MiB
    assert set(running(resources)["worker-1"]["inputs"]["tmpfs"]) == {"/tmp", "/var/cache"}
    # The engine reports them with the prefix: without it the first refresh would find drift.
    assert running(resources)["worker-1"]["inputs"]["capabilities"]["adds"] == ["CAP_NET_RAW"]


def test_nothing_mounts_the_docker_socket_or_any_folder_of_the_host(resources: Resources) -> None:
    assert "docker.sock" not in json.dumps([found["inputs"] for found in resources if found["type"] == CONTAINER])
    for found in of_type(resources, CONTAINER).values():
        assert "mounts" not in found["inputs"]
        assert not [mount for mount in found["inputs"].get("volumes", []) if mount.get("hostPath")]


def test_a_secret_is_in_its_container_and_nowhere_in_plain(report: Report) -> None:
    envs = running(report.resources)["web-1"]["inputs"]["envs"]
    assert envs == ["CART=http://cart", "VERSION=1", "[secret]"]
    assert not [
        name for name, found in running(report.resources).items() if "web" not in name and "[secret]" in str(found)
    ]
    assert SECRET not in json.dumps(report.to_json())
    assert SECRET not in repr(report)


def test_files_are_mounted_read_only_from_volumes_named_by_content(resources: Resources) -> None:
    mounts = running(resources)["web-1"]["inputs"]["volumes"]
    assert sorted(mount["containerPath"] for mount in mounts) == ["/app", "/etc/web"]
    assert all(mount["readOnly"] for mount in mounts)
    canary = running(resources)["web-canary1"]["inputs"]["volumes"]
    assert {mount["volumeName"] for mount in mounts}.isdisjoint({mount["volumeName"] for mount in canary})


def test_folders_that_look_alike_have_volumes_of_their_own(tmp_path: Path) -> None:
    paths = ["/etc/my-app/a", "/etc/my/app/a", "/etc/my_app/a", "/etc/plain/a", "/srv/my-app/a"]
    cart = {**SERVICES["cart"], "files": {path: {"content": "x"} for path in paths}, "uses": []}
    volumes = of_type(Project(tmp_path / "project", {"cart": cart}).rehearse().resources, VOLUME)
    assert {name.partition("_")[2].partition("-")[2] for name in volumes if name != "edge"} == {
        "etc-my_dapp",
        "etc-my-app",
        "etc-my_uapp",
        "etc-plain",
        "srv-my_dapp",
    }


def test_everything_carries_the_stacks_label(resources: Resources) -> None:
    for type_ in (CONTAINER, NETWORK, VOLUME):
        for found in of_type(resources, type_).values():
            assert labels(found)["dev.quayside.stack"] == "fx/t"
    assert labels(running(resources)["web-canary1"])["dev.quayside.role"] == "canary"
    assert labels(running(resources)["session-1"])["dev.quayside.role"] == "stateful"
    assert labels(running(resources)["web-2"])["dev.quayside.slot"] == "web-2"


def test_a_service_may_have_no_replica(tmp_path: Path) -> None:
    services = {**SERVICES, "cart": {**SERVICES["cart"], "replicas": 0}}
    resources = Project(tmp_path / "project", services).rehearse().resources
    assert "cart-1" not in of_type(resources, CONTAINER)
    assert set(of_type(resources, NETWORK)) == {"edge", "web", "cart", "session", "worker"}


def test_a_stateful_service_may_have_no_replica_and_keeps_its_volume(tmp_path: Path) -> None:
    services = {**SERVICES, "session": {**SERVICES["session"], "replicas": 0}}
    resources = Project(tmp_path / "project", services).rehearse().resources
    assert "session-1" not in of_type(resources, CONTAINER)
    assert of_type(resources, VOLUME)["session"]["protect"]


@pytest.mark.parametrize("services", [{}, {"cart": {"image": "cart:1", "port": 8000}}], ids=["none", "one"])
def test_a_stack_may_have_no_stateful_service(tmp_path: Path, services: dict[str, Any]) -> None:
    resources = Project(tmp_path / "project", services).rehearse().resources
    assert set(of_type(resources, NETWORK)) == {"edge", *services}
    assert "frontend public" in of_type(resources, COMMAND)["routing"]["inputs"]["stdin"]


# --- what a change touches -------------------------------------------------------------------------------------------


def fifty() -> dict[str, Any]:
    """Fifty services of every kind, tied together by `uses`."""
    services: dict[str, Any] = {}
    for number in range(50):
        name = f"s{number:02}"
        services[name] = {
            "image": f"app{number % 7}:1",
            "port": 8000 + number,
            "replicas": 1 + number % 3,
            "uses": [f"s{number // 2:02}"] if number else [],
            "env": {"VERSION": "1"},
        }
        if number % 5 == 0:
            services[name]["files"] = {"/app/main.py": {"content": f"print({number})"}}
        if number % 11 == 3:
            services[name] |= {"protocol": "tcp", "volume": "/data", "replicas": 1}
        if number % 13 == 5:
            services[name]["canary"] = {"image": "next:1", "share": 10}
    return services


def difference(before: Report, after: Report) -> set[tuple[str, str]]:
    """Type and name of all that is not as before. Outputs of the stack are no resource of a host."""
    old = {found["urn"]: found for found in before.resources}
    new = {found["urn"]: found for found in after.resources}
    urns = {urn for urn in old.keys() | new.keys() if old.get(urn) != new.get(urn)}
    return {(found["type"], found["name"]) for urn in urns if (found := new.get(urn) or old[urn])}


def beside_components(changed: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(type_, name) for type_, name in changed if not type_.startswith(("quayside:", "pulumi:"))}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", "phrase")
        report = Project(tmp_path_factory.mktemp("fifty") / "project", fifty()).rehearse()
    assert len(of_type(report.resources, NETWORK)) == 51
    return report


def containers_of(report: Report, service: str) -> set[tuple[str, str]]:
    return {
        (CONTAINER, n)
        for n, found in running(report.resources).items()
        if labels(found)["dev.quayside.service"] == service
    }


ROUTING = {(COMMAND, "routing")}


@pytest.mark.parametrize(
    ("service", "change"),
    [("s00", {"env": {"VERSION": "2"}}), ("s14", {"env": {"VERSION": "2"}}), ("s05", {"memory": "300MiB"})],
)
def test_a_release_of_one_of_fifty_touches_its_containers_and_the_routing(
    before: Report, tmp_path: Path, service: str, change: dict[str, Any]
) -> None:
    services = fifty()
    services[service] |= change
    after = Project(tmp_path / "project", services).rehearse()
    changed = difference(before, after)
    # The rehearsal names a container by its URN, so a routing that says only names shows no difference.
    assert containers_of(after, service) <= beside_components(changed) <= containers_of(after, service) | ROUTING


@pytest.mark.parametrize("service", ["s08", "s14"])
def test_a_new_image_for_one_of_fifty_touches_its_containers_and_the_routing(
    before: Report, tmp_path: Path, service: str
) -> None:
    services = fifty()
    services[service]["image"] = "app:2"
    after = Project(tmp_path / "project", services).rehearse()
    changed = beside_components(difference(before, after))
    # A stateful service's image is on the host before its container stops.
    pulled = {("docker:index/remoteImage:RemoteImage", service)} if service == "s14" else set[tuple[str, str]]()
    assert containers_of(after, service) <= changed <= containers_of(after, service) | ROUTING | pulled


def test_the_routing_names_the_containers_it_routes_to(before: Report) -> None:
    """So that replacing any container, which gets a new name, runs it."""
    config = of_type(before.resources, COMMAND)["routing"]["inputs"]["stdin"]
    routing = of_type(before.resources, COMMAND)["routing"]
    urns = {found["urn"] for found in running(before.resources).values()}
    assert urns <= set(routing["propertyDependencies"]["stdin"])
    for name in running(before.resources):
        assert f" {name}-" in config or f"fx_t_{name[:-2]}" in config


@pytest.mark.parametrize("name", ["a0", "zz"])
def test_adding_a_service_touches_nothing_but_the_routing(before: Report, tmp_path: Path, name: str) -> None:
    after = Project(tmp_path / "project", {**fifty(), name: {"image": "new:1", "port": 1, "routes": []}}).rehearse()
    assert beside_components(difference(before, after)) == ROUTING | {(CONTAINER, f"{name}-1"), (NETWORK, name)}
    # And the other way round, to remove it.
    assert beside_components(difference(after, before)) == ROUTING | {(CONTAINER, f"{name}-1"), (NETWORK, name)}


def test_a_changed_file_makes_new_volumes_and_containers_of_that_service_alone(before: Report, tmp_path: Path) -> None:
    services = fifty()
    services["s10"]["files"]["/app/main.py"]["content"] = "print('new')"
    after = Project(tmp_path / "project", services).rehearse()
    changed = beside_components(difference(before, after)) - ROUTING - containers_of(after, "s10")
    assert containers_of(after, "s10") <= difference(before, after)
    assert {type_ for type_, _ in changed} == {CONTAINER, VOLUME}
    assert len(changed) == 4  # the volume and its holder, old and new
    assert all(name.startswith("s10_") for _, name in changed)


def test_another_route_or_caller_touches_no_container(before: Report, tmp_path: Path) -> None:
    services = fifty()
    services["s07"]["routes"] = ["other.{domain}/x"]
    after = Project(tmp_path / "project", services).rehearse()
    # A label tells `quayside status` the address, so the service's own containers change with it.
    assert beside_components(difference(before, after)) <= ROUTING | containers_of(after, "s07")
