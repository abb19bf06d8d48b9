"""Which API call each resource type of package aws becomes, and where its inputs go.

Inputs find their parameter by name (``loadBalancers`` is CreateLoadBalancer's ``LoadBalancers``, ``tags`` aside); only
what goes elsewhere is listed. A target is a member (``Scheme``), a member of a member (``Matcher.HttpCode``), a member
of another call (``ModifyVpcAttribute/EnableDnsSupport.Value``), ``.`` where the inputs in an object belong to the
structure around it, or ``@key`` for an attribute of a load balancer, target group or listener, which travels as a list
of keys and values. `ours` are inputs of the provider that reach no parameter. To teach a type, add it here, then run
``pytest tests/unit/test_aws_checks.py``: it lists every input of the type that has no place yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

COMMON = frozenset({"region", "tags", "tagsAll", "timeouts"})
"""Inputs that any type can have: checked by rules of their own (aws_limits), and sent in as many ways as there are."""


@dataclass(frozen=True, slots=True)
class Taught:
    """What the rehearsal knows of one type."""

    call: str
    """``service:Operation``."""
    more: tuple[str, ...] = ()
    """Further operations of the same service that take what is left of the inputs."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path of an input, without list indices, to its target."""
    ours: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    """Required members that the provider fills in."""

    @property
    def service(self) -> str:
        return self.call.partition(":")[0]


def taught(
    call: str, *more: str, ours: Iterable[str] = (), given: Iterable[str] = (), **names: str | Mapping[str, str]
) -> Taught:
    """Keywords are inputs; a mapping is an object of them, its own target under ``""``."""
    flat: dict[str, str] = {}
    for key, target in names.items():
        _flatten(flat, key, target)
    return Taught(call, more, flat, frozenset(ours), frozenset(given))


def _flatten(flat: dict[str, str], path: str, target: str | Mapping[str, str]) -> None:
    if isinstance(target, str):
        flat[path] = target
        return
    for key, inner in target.items():
        _flatten(flat, f"{path}/{key}" if key else path, inner)


def lookup(token: str) -> Taught | None:
    """What is known of a type; None where nobody taught it."""
    return _all().get(token)


@lru_cache
def _all() -> Mapping[str, Taught]:
    from rehearsal import aws_taught_compute, aws_taught_network, aws_taught_storage

    return {**aws_taught_network.TYPES, **aws_taught_compute.TYPES, **aws_taught_storage.TYPES}


def types() -> Iterable[str]:
    return _all().keys()
