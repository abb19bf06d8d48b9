"""The registry that runs on every host of a fleet: read-only, before one bucket that all of them share."""

from __future__ import annotations

import json
from dataclasses import dataclass

from planning.subnets import Subnet
from settings.rules_registry import HOST_IMAGE, NAME, PORT, is_own
from settings.service import Service
from settings.stack import LocalRegistry, Stack

__all__ = ["NAME", "PORT", "RegistryPlan", "is_pulled_here", "registry_config", "registry_memory", "registry_plan"]

_ANY_REGION = "us-east-1"
"""What services beside AWS take for their region, as long as they have but one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryPlan:
    """What it is on each host; the same on all."""

    image: str
    memory: int
    """Bytes."""
    bucket: str
    subnet: Subnet
    config: str
    """Its configuration, YAML, without the keys of the bucket."""
    access_key: str
    """Key under the stack's secrets."""
    secret_key: str


def registry_plan(stack: Stack, subnet: Subnet | None) -> RegistryPlan | None:
    """None for a stack without one. Raises ValueError where the settings' rules were not asked before."""
    local = _local(stack)
    if local is None or subnet is None:
        return None
    if local.access_key is None or local.secret_key is None:
        raise ValueError("a registry on hosts needs the keys of its bucket")
    return RegistryPlan(
        image=local.image or HOST_IMAGE,
        memory=local.memory,
        bucket=local.bucket,
        subnet=subnet,
        config=registry_config(
            bucket=local.bucket, region=local.region or _ANY_REGION, address=f":{PORT}", endpoint=local.endpoint
        ),
        access_key=local.access_key,
        secret_key=local.secret_key,
    )


def registry_memory(stack: Stack) -> int:
    """Bytes that it takes from services on every host."""
    local = _local(stack)
    return local.memory if local is not None else 0


def is_pulled_here(service: Service) -> bool:
    """Whether any image of a service comes from the registry of its own host."""
    images = [service.image, *([service.canary.image] if service.canary else [])]
    return any(is_own(image) for image in images)


def _local(stack: Stack) -> LocalRegistry | None:
    return stack.registry.local if stack.registry is not None and stack.cloud == "hetzner" else None


def registry_config(*, bucket: str, region: str, address: str, endpoint: str | None = None) -> str:
    """Its configuration, YAML. Without an endpoint, the bucket is at AWS."""
    found = {"bucket": bucket, "region": region}
    if endpoint is not None:
        found["regionendpoint"] = endpoint if "://" in endpoint else f"https://{endpoint}"
    lines = [f"    {key}: {json.dumps(value)}" for key, value in found.items()]
    if endpoint is not None:
        # BUCKET.HOST would need a certificate and a name for each bucket, and an address has neither.
        lines.append("    forcepathstyle: true")
    return _CONFIG.format(address=address, bucket="\n".join(lines))


# Without redirects, hosts pull through the registry and never by a signed link to the bucket.
_CONFIG = """\
version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
http:
  addr: {address}
storage:
  s3:
{bucket}
  redirect:
    disable: true
  maintenance:
    readonly:
      enabled: true
    uploadpurging:
      enabled: false
  cache:
    blobdescriptor: inmemory
"""
