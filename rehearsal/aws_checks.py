"""Checks the inputs of package aws against AWS's own description of its API, before AWS can refuse them.

`checks` has compared names and types with the provider's SDK. Here every input goes to the parameter it becomes
(aws_taught), and its value to what that takes (aws_models) and to what AWS documents beside (aws_limits, aws_names,
aws_relations); what is a document is read by its own grammar (aws_documents).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from rehearsal import aws_documents, aws_limits, aws_names, aws_relations, aws_sizes
from rehearsal.aws_models import Shape, request
from rehearsal.aws_taught import COMMON, Taught, lookup
from rehearsal.aws_values import received, wrong, wrong_length
from rehearsal.checks import Finding
from rehearsal.record import Registration
from rehearsal.values import Sealed, Secret, Unknown, mapping, sequence

Steps = tuple[str | int, ...]
Visit = Callable[[Steps, "Shape | aws_limits.Limit", Any], None]
"""Told of every plain value that is compared with something, and with what."""

UNTAUGHT = "nobody taught the rehearsal this type, so that its inputs go unchecked"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input goes."""

    kind: str
    """parameter, around (its members belong to the structure it is in), attribute, ours, or unknown."""
    shape: Shape | None = None
    supplies: tuple[str, ...] = ()
    """The member it fills, from the structure it is in; empty where it fills one of another call."""


_OURS = Place("ours")
_UNKNOWN = Place("unknown")


def check_aws(found: Registration, visit: Visit | None = None) -> list[Finding]:
    """Everything in `found`'s inputs that AWS would not take."""
    if not found.custom or not found.type.startswith("aws:"):
        return []
    where = f"{found.name} ({found.type})"
    taught = lookup(found.type)
    if taught is None:
        return [Finding(where, UNTAUGHT, "add it to rehearsal/aws_taught_*.py; docs/rehearsal.md says how")]
    walk = _Walk(found.type, taught, visit)
    walk.object(found.inputs, request(taught.call), "", (), secret=False)
    findings = [*walk.findings, *_others(found)]
    return [_placed(finding, where) for finding in findings]


def _others(found: Registration) -> Iterator[Finding]:
    yield from aws_names.check_common(found.inputs)
    yield from aws_names.check_name(found)
    yield from aws_relations.check(found)
    yield from aws_documents.check(found)
    yield from aws_sizes.check(found)


def _placed(finding: Finding, where: str) -> Finding:
    path = f"{where}/{finding.path}" if finding.path else where
    return replace(finding, path=path, key=finding.path.partition("/")[0])


@dataclass(slots=True)
class _Walk:
    """One registration's inputs beside the structures that they become."""

    type: str
    taught: Taught
    visit: Visit | None
    findings: list[Finding] = field(default_factory=list[Finding])

    def object(self, members: Mapping[str, Any], structure: Shape, path: str, steps: Steps, *, secret: bool) -> None:
        supplied: set[tuple[str, ...]] = set()
        self._members(members, structure, path, steps, supplied, secret=secret)
        for name in _missing(structure, supplied, self.taught.given if not path else frozenset()):
            key = _input_of(self.taught, path, name)
            self._add((*steps, key), f"is missing, and {self.taught.call} requires it")

    def _members(
        self,
        members: Mapping[str, Any],
        structure: Shape,
        path: str,
        steps: Steps,
        supplied: set[tuple[str, ...]],
        *,
        secret: bool,
    ) -> None:
        for key, value in members.items():
            inner = f"{path}/{key}" if path else key
            place = _place(self.type, inner)
            here = (*steps, key)
            if place.supplies:
                supplied.add(place.supplies)
            if place.kind == "unknown":
                near = difflib.get_close_matches(key, structure.members, 1, 0.6)
                hint = f"AWS has `{near[0]}`; " if near else ""
                self._add(here, f"reaches no parameter of {self.taught.call}", f"{hint}teach rehearsal/aws_taught_*.py")
            elif place.kind == "around":
                for item, at, sealed in _objects(value, here, secret):
                    filled = supplied if place.shape is structure else set[tuple[str, ...]]()
                    self._members(item, place.shape or structure, inner, at, filled, secret=sealed)
            else:
                self.value(value, place.shape, inner, here, secret=secret)

    def value(self, value: Any, shape: Shape | None, path: str, steps: Steps, *, secret: bool) -> None:
        if isinstance(value, Secret):
            self.value(value.value, shape, path, steps, secret=True)
        elif value is not None and not isinstance(value, Unknown | Sealed):
            limit = aws_limits.LIMITS.get((self.type, path))
            if limit is not None and (limit.whole or not isinstance(value, list | dict)):
                self._limited(value, limit, steps, secret=secret)
            if shape is not None:
                self._shaped(value, shape, path, steps, secret=secret)
            else:
                for index, item in enumerate(sequence(value) or []):
                    self.value(item, None, path, (*steps, index), secret=secret)

    def _limited(self, value: Any, limit: aws_limits.Limit, steps: Steps, *, secret: bool) -> None:
        if self.visit is not None:
            self.visit(steps, limit, value)
        if said := limit.wrong(value):
            self._add(steps, f"{said}, got {received(value, secret=secret)}", limit.source)

    def _shaped(self, value: Any, shape: Shape, path: str, steps: Steps, *, secret: bool) -> None:
        items, members = sequence(value), mapping(value)
        if items is not None:
            if shape.kind == "list":
                if said := wrong_length(len(items), shape):
                    self._add(steps, said)
                shape = shape.item
            for index, item in enumerate(items):
                self.value(item, shape, path, (*steps, index), secret=secret)
        elif members is not None:
            self._mapped(members, shape, path, steps, secret=secret)
        elif shape.kind == "list":  # the provider takes the one item by itself
            self._shaped(value, shape.item, path, steps, secret=secret)
        elif shape.kind in ("structure", "map"):
            self._add(steps, f"should be an object, got {received(value, secret=secret)}")
        else:
            if self.visit is not None:
                self.visit(steps, shape, value)
            if said := wrong(value, shape, secret=secret):
                self._add(steps, said)

    def _mapped(self, members: Mapping[str, Any], shape: Shape, path: str, steps: Steps, *, secret: bool) -> None:
        while shape.kind == "list":
            pair = _pair(shape.item, members)
            if pair is not None:
                for key, value in members.items():
                    if said := wrong(key, pair[0]):
                        self._add((*steps, key), f"as a name {said}")
                    self.value(value, pair[1], path, (*steps, key), secret=secret)
                return
            shape = shape.item
        if shape.kind == "structure":
            self.object(members, shape, path, steps, secret=secret)
        elif shape.kind == "map":
            for key, value in members.items():
                if said := wrong(key, shape.members["key"]):
                    self._add((*steps, key), f"as a key {said}")
                self.value(value, shape.members["value"], path, (*steps, key), secret=secret)
        # else: a document as an object, which travels as JSON; aws_documents reads it

    def _add(self, steps: Steps, message: str, fix: str = "") -> None:
        self.findings.append(Finding("/".join(map(str, steps)), message, fix))


