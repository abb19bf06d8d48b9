"""AWS's API with the credentials that Pulumi's own AWS provider uses."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pulumi

Client = Callable[[str], Any]
"""Name of an AWS service → its client."""
RENEW = 1800.0
"""Seconds after which a role is taken on anew: AWS ends that of another role after an hour, and a release may bake for
longer."""


def provider_clients(region: str) -> Client:
    """Clients as the stack's `aws:` configuration says: `profile`, `accessKey`, `assumeRoles`; else the environment's.

    Made when they are first asked for: a preview needs none.
    """
    config = pulumi.Config("aws")
    profile, key, secret, token = (config.get(name) for name in ("profile", "accessKey", "secretKey", "token"))
    written: list[Mapping[str, Any]] = [
        *(config.get_object("assumeRoles") or []),
        config.get_object("assumeRole") or {},
    ]
    roles = [role for role in written if role.get("roleArn")]

    @cache
    def credentials(_period: int) -> Mapping[str, Any]:
        session = _session(profile)
        keys = _named(key, secret, token) if key and secret else {}
        for role in roles:
            keys = _assume(session, region, keys, role)
        return keys

    @cache
    def client_of(service: str, period: int) -> Any:
        return _session(profile).create_client(service, region_name=region, config=_config(), **credentials(period))

    def client(service: str) -> Any:
        return client_of(service, int(time.monotonic() // RENEW) if roles else 0)

    return client


def _session(profile: str | None) -> Any:
    return importlib.import_module("botocore.session").Session(profile=profile)


def _config() -> Any:
    """Throttling of a large stack's many questions is waited out."""
    return importlib.import_module("botocore.config").Config(
        retries={"mode": "standard", "total_max_attempts": 8}, connect_timeout=10, read_timeout=30
    )


def _named(key: str, secret: str, token: str | None) -> dict[str, Any]:
    return {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}


def _assume(session: Any, region: str, before: Mapping[str, Any], role: Mapping[str, Any]) -> dict[str, Any]:
    names: Sequence[tuple[str, str]] = (("externalId", "ExternalId"), ("sourceIdentity", "SourceIdentity"))
    asked = {api: role[name] for name, api in names if role.get(name)}
    answer = session.create_client("sts", region_name=region, config=_config(), **before).assume_role(
        RoleArn=role["roleArn"], RoleSessionName=role.get("sessionName") or "quayside", **asked
    )["Credentials"]
    return _named(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
