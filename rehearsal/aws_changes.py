"""What a change on AWS stops, restarts or cannot do, though each resource in it looks harmless.

Pure functions over the resources of two rehearsals. A preview sees the stack as it should be; only beside what it was
can it be told what a change does on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rehearsal.values import items_of, members_of

Resources = Mapping[str, Mapping[str, Any]]
"""URN → a resource as the report for programs has it."""

_SERVICE = "aws:ecs/service:Service"
_DEFINITION = "aws:ecs/taskDefinition:TaskDefinition"
_RULE = "aws:lb/listenerRule:ListenerRule"
_QUIET = {"tags", "tagsAll"}
"""Inputs that ECS takes without a new deployment."""


def change_notes(then: Resources, now: Resources) -> list[str]:
    return [
        *_network(then, now),
        *_rules(then, now),
        *_restarts(then, now),
        *_architecture(then, now),
        *_ports(then, now),
        *_targets(then, now),
        *_security_groups(then, now),
    ]


def _of(found: Resources, type_: str) -> dict[str, Mapping[str, Any]]:
    """By name."""
    return {str(one["name"]): one for one in found.values() if one["type"] == type_}


def _pairs(then: Resources, now: Resources, type_: str) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Name, inputs before and inputs after of what is in both."""
    old, new = _of(then, type_), _of(now, type_)
    for name in sorted(old.keys() & new.keys()):
        yield name, members_of(old[name]["inputs"]), members_of(new[name]["inputs"])


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*old, *new} - _QUIET if old.get(key) != new.get(key))


# --- the network -----------------------------------------------------------------------------------------------------


def _network(then: Resources, now: Resources) -> Iterator[str]:
    for _, old, new in _pairs(then, now, "aws:ec2/vpc:Vpc"):
        if old.get("cidrBlock") != new.get("cidrBlock"):
            yield (
                f"network/range: {old.get('cidrBlock')} → {new.get('cidrBlock')} makes the whole network anew, and "
                "with it every subnet, balancer, service, file system and address; a second stack beside this one, and "
                "DNS moved to it, stops nothing"
            )
            return
    routes = "aws:ec2/route:Route"
    moved = [name for name, old, new in _pairs(then, now, routes) if old.get("natGatewayId") != new.get("natGatewayId")]
    if zones := [name.rpartition("-")[2] for name in moved]:
        yield (
            f"network/nat: the way out of {_zones(zones)} changes: connections that tasks have open to other networks "
            "are cut, and their public address is another one"
        )
    lost = sorted(set(_of(then, routes)) - set(_of(now, routes)))
    kept = set(_of(now, "aws:ec2/routeTable:RouteTable"))
    if zones := [name.rpartition("-")[2] for name in lost if name in kept]:
        yield f"network/nat: {_zones(zones)} has no way out any more: connections to other networks are cut"
    gone = sorted(set(_of(then, "aws:ec2/subnet:Subnet")) - set(_of(now, "aws:ec2/subnet:Subnet")))
    if gone:
        yield (
            f"capacity/zones: {', '.join(gone)} go, and the balancer leaves a zone before its tasks do: only with more "
            "than one replica of everything, at a quiet hour"
        )


def _zones(letters: Sequence[str]) -> str:
    return f"zone {letters[0]}" if len(letters) == 1 else f"zones {', '.join(letters)}"


# --- public rules ----------------------------------------------------------------------------------------------------


def _rules(then: Resources, now: Resources) -> Iterator[str]:
    old, new = _of(then, _RULE), _of(now, _RULE)
    gone = {name: old[name] for name in sorted(old.keys() - new.keys())}
    for name in sorted(new.keys() - old.keys()):
        for other, rule in gone.items():
            if _number(rule) == _number(new[name]):
                yield _taken(other, rule, name, new[name])
    services = _of(now, _SERVICE)
    for name, rule in gone.items():
        if not _is_native(rule):
            continue
        service = name.rpartition(":")[2]
        if any(_is_native(one) and _conditions(one) == _conditions(rule) for one in new.values()):
            continue  # told above
        if service not in services:
            if any(_conditions(one) == _conditions(rule) for one in new.values()):
                yield (
                    f"services/{service}: goes, and its route goes to another service: the rule that ECS moved leads "
                    f"to it until its tasks have ended, with 503. Give the route away first, with services/{service}/"
                    "rollout/strategy: rolling and other routes, and take the service out in the `up` after it"
                )
            continue
        yield (
            f"services/{service}/rollout: ECS moves its requests no more, and may serve from the second target group, "
            "which then answers 503 until the end of the `up`: release once more before if `aws elbv2 describe-rules` "
            f"shows the weight on {service}-alt"
        )


