"""Looking into a stack on AWS: its services, their logs, and a command in one of them."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quayside.shell import CommandError, found, last_line, run
from quayside.status import Row
from settings.units import MIB

Client = Callable[[str], Any]
"""Name of an AWS service → its client."""
_POLL = 2.0
_BATCH = 10
"""Services that ECS describes in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What the stack exported: where its services are to be found."""

    region: str
    cluster: str
    services: Mapping[str, Mapping[str, Any]]
    """Service → its ECS services, log group, container and addresses."""

    def service(self, name: str) -> Mapping[str, Any]:
        if name not in self.services:
            raise CommandError(f"no service {name} in this stack\n    there are {', '.join(sorted(self.services))}")
        return self.services[name]


def deployed(root: Path, stack: str) -> Deployed:
    """Ask the Pulumi CLI, in whatever backend the user is logged in to."""
    done = run(["pulumi", "stack", "output", "aws", "--json", "--stack", stack], cwd=root, timeout=60)
    if done.returncode == 127:
        raise CommandError(f"stack {stack} is on AWS, which needs the Pulumi CLI\n    install it and log in")
    if done.returncode:
        raise CommandError(
            f"stack {stack} has nothing to show: {last_line(done.stderr)}\n    `pulumi up --stack {stack}` deploys it"
        )
    outputs: dict[str, Any] = json.loads(done.stdout)
    return Deployed(region=outputs["region"], cluster=outputs["cluster"], services=outputs["services"])


def clients(region: str) -> Client:
    """Clients with the user's own credentials."""
    session: Any = importlib.import_module("botocore.session").get_session()
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.create_client(service, region_name=region)
        return made[service]

    return client


def asked(call: Callable[[], Any]) -> Any:
    """One answer of AWS; a refusal becomes a message in its own words."""
    errors: Any = importlib.import_module("botocore.exceptions")
    try:
        return call()
    except errors.NoCredentialsError as error:
        raise CommandError("no AWS credentials were found\n    `aws sso login`, or set AWS_PROFILE") from error
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise CommandError(f"AWS said: {error}") from error


def rows(stack: Deployed, client: Client) -> list[Row]:
    """One row for each service, with what ECS last said where it is not as it should be."""
    ecs = client("ecs")
    names = {str(ecs_name): name for name, found in stack.services.items() for ecs_name in found["ecs"]}
    described: dict[str, Any] = {}
    for batch in _batches(sorted(names)):
        answer = asked(lambda batch=batch: ecs.describe_services(cluster=stack.cluster, services=list(batch)))
        described |= {service["serviceName"]: service for service in answer["services"]}
    result: list[Row] = []
    for name, exported in sorted(stack.services.items()):
        running = desired = memory = 0
        image, trouble = "", list[str]()
        for ecs_name in exported["ecs"]:
            service = described.get(ecs_name)
            if service is None or service["status"] != "ACTIVE":
                trouble.append(f"{ecs_name}: is not there any more; `pulumi up` makes it again")
                continue
            running, desired = running + service["runningCount"], desired + service["desiredCount"]
            trouble += [f"{ecs_name}: {said}" for said in _trouble(service)]
            if not image:
                image, memory = _container(ecs, service["taskDefinition"], name)
        result.append(Row(name, running, desired, tuple(trouble), image, memory, tuple(exported["urls"])))
    return result


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), _BATCH):
        yield names[start : start + _BATCH]


def _trouble(service: Mapping[str, Any]) -> Iterator[str]:
    for deployment in service.get("deployments", ()):
        state = deployment.get("rolloutState", "COMPLETED")
        if state != "COMPLETED":
            yield f"release {state.lower().replace('_', ' ')}: {deployment.get('rolloutStateReason', '')}".rstrip(": ")
    if service["runningCount"] < service["desiredCount"] and service.get("events"):
        yield str(service["events"][0]["message"])


def _container(ecs: Any, task_definition: str, name: str) -> tuple[str, int]:
    """Image and memory of the service's own container."""
    answer = asked(lambda: ecs.describe_task_definition(taskDefinition=task_definition))
    for container in answer["taskDefinition"]["containerDefinitions"]:
        if container["name"] == name:
            return container["image"], container.get("memory", 0) * MIB
    return "", 0


def logs(stack: Deployed, client: Client, service: str, *, follow: bool, tail: int) -> None:
    """Print the log lines of every task, in the order of time, each with its task."""
    group = stack.service(service)["log_group"]
    since = int((time.time() - 3600) * 1000)
    seen: set[str] = set()
    lines: list[str] = []
    for event in _events(client("logs"), group, since):
        seen.add(event["eventId"])
        since = max(since, event["timestamp"])
        lines.append(_line(event))
    for line in lines[-tail:] if tail else ():
        print(line)  # noqa: T201  # the logs are the output
    while follow:
        time.sleep(_POLL)
        for event in _events(client("logs"), group, since):
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                since = max(since, event["timestamp"])
                print(_line(event), flush=True)  # noqa: T201


def _events(client: Any, group: str, since: int) -> Iterator[Mapping[str, Any]]:
    pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
    iterator = iter(pages)
    while (page := asked(lambda: next(iterator, None))) is not None:
        yield from page["events"]


def _line(event: Mapping[str, Any]) -> str:
    task = str(event["logStreamName"]).rpartition("/")[2][:8]
    return f"{task} | {event['message'].rstrip()}"


def execute(
    stack: Deployed,
    client: Client,
    service: str,
    command: Sequence[str],
    start: Callable[..., object] = os.execvp,
) -> None:
    """Become `aws ecs execute-command` in the service's first running task: the session plugin speaks its protocol."""
    exported = stack.service(service)
    if not exported["exec"]:
        raise CommandError(
            f"services/{service}/exec: is false, so nobody may run commands in its tasks\n"
            f"    set exec: true (and read_only: false), then `pulumi up`"
        )
    for program, what in (("aws", "the AWS CLI"), ("session-manager-plugin", "its Session Manager plugin")):
        if not found(program):
            raise CommandError(f"{what} is not on PATH ({program})\n    install it; ECS has no other way into a task")
    name = exported["ecs"][0]
    answer = asked(lambda: client("ecs").list_tasks(cluster=stack.cluster, serviceName=name, desiredStatus="RUNNING"))
    if not answer["taskArns"]:
        raise CommandError(f"no task of {service} is running\n    `quayside status` and `quayside logs` say why")
    arguments = ["ecs", "execute-command", "--region", stack.region, "--cluster", stack.cluster]
    arguments += ["--task", answer["taskArns"][0], "--container", service, "--interactive"]
    sys.stdout.flush()
    start("aws", ["aws", *arguments, "--command", shlex.join(command)])
