"""AWS, only pretended: ids, ARNs and names as AWS and the provider would form them, of account 123456789012.

All of it derives from URNs and inputs, so that two previews of one program are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from rehearsal import simulate_aws_network, simulate_aws_services
from rehearsal.record import Registration
from rehearsal.simulate_aws_parts import ACCOUNT, Made, Simulator, domain_of, partition, text_of
from rehearsal.values import mapping, members_of

DEFAULT_REGION = "us-east-1"


class Aws:
    """One stack's AWS. `region` is that of the stack's settings; providers and resources can have their own."""

    def __init__(self, region: str = "") -> None:
        self.region = region or DEFAULT_REGION
        self._providers: dict[str, str] = {}

    def outputs(self, found: Registration, digest: str) -> Mapping[str, Any] | None:
        """What `found`'s provider would compute; None for a type that nobody taught."""
        if found.type == "pulumi:providers:aws":
            self._providers[found.urn] = text_of(found.inputs.get("region")) or self.region
            return {"id": digest[:32]}
        simulator = _SIMULATORS.get(found.type)
        if simulator is None:
            return None
        provider = found.provider.rsplit("::", 1)[0]
        region = text_of(found.inputs.get("region")) or self._providers.get(provider, self.region)
        made = dict(simulator(Made(found, digest, region)))
        made.setdefault("region", region)
        if tags := mapping(found.inputs.get("tags")):
            made.setdefault("tagsAll", tags)
        return made

    def call(self, token: str, args: Mapping[str, Any], provider: str = "") -> Mapping[str, Any] | None:
        """A data source's result; None for one that nobody taught."""
        answer = _CALLS.get(token)
        region = text_of(args.get("region")) or self._providers.get(provider.rsplit("::", 1)[0], self.region)
        return None if answer is None else {**args, **answer(args, region)}


_SIMULATORS: Mapping[str, Simulator] = {**simulate_aws_network.TYPES, **simulate_aws_services.TYPES}


def _hex(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _get_parameter(args: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    name = text_of(args.get("name"))
    image = name.endswith("image_id") or "ami" in name.replace("/", "-").split("-")
    value = f"ami-{_hex(name, region)[:17]}" if image else _hex(name, region)[:16]
    if name.endswith("image_version"):
        value = "2026.01.01"
    arn = f"arn:{partition(region)}:ssm:{region}:{'' if name.startswith('/aws/') else ACCOUNT}:parameter{name}"
    return {"id": name, "arn": arn, "value": value, "insecureValue": value, "type": "String", "version": 1}


def _get_zone(args: Mapping[str, Any], _region: str) -> Mapping[str, Any]:
    name = text_of(args.get("name")).rstrip(".")
    id_ = text_of(args.get("zoneId")) or f"Z{_hex(name)[:20].upper()}"
    servers = [f"ns-{n}.awsdns-{n:02d}.{end}" for n, end in ((1, "com"), (2, "net"), (3, "org"), (4, "co.uk"))]
    arn = f"arn:aws:route53:::hostedzone/{id_}"
    return {"id": id_, "zoneId": id_, "name": name, "arn": arn, "nameServers": servers, "privateZone": False}


def _get_zones(_args: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    letters = "abc"
    ids = [f"{region.replace('-', '')[:4]}-az{index}" for index in (1, 2, 3)]
    return {"id": region, "names": [f"{region}{letter}" for letter in letters], "zoneIds": ids, "groupNames": [region]}


def _get_prefix_list(args: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    id_ = text_of(args.get("prefixListId")) or f"pl-{_hex(text_of(args.get('name')), region)[:8]}"
    return {"id": id_, "prefixListId": id_, "cidrBlocks": ["52.95.0.0/20"], "name": text_of(args.get("name"))}


def _get_ami(args: Mapping[str, Any], region: str) -> Mapping[str, Any]:
    id_ = f"ami-{_hex(repr(sorted(members_of(dict(args)).items(), key=str)), region)[:17]}"
    return {"id": id_, "imageId": id_, "architecture": "arm64", "rootDeviceName": "/dev/xvda"}


_CALLS: Mapping[str, Callable[[Mapping[str, Any], str], Mapping[str, Any]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": lambda _args, region: {
        "id": ACCOUNT,
        "accountId": ACCOUNT,
        "arn": f"arn:{partition(region)}:iam::{ACCOUNT}:user/rehearsal",
        "userId": f"AIDA{_hex(ACCOUNT)[:17].upper()}",
    },
    "aws:index/getRegion:getRegion": lambda _args, region: {
        "id": region,
        "name": region,
        "region": region,
        "description": region,
        "endpoint": f"ec2.{region}.{domain_of(partition(region))}",
    },
    "aws:index/getPartition:getPartition": lambda _args, region: {
        "id": partition(region),
        "partition": partition(region),
        "dnsSuffix": domain_of(partition(region)),
        "reverseDnsPrefix": ".".join(reversed(domain_of(partition(region)).split("."))),
    },
    "aws:index/getAvailabilityZones:getAvailabilityZones": _get_zones,
    "aws:ssm/getParameter:getParameter": _get_parameter,
    "aws:route53/getZone:getZone": _get_zone,
    "aws:ec2/getPrefixList:getPrefixList": _get_prefix_list,
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": _get_prefix_list,
    "aws:ec2/getAmi:getAmi": _get_ami,
}