def _taken(other: str, old: Mapping[str, Any], name: str, new: Mapping[str, Any]) -> str:
    number = members_of(new["inputs"]).get("priority")
    refused = (
        f"rule {name} has priority {number} of rule {other}, which goes after it: AWS refuses (PriorityInUse), before "
        "anything else has changed"
    )
    if _is_native(old) and _is_native(new):
        before, after = other.rpartition(":")[2], name.rpartition(":")[2]
        return (
            f"services/{after}/rollout: {refused}. ECS moves {before}'s rule, which can lead to no other service: "
            f"first `up` with services/{before}/rollout/strategy: rolling, then with the route at {after}, rolling as "
            "well, and only then with the strategy that you want"
        )
    return f"{refused}. Pin another number (services/NAME/priority)"


def _number(rule: Mapping[str, Any]) -> tuple[Any, Any]:
    inputs = members_of(rule["inputs"])
    return inputs.get("listenerArn"), inputs.get("priority")


def _conditions(rule: Mapping[str, Any]) -> Any:
    return members_of(rule["inputs"]).get("conditions")


def _is_native(rule: Mapping[str, Any]) -> bool:
    return "actions" in rule["ignoreChanges"]


# --- services --------------------------------------------------------------------------------------------------------


def _restarts(then: Resources, now: Resources) -> Iterator[str]:
    definitions = {name: _changed(old, new) for name, old, new in _pairs(then, now, _DEFINITION)}
    ignored = {name: set(one["ignoreChanges"]) for name, one in _of(now, _SERVICE).items()}
    anew: dict[str, list[str]] = {}
    for name, old, new in _pairs(then, now, _SERVICE):
        keys = [key for key in _changed(old, new) if key not in ignored[name]]
        variant = name.partition("_")[0]
        if new.get("deploymentMaximumPercent") == 100 and (keys or definitions.get(variant)):
            what = ", ".join([*keys, *(f"taskDefinition/{key}" for key in definitions.get(variant, ()))])
            yield f"services/{variant}: stops, and starts again, since it has a volume and this changes: {what}"
        elif keys and keys != ["desiredCount"] and not definitions.get(variant):
            anew.setdefault(", ".join(keys), []).append(variant)
    for what, names in sorted(anew.items()):
        yield f"services {', '.join(names)}: all tasks are started anew, image and settings as before: {what} changes"


def _architecture(then: Resources, now: Resources) -> Iterator[str]:
    for name, old, new in _pairs(then, now, _DEFINITION):
        before, after = (members_of(one.get("runtimePlatform")).get("cpuArchitecture") for one in (old, new))
        if before != after:
            kind = "arm64" if before == "ARM64" else "amd64"
            yield (
                f"services/{name}/architecture: {before} → {after}: an image that is built for the first alone does "
                f"not start; `architecture: {kind}` keeps it where the capacity has it"
            )


def _ports(then: Resources, now: Resources) -> Iterator[str]:
    for name, old, new in _pairs(then, now, _SERVICE):
        before, after = _aliases(old), _aliases(new)
        for alias in sorted(before.keys() & after.keys()):
            if before[alias] != after[alias]:
                yield (
                    f"services/{name}/port: callers reach {alias} at port {before[alias]} until they are released "
                    f"themselves, after it, and it then listens at {after[alias]} alone: they find nobody in between"
                )


def _aliases(service: Mapping[str, Any]) -> dict[str, Any]:
    served = items_of(members_of(service.get("serviceConnectConfiguration")).get("services"))
    aliases = [members_of(alias) for one in served for alias in items_of(members_of(one).get("clientAlias"))]
    return {str(alias.get("dnsName")): alias.get("port") for alias in aliases}


def _targets(then: Resources, now: Resources) -> Iterator[str]:
    for name, old, new in _pairs(then, now, "aws:lb/targetGroup:TargetGroup"):
        before, after = (members_of(one.get("healthCheck")).get("path") for one in (old, new))
        if before != after:
            yield (
                f"services/{name}/health: the tasks that run are asked for {after} at once, and are replaced if they "
                f"do not answer it: serve it one release before it is asked for"
            )


def _security_groups(then: Resources, now: Resources) -> Iterator[str]:
    kind = "aws:ec2/securityGroup:SecurityGroup"
    gone = sorted(set(_of(then, kind)) - set(_of(now, kind)))
    if gone:
        yield (
            f"security groups {', '.join(gone)}: where a group outside the stack lets one in (a database's, say), AWS "
            "does not delete it, and the `up` ends with DependencyViolation after 5 minutes: take that rule away first"
        )
