"""The registry on every host, and the logins at others: what the engine would be told, and what is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal import Report
from rehearsal.errors import RehearsalError
from rehearsal.values import SHOWN_SECRET, revealed
from settings.rules_registry import HOST_IMAGE
from tests.graph.test_hetzner import COMMAND, CONFIG, CONTAINER, DIGEST, OFFICE, SERVICES, Fleet, rehearsed

IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
PROVIDER = "pulumi:providers:docker"
HERE = f"localhost:5000/acme/web{DIGEST}"
KEYS = {
    "bucket_id": "AKIAEXAMPLE7QX",
    "bucket_secret": "wJalrXUtnFEMI-a-secret",
    "hub": "dckr_pat_a-secret",
    "other": "ghp_another",
}
LOCAL: dict[str, Any] = {
    "bucket": "images",
    "endpoint": "fsn1.your-objectstorage.com",
    "region": "fsn1",
    "access_key": "bucket_id",
    "secret_key": "bucket_secret",
}
HOSTS = ("host1", "host2", "host3", "box", "burst1")

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def with_registry(root: Path, change: Change | None = None) -> Report:
    services, config = copy.deepcopy(SERVICES), copy.deepcopy(CONFIG)
    config["registry"] = {"local": dict(LOCAL)}
    config["burst"] = {"services": ["web"], "droplets": 1, "size": "s-4vcpu-8gb", "region": "fra1"}
    config["registries"] = {
        "docker.io": {"username": "acme", "password": "hub"},
        "ghcr.io": {"username": "robot", "password": "other"},
    }
    services["web"]["image"] = HERE
    services["web"]["files"] = {"/etc/web/web.conf": {"content": "a"}}
    services["db"]["image"] = f"localhost:5000/acme/redis{DIGEST}"
    if change is not None:
        change(services, config)
    return rehearsed(root, services, config, {"token": "a secret", **KEYS})


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(with_registry(tmp_path_factory.mktemp("registry") / "p"))


# --- what is made ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_every_host_has_one_that_only_the_host_itself_reaches(fleet: Fleet, host: str) -> None:
    made = fleet.of(CONTAINER)[f"{host}_registry"]
    assert fleet.host_of(made) == host
    given = made["inputs"]
    assert given["ports"] == [{"internal": 5000, "external": 5000, "ip": "127.0.0.1"}]
    assert given["readOnly"] is True
    assert given["capabilities"] == {"drops": ["ALL"]}
    assert given["securityOpts"] == ["no-new-privileges:true"]
    assert given["user"] == "65534:65534"
    assert given["memory"] == given["memorySwap"] == 128
    assert given["image"] == HOST_IMAGE
    assert made["deleteBeforeReplace"], "two cannot have one port"


def test_it_reads_the_bucket_and_writes_nothing(fleet: Fleet) -> None:
    config = yaml.safe_load(environment(fleet, "host1")["CONFIG"])
    assert config["storage"] == {
        "s3": {
            "bucket": "images",
            "region": "fsn1",
            "regionendpoint": "https://fsn1.your-objectstorage.com",
            "forcepathstyle": True,
        },
        "redirect": {"disable": True},
        "maintenance": {"readonly": {"enabled": True}, "uploadpurging": {"enabled": False}},
        "cache": {"blobdescriptor": "inmemory"},
    }
    assert config["http"] == {"addr": ":5000"}


def environment(fleet: Fleet, host: str) -> dict[str, str]:
    given = fleet.of(CONTAINER)[f"{host}_registry"]["inputs"]["envs"]
    return dict(entry.split("=", 1) for entry in given if entry != SHOWN_SECRET)


def test_the_keys_of_the_bucket_are_secrets_and_nowhere_plain(fleet: Fleet) -> None:
    plain = environment(fleet, "host1")
    assert set(plain) == {"CONFIG", "GOMEMLIMIT", "OTEL_TRACES_EXPORTER"}
    assert len(fleet.of(CONTAINER)["host1_registry"]["inputs"]["envs"]) == 5
    said = json.dumps([fleet.report.resources, fleet.report.outputs], default=str)
    assert "OTEL_TRACES_EXPORTER" in said
    assert not [key for key, value in KEYS.items() if value in said]


def test_images_of_it_are_pulled_when_it_reads_its_bucket_and_others_do_not_wait(fleet: Fleet) -> None:
    ready = {host: fleet.of(COMMAND)[f"{host}_registry"]["urn"] for host in HOSTS}
    containers = fleet.of(CONTAINER)
    for slot, host in fleet.replicas().items():
        service = slot.split("-")[0].split("_")[0]
        waiting = containers[f"{host}_{slot}"]["dependencies"]
        if service == "web":
            assert ready[host] in waiting, slot
        elif service != "db":
            assert ready[host] not in waiting, slot
    assert ready["box"] in fleet.of(IMAGE)["box_db"]["dependencies"], "a service with a volume pulls before it stops"
    assert ready["host1"] not in fleet.of(IMAGE)["host1_disk"]["dependencies"]
    holders = {
        name: made for name, made in containers.items() if "/etc/web" in json.dumps(made["inputs"].get("uploads"))
    }
    assert len(holders) == len({host for slot, host in fleet.replicas().items() if slot.startswith("web")})
    for made in holders.values():
        assert ready[str(fleet.host_of(made))] in made["dependencies"], "what carries the files is of the same image"


def test_it_waits_for_nothing_but_the_host(fleet: Fleet) -> None:
    names = {urn: found["name"] for urn, found in fleet.by_urn.items()}
    made = fleet.of(CONTAINER)["host1_registry"]
    assert {names[urn] for urn in made["dependencies"]} <= {"host1_registry", "host1-placed"}  # its network
    assert {names[urn] for urn in fleet.of(COMMAND)["host1_registry"]["dependencies"]} >= {"host1_registry"}


def test_nobody_is_let_in_to_it_and_its_memory_is_not_for_services(fleet: Fleet, tmp_path: Path) -> None:
    rows: Any = fleet.report.outputs["reach"]
    assert not [row for row in rows if "5000" in json.dumps(row)]
    filters = [
        found["inputs"]["stdin"]
        for name, found in fleet.of(COMMAND).items()
        if "stdin" in found["inputs"] and "QUAYSIDE-DOCKER" in str(found["inputs"]["stdin"])
    ]
    for text in filters:
        assert "5000" not in text.replace("50000", "")

    def without(services: dict[str, Any], config: dict[str, Any]) -> None:
        del config["registry"]
        services["web"]["image"] = f"acme/web{DIGEST}"
        services["db"]["image"] = f"acme/redis{DIGEST}"

    bare = Fleet(with_registry(tmp_path / "p", without))
    assert not [name for name in bare.of(CONTAINER) if "registry" in name]
    before: Any = {row["host"]: row for row in bare.report.outputs["placement"]}  # type: ignore[union-attr]
    after: Any = {row["host"]: row for row in fleet.report.outputs["placement"]}  # type: ignore[union-attr]
    for host in HOSTS:
        assert total(before[host]) - total(after[host]) == 128


def total(row: dict[str, Any]) -> int:
    return sum(int(str(row[key]).split()[0]) for key in ("used", "surge", "free"))


def test_a_host_that_is_down_forgets_its_own_without_a_call(fleet: Fleet, tmp_path: Path) -> None:
    def down(_services: Any, config: dict[str, Any]) -> None:
        config["capacity"]["down"] = ["host2"]

    made = Fleet(with_registry(tmp_path / "p", down))
    assert "host2_registry" not in {*made.of(CONTAINER), *made.of(COMMAND), *made.of(NETWORK)}
    anchor = fleet.of(COMMAND)["host2-placed"]["urn"]
    for type_ in (CONTAINER, COMMAND, NETWORK):
        assert fleet.of(type_)["host2_registry"]["deletedWith"] == anchor


# --- logins at other registries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
def test_every_hosts_engine_logs_in_to_registries_by_a_secret(fleet: Fleet, host: str) -> None:
    shown = fleet.of(PROVIDER)[host]
    assert shown["inputs"]["registryAuth"] == SHOWN_SECRET
    (given,) = [found.inputs for found in fleet.report.registrations if found.urn == shown["urn"]]
    logins = {login.pop("address"): login for login in json.loads(revealed(given["registryAuth"]))}
    assert logins["ghcr.io"] == {"username": "robot", "password": KEYS["other"]}
    # `redis` is `registry-1.docker.io/library/redis` to the provider, which compares no more than this.
    for address in ("docker.io", "registry-1.docker.io", "index.docker.io"):
        assert logins[address] == {"username": "acme", "password": KEYS["hub"]}
    assert len(logins) == 4


# --- what cannot be --------------------------------------------------------------------------------------------------


def without(key: str) -> Change:
    def change(_services: Any, config: dict[str, Any]) -> None:
        del config["registry"]["local"][key]
        if key == "endpoint":
            del config["registry"]["local"]["region"]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda _s, c: c.pop("registry"),
            "services/web/image: comes from localhost:5000, and no registry runs on the hosts\n"
            "    set quayside:registry: {local: {bucket: …, endpoint: …}}, or name another registry",
        ),
        (
            lambda s, _c: s["api"].update(image=f"localhost:5001/api{DIGEST}"),
            "services/api/image: comes from localhost:5001, and hosts have their registry on localhost:5000",
        ),
        (
            lambda s, _c: s["api"].update(canary={"image": f"127.0.0.1:5000/api{DIGEST}", "share": 10}),
            "services/api/canary/image: comes from 127.0.0.1:5000, and hosts have their registry on localhost:5000",
        ),
        (
            lambda _s, c: c["registry"]["local"].update(image="localhost:5000/registry"),
            "quayside:registry/local/image: cannot come from the registry that it is to run",
        ),
        (
            lambda _s, c: c.update(edge={"image": "localhost:5000/haproxy"}),
            "quayside:edge/image: cannot come from localhost:5000: edges wait for no registry",
        ),
        (without("secret_key"), "quayside:registry/local/secret_key: is missing: hosts have no role"),
        (without("access_key"), "quayside:registry/local/access_key: is missing: hosts have no role"),
        (without("endpoint"), "quayside:registry/local/region: is missing: a bucket at AWS is asked for in its region"),
        (
            lambda _s, c: c["registry"]["local"].update(access_key="bucketid"),
            'quayside:registry/local/access_key: no secret "bucketid" in this stack; did you mean "bucket_id"?',
        ),
        (
            lambda _s, c: c["registry"]["local"].update(endpoint="https://s3.example.com/images"),
            "quayside:registry/local/endpoint: should be a host such as",
        ),
        (
            lambda s, _c: s.update(registry={"image": f"x{DIGEST}"}),
            "services/registry: is the name of what quayside:registry/local runs on every host",
        ),
        (
            lambda s, _c: s["db"].update(ports=[{"port": 5000, "sources": [OFFICE]}]),
            "services/db/ports/0/port: tcp 5000 is the port of quayside:registry/local",
        ),
        (lambda _s, c: c.update(edge={"https": 5000}), "quayside:edge/https: 5000 is the port of"),
        (
            lambda _s, c: c["registry"]["local"].update(memory="30GiB"),
            "and the system, Docker and the edge and the registry need",
        ),
    ],
)
def test_what_cannot_be_is_named_with_the_way_out(change: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(RehearsalError) as refused:
        with_registry(tmp_path / "p", change)
    assert message in "\n".join(line[2:] if line[:2] == "  " else line for line in str(refused.value).splitlines())
