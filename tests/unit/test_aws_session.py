"""A release is looked at with the credentials of the stack's own `aws:` configuration, for as long as it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi.runtime
import pytest

from components.aws import aws_session

ROLES = [
    {"roleArn": "arn:aws:iam::111111111111:role/hub", "sessionName": "ci"},
    {"roleArn": "arn:aws:iam::222222222222:role/deploy", "externalId": "x"},
]


class Session:
    """botocore's, as far as it is used here: its clients say what they were made with."""

    def __init__(self, profile: str | None, assumed: list[Mapping[str, Any]]) -> None:
        self.profile, self._assumed = profile, assumed

    def create_client(self, service: str, **arguments: Any) -> Any:
        self.arguments = {"service": service, "profile": self.profile, **arguments}
        return self if service == "sts" else self.arguments

    def assume_role(self, **asked: Any) -> Mapping[str, Any]:
        self._assumed.append({**asked, "with": self.arguments.get("aws_access_key_id")})
        number = len(self._assumed)
        keys = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        return {"Credentials": {key: f"{key}-{number}" for key in keys}}


@pytest.fixture
def assumed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Mapping[str, Any]]]:
    asked: list[Mapping[str, Any]] = []

    def session(profile: str | None) -> Session:
        return Session(profile, asked)

    monkeypatch.setattr(aws_session, "_session", session)
    yield asked
    pulumi.runtime.set_all_config({})


def test_the_environments_own_where_nothing_is_said(assumed: list[Mapping[str, Any]]) -> None:
    client = aws_session.provider_clients("eu-central-1")("ecs")
    assert (client["service"], client["profile"], client["region_name"]) == ("ecs", None, "eu-central-1")
    assert "aws_access_key_id" not in client
    assert assumed == []


def test_a_profile_and_keys_are_those_of_the_configuration(assumed: list[Mapping[str, Any]]) -> None:
    pulumi.runtime.set_all_config({"aws:profile": "shop", "aws:accessKey": "a", "aws:secretKey": "b"})
    client = aws_session.provider_clients("eu-central-1")("ecs")
    assert (client["profile"], client["aws_access_key_id"], client["aws_secret_access_key"]) == ("shop", "a", "b")
    assert assumed == []


def test_each_role_is_taken_on_with_the_one_before_and_anew_before_its_session_ends(
    assumed: list[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(aws_session.time, "monotonic", lambda: now[0])
    pulumi.runtime.set_all_config({"aws:assumeRoles": json.dumps(ROLES)})
    clients = aws_session.provider_clients("eu-central-1")
    assert clients("ecs")["aws_access_key_id"] == clients("elbv2")["aws_access_key_id"] == "AccessKeyId-2"
    assert assumed == [
        {"RoleArn": ROLES[0]["roleArn"], "RoleSessionName": "ci", "with": None},
        {"RoleArn": ROLES[1]["roleArn"], "RoleSessionName": "quayside", "ExternalId": "x", "with": "AccessKeyId-1"},
    ]
    # A canary that bakes for hours is asked about until its end; AWS ends the session of a role after one.
    now[0] = 3599.0
    assert clients("ecs")["aws_access_key_id"] == "AccessKeyId-4"
