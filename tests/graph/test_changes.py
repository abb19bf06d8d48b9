"""A change replaces nothing that does not need it (decisions.md 40): what the engine would touch, setting by setting.

Every field of every model has a row in tests/graph/changes.py, and a new one has to. So a setting that newly replaces a
container fails here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, get_args

import pytest

from rehearsal import container_spec
from rehearsal.compare import difference
from rehearsal.errors import RehearsalError
from rehearsal.values import revealed
from settings.base import Settings
from settings.service import Service
from settings.stack import Stack
from tests.graph import changes
from tests.graph.changes import AWS_ALONE, CONFIG, OTHERWISE, SECRETS, SERVICE, SERVICES, STACK, Change, Values
from tests.graph.test_hetzner import rehearsed

# --- what is touched -------------------------------------------------------------------------------------------------


def touched(before: Sequence[Values], after: Sequence[Values], *, hosts: bool = False) -> str:
    """What the engine would do, in words."""
    found = difference(before, after)
    old, new = ({each["urn"]: each for each in resources} for resources in (before, after))
    words = {_word(new[urn], changed.keys()) for urn, changed in found.changed.items()}
    if not hosts:
        words |= {f"{word} added" for urn in found.added if (word := _word(new[urn]))}
        words |= {f"{word} removed" for urn in found.removed if (word := _word(old[urn]))}
    return ", ".join(sorted(words - {""}))


def _word(resource: Values, changed: Iterable[str] = ()) -> str:
    kind, name = resource["type"].rpartition(":")[2], resource["name"]
    if not resource["custom"]:
        return ""
    match kind:
        case "Command":
            return _COMMANDS.get(re.split("[-_]", name)[-1], "host prepared")
        case "Container":
            return _container(resource, frozenset(changed))
        case "RemoteImage" | "Network" | "Volume":
            return {"RemoteImage": "image", "Network": "network", "Volume": "volume"}[kind]
        case _:
            return kind


_COMMANDS = {
    **dict.fromkeys(("accept", "route", "forget", "admit", "burst", "settle"), "routing"),
    "files": "certificates",
    "room": "memory check",
    "edge": "edge asked",
    "registry": "registry asked",
    "placed": "",
    "leave": "",
}


def _container(resource: Values, changed: frozenset[str]) -> str:
    labels = {item["label"]: item["value"] for item in resource["inputs"]["labels"]}
    roles = {"edge": "edge", "door": "ports proxy", "files": "files", "registry": "registry"}
    what = roles.get(labels["dev.quayside.role"], "container")
    if labels["dev.quayside.service"] == "still":
        what = f"{what} of others"
    in_place = container_spec.UPDATABLE | container_spec.BOOKKEEPING
    if changed and all(key in in_place for key in changed):
        return f"{what} in place"
    return what


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Sequence[Values]]:
    known: dict[str, Sequence[Values]] = {}

    def get(change: Change, values: Values) -> Sequence[Values]:
        services, config = copy.deepcopy(SERVICES), copy.deepcopy(CONFIG)
        config["capacity"]["existing"] += [changes.ANOTHER][: change.servers - 1]
        (config if change.on == "" else services[change.on]).update(copy.deepcopy({**change.of, **values}))
        key = repr([services, config])
        if key not in known:
            # Each secret takes a million rounds to seal.
            secrets = {name: value for name, value in SECRETS.items() if repr(name) in key}
            report = rehearsed(tmp_path_factory.mktemp("change") / "p", services, config, secrets)
            # Secrets as they are: a changed one is a change.
            plain = {each.urn: revealed(each.inputs) for each in report.registrations}
            known[key] = [{**each, "inputs": plain[each["urn"]]} for each in report.resources]
        return known[key]

    return get


@pytest.mark.parametrize("name", [*SERVICE, *(f"quayside:{key}" for key in STACK)])
def test_a_change_touches_what_needs_it_and_nothing_else(name: str, resources: Any) -> None:
    change = STACK[name.removeprefix("quayside:")] if name.startswith("quayside:") else SERVICE[name]
    if change.touches == "refused":
        with pytest.raises(RehearsalError):
            resources(change, change.to)
        return
    words = touched(resources(change, {}), resources(change, change.to), hosts=change.hosts)
    assert words == change.touches, name


def test_the_memory_of_a_host_is_asked_for_when_a_container_is_made_and_only_then() -> None:
    """What is stop-first takes no more than it has."""
    for name, change in SERVICE.items():
        words = change.touches.split(", ")
        makes = {"container", "container added", "ports proxy added"} & set(words) and change.on != "db"
        assert ("memory check" in words) is (bool(makes) or name == "memory"), name


def test_every_setting_is_in_the_list() -> None:
    missing: list[str] = []
    for model, rows, left_out in ((Service, SERVICE, {"replicas.schedule"}), (Stack, STACK, {*AWS_ALONE, *OTHERWISE})):
        for path in fields(model):
            above = {path.rsplit(".", number)[0] for number in range(path.count(".") + 1)}
            refused = any(key in rows and rows[key].touches == "refused" for key in above)
            if path not in rows and not refused and not above & left_out:
                missing.append(f"{model.__name__}: {path}")
    assert not missing, "say in tests/graph/changes.py what these touch"


def fields(model: type[Settings], at: str = "") -> Iterator[str]:
    """Every key of a model that has no keys itself, and of the models in it, as `health.path`."""
    for key, info in model.model_fields.items():
        inner = list(_models(info.annotation))
        if not inner:
            yield f"{at}{key}"
        for each in inner:
            yield from fields(each, f"{at}{key}.")


def _models(annotation: Any) -> Iterator[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