def _objects(value: Any, steps: Steps, secret: bool) -> Iterator[tuple[dict[str, Any], Steps, bool]]:
    """The objects in an input that is one, or a list of them."""
    if isinstance(value, Secret):
        yield from _objects(value.value, steps, True)
    elif (members := mapping(value)) is not None:
        yield members, steps, secret
    else:
        for index, item in enumerate(sequence(value) or []):
            yield from _objects(item, (*steps, index), secret)


def _pair(item: Shape, members: Mapping[str, Any]) -> tuple[Shape, Shape] | None:
    """A mapping in Pulumi that is a list of names and values in AWS."""
    for key in ("Name", "name", "Key", "key"):
        value = "Value" if key[0].isupper() else "value"
        if item.kind == "structure" and set(item.members) == {key, value}:
            objects = {name.lower() for name in members} <= {key.lower(), "value"}
            return None if objects else (item.members[key], item.members[value])
    return None


def _missing(structure: Shape, supplied: set[tuple[str, ...]], given: frozenset[str]) -> Iterator[str]:
    """Required members that nothing fills, as dotted paths from `structure`."""
    given_paths = {tuple(path.split(".")) for path in given}

    def look(shape: Shape, prefix: tuple[str, ...]) -> Iterator[str]:
        while shape.kind == "list":
            shape = shape.item
        present = {path[len(prefix)] for path in supplied if len(path) > len(prefix) and path[: len(prefix)] == prefix}
        for name in sorted(shape.required - shape.tokens - present):
            if (*prefix, name) not in given_paths:
                yield ".".join((*prefix, name))
        for name in sorted(present):
            if any(len(path) > len(prefix) + 1 and path[: len(prefix) + 1] == (*prefix, name) for path in supplied):
                yield from look(shape.members[name], (*prefix, name))

    yield from look(structure, ())


def _input_of(taught: Taught, path: str, dotted: str) -> str:
    """The input that fills a member."""
    for key, target in taught.names.items():
        outer, _, inner = key.rpartition("/")
        if target == dotted and (outer == path or taught.names.get(outer) == "."):
            return inner if outer == path else key.removeprefix(f"{path}/")
    last = dotted.rpartition(".")[2]
    return last[0].lower() + last[1:]


@lru_cache(maxsize=8192)
def _place(type_: str, path: str) -> Place:
    """Where the input at `path` of `type_` goes; the same for all resources of a type."""
    taught = lookup(type_)
    if taught is None:
        return _UNKNOWN
    if path in COMMON or path in taught.ours:
        return _OURS
    outer, _, key = path.rpartition("/")
    structure = _unlisted(_place(type_, outer).shape) if outer else request(taught.call)
    target = taught.names.get(path)
    if target is None:
        return _by_name(taught, structure, key, top=not outer)
    if target.startswith("@"):
        return Place("attribute")
    call, elsewhere, dotted = target.rpartition("/")
    if elsewhere:
        structure = request(f"{taught.service}:{call}")
    if dotted == ".":
        return Place("around", structure)
    shape = structure
    for part in dotted.split("."):
        shape = _unlisted(shape)
        if shape is None or part not in shape.members:
            return _UNKNOWN
        shape = shape.members[part]
    return Place("parameter", shape, () if elsewhere else tuple(dotted.split(".")))


def _unlisted(shape: Shape | None) -> Shape | None:
    while shape is not None and shape.kind == "list":
        shape = shape.item
    return shape


def _by_name(taught: Taught, structure: Shape | None, key: str, *, top: bool) -> Place:
    if structure is None:
        return _UNKNOWN
    name = match(key, structure)
    if name is not None:
        return Place("parameter", structure.members[name], (name,))
    for call in taught.more if top else ():
        other = request(call)
        name = match(key, other)
        if name is not None:
            return Place("parameter", other.members[name])
    return _UNKNOWN


def match(key: str, structure: Shape) -> str | None:
    """The member that a camelCase input is: Pulumi writes a list's name in the plural, and a single item's not."""
    wanted = key.lower()
    known = {name.lower().replace("_", ""): name for name in structure.members}
    singular = wanted[:-3] + "y" if wanted.endswith("ies") else wanted.removesuffix("s")
    plural = wanted[:-1] + "ies" if wanted.endswith("y") else wanted + "s"
    for candidate in (wanted, singular, plural, wanted.removesuffix("es"), wanted + "es"):
        if candidate in known:
            return known[candidate]
    return None
