"""Names are injective (decisions.md 35): two different things never have one name, nor one the beginning of another's.

Every function of the modules of names is listed here with how to call it, so a new one without the property fails.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from types import ModuleType

from hypothesis import example, given, settings
from hypothesis import strategies as st

import planning.aws.names
import planning.hosts.labels
import planning.hosts.slots
import planning.names
from planning.hosts.certificates import file_name
from planning.hosts.labels import probe, slot_label
from planning.hosts.slots import burst_slot, service_of
from planning.names import EDGE, Naming, fitting, folder_key, on_host
from settings.rules import RESERVED
from tests.property.test_edge_routing import BOUNDED

MANY = settings(BOUNDED, max_examples=100)
Parts = tuple[str, ...]

# Parts that look like each other's joints, and some of the longest.
_PART = st.lists(
    st.sampled_from(["a", "eu", "db", "prod", "1", "edge", "door", "canary1", "ca", "g1"]), min_size=1, max_size=4
)
NAMES = st.one_of(
    st.builds("-".join, _PART).filter(lambda name: name[0].isalpha()).map(lambda name: name[:40].rstrip("-")),
    st.from_regex("[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True),
    st.sampled_from(["a" * 39 + "b", "a" * 40, "a--b", "prod-eu", "prod"]),
)
SERVICES = NAMES.filter(lambda name: name not in RESERVED)
FOLDERS = st.from_regex("(/[A-Za-z0-9._@+=-]{1,8}){1,3}", fullmatch=True)

DOCKER = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]*")
HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def of(project: str, stack: str) -> Naming:
    return Naming(project=project, stack=stack)


# What a thing is called, by kind. Kinds of one namespace are together: no two of them may share a name either.
NAMESPACES: Mapping[str, Mapping[str, Callable[[str, str, str], str]]] = {
    "container": {
        "edge": lambda project, stack, service: of(project, stack).edge,
        "stateful": lambda project, stack, service: of(project, stack).stateful(service),
        "door": lambda project, stack, service: of(project, stack).door(service),
    },
    "network": {
        "edge_network": lambda project, stack, service: of(project, stack).edge_network,
        "network": lambda project, stack, service: of(project, stack).network(service),
    },
    "volume": {
        "edge": lambda project, stack, service: of(project, stack).volume(EDGE),
        "volume": lambda project, stack, service: of(project, stack).volume(service),
    },
    "label": {"key": lambda project, stack, service: of(project, stack).key},
    "prefix": {"prefix": lambda project, stack, service: of(project, stack).prefix},
    "machine": {"machine": lambda project, stack, service: of(project, stack).machine(service)},
    "tag": {"tag": lambda project, stack, service: of(project, stack).tag(service)},
    "family": {"task_family": lambda project, stack, service: of(project, stack).task_family(service)},
    "service's label": {
        "labels": lambda project, stack, service: repr(of(project, stack).labels(service, "service", f"{service}-1"))
    },
    "authority": {"organization": lambda project, stack, service: fitting(of(project, stack).key, 64)},
}
OF_A_STACK = {"edge", "edge_network", "key", "prefix", "organization"}
"""Kinds of which a stack has one."""

TESTED: Mapping[ModuleType, frozenset[str]] = {
    planning.names: frozenset({"folder_key", "on_host", "fitting"}),
    planning.aws.names: frozenset({"short"}),
    planning.hosts.labels: frozenset({"labels", "slot_label", "probe", "name"}),
    planning.hosts.slots: frozenset({"replica_slots", "canary_slots", "burst_slot", "service_of", "thousandths"}),
}
"""What the tests below are about, and two that name nothing: `service_of`, `thousandths`."""


def test_every_function_of_names_is_tested_here() -> None:
    for module, functions in TESTED.items():
        own = {
            name for name, each in inspect.getmembers(module, inspect.isfunction) if each.__module__ == module.__name__
        }
        assert {name for name in own if not name.startswith("_")} == functions, module.__name__
    called = {kind for kinds in NAMESPACES.values() for kind in kinds}
    own = {name for name in vars(Naming) if not name.startswith("_")} - {"project", "stack"}
    assert own <= called | {"volume"}, "a new name of a stack belongs into NAMESPACES"


@MANY
@given(st.lists(st.tuples(NAMES, NAMES, SERVICES), min_size=2, max_size=8, unique=True))
@example([("shop", "prod", "eu-db"), ("shop", "prod-eu", "db")])
@example([("shop-prod", "eu", "db"), ("shop", "prod-eu", "db")])
@example([("a" * 40, "b" * 40, "c" * 40), ("a" * 40, "b" * 40, "c" * 39)])
@example([("a", "b", "web"), ("a", "b", "web-door")])
def test_two_things_never_have_one_name(things: list[tuple[str, str, str]]) -> None:
    for namespace, kinds in NAMESPACES.items():
        owners: dict[str, object] = {}
        for kind, call in kinds.items():
            for project, stack, service in things:
                name = call(project, stack, service)
                # The stack has one of these, whatever the service.
                owner = (kind, project, stack) if kind in OF_A_STACK else (kind, project, stack, service)
                assert owners.setdefault(name, owner) == owner, namespace


@MANY
@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES), SERVICES)
@example(("shop", "prod"), ("shop", "prod-eu"), "db")
@example(("shop", "prod"), ("shop-prod", "eu"), "db")
def test_a_prefix_finds_its_own_networks_and_no_other_stacks(
    one: tuple[str, str], other: tuple[str, str], service: str
) -> None:
    mine, theirs = of(*one), of(*other)
    assert mine.network(service).startswith(mine.prefix)
    assert not mine.edge_network.startswith(mine.prefix), "the edge stays in its own network"
    if one != other:
        assert not theirs.network(service).startswith(mine.prefix)
        assert not theirs.edge_network.startswith(mine.prefix)


@MANY
@given(NAMES, NAMES, SERVICES)
@example("a" * 40, "b" * 40, "c" * 40)
def test_names_are_such_as_docker_dns_and_clouds_take(project: str, stack: str, service: str) -> None:
    naming = of(project, stack)
    for name in (naming.edge, naming.stateful(service), naming.door(service)):
        assert DOCKER.fullmatch(name), name
        assert len(name) <= 63, "the edge finds it by DNS"
    for name in (naming.network(service), naming.edge_network, naming.volume(service), on_host(stack, service)):
        assert DOCKER.fullmatch(name)
    assert HOST.fullmatch(naming.machine(service))
    assert re.fullmatch("[A-Za-z0-9:_-]{1,255}", naming.tag("burst")), "DigitalOcean's rule"
    assert re.fullmatch("[A-Za-z0-9_-]{1,255}", naming.task_family(f"{service}-canary")), "ECS's rule"
    # Docker takes the default route from the network that is first (decisions.md 4).
    assert naming.edge_network < naming.network(service)


@MANY
@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=6, unique=True))
@example([("eu", "web-db"), ("eu-web", "db")])
def test_resources_of_two_hosts_never_have_one_name(things: list[tuple[str, str]]) -> None:
    assert len({on_host(*each) for each in things}) == len(things)


@MANY
@given(st.lists(SERVICES, min_size=2, max_size=6, unique=True), NAMES)
@example(["web", "web-1", "web-canary1", "web-canary"], "web")
def test_two_slots_never_have_one_name_nor_one_label(services: list[str], host: str) -> None:
    owners: dict[str, str] = {}
    for service, number in itertools.product(services, (1, 2, 11)):
        for slot in (f"{service}-{number}", f"{service}-canary{number}", burst_slot(service, number, host)):
            assert owners.setdefault(slot, service) == service
            assert service_of(slot) == service
    labels = [slot_label(slot, host) for slot in owners]
    labels += [*services, *map(probe, services)]
    assert len(set(labels)) == len(labels)
    assert all(len(label) <= 63 for label in labels)
    names = [planning.hosts.labels.name(label, host) for label in labels]
    assert len(set(names)) == len(names)


@MANY
@given(st.lists(FOLDERS, min_size=2, max_size=6, unique=True))
def test_two_folders_never_have_one_key(folders: list[str]) -> None:
    assert len({folder_key(folder) for folder in folders}) == len(folders)


@MANY
@given(st.lists(NAMES, min_size=2, max_size=6, unique=True), st.integers(min_value=24, max_value=40))
def test_a_name_that_is_cut_stays_its_own(names: list[str], most: int) -> None:
    for cut in (fitting, planning.aws.names.short):
        short = [cut(name, most) for name in names]
        assert len(set(short)) == len(short)
        assert all(len(name) <= most for name in short)


def test_a_host_called_as_a_kind_of_file_has_its_own_files() -> None:
    mine = file_name("host_ca", "x")
    assert not mine.startswith(("ca_", "site_"))
