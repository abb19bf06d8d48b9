"""AWS's API with the credentials that Pulumi's own AWS provider uses."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pulumi

Client = Callable[[str], Any]
"""Name of an AWS service → its client."""


def provider_clients(region: str) -> Client:
    """Clients as the stack's `aws:` configuration says: `profile`, `accessKey`, `assumeRoles`; else the environment's.

    Made when they are first asked for: a preview needs none.
    """
    config = pulumi.Config("aws")
    profile, key, secret, token = (config.get(name) for name in ("profile", "accessKey", "secretKey", "token"))
    roles: list[Mapping[str, Any]] = [*(config.get_object("assumeRoles") or []), config.get_object("assumeRole") or {}]

    @cache
    def credentials() -> Mapping[str, Any]:
        session = _session(profile)
        found: dict[str, Any] = {}
        if key and secret:
            found = _named(key, secret, token)
        for role in roles:
            if role.get("roleArn"):
                found = _assume(session, region, found, role)
        return found

    @cache
    def client(service: str) -> Any:
        return _session(profile).create_client(service, region_name=region, config=_config(), **credentials())

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
