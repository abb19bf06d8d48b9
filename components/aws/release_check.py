"""After a release: does ECS run what was declared?"""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pulumi

from components.aws.aws_session import Client
from planning.aws.releases import Verdict, judge

_T = TypeVar("_T")
_POLL = 5.0
"""Seconds between two looks."""
_TELL = 60.0
"""Seconds between two lines that say what is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One ECS service, as it should be."""

    service: str
    """Its name in the plan."""
    cluster: str
    name: str
    urn: str
    task_definition: str
    target_groups: Sequence[str]
    """ARNs."""
    seconds: int
    """How long the release may take."""


class ReleaseCheck:
    """Fails the `up`, and each one after it, until ECS runs what is declared.

    No resource: a failed `up` leaves the ECS service in the state as if it had worked, and what the state holds is not
    asked again. This is asked in every `up`, by the program itself, with the provider's own credentials; in no
    preview, `refresh` or `destroy`. What must not come before a good release takes an input through `after_release`:
    the public rule. What Pulumi deletes goes only after a program that ended well, so a failed check deletes nothing.
    """

    def __init__(self, clients: Client, poll: float = _POLL) -> None:
        self._clients, self._poll = clients, poll
        self._making = threading.Lock()

    async def __call__(self, release: Release) -> bool:
        """Wait for the outcome. Raises RunError where it is another one than declared."""
        end, tell, redeployed = time.monotonic() + release.seconds, time.monotonic() + _TELL, False
        while True:
            verdict = await asyncio.to_thread(self._look, release, redeployed)
            if verdict.action == "done":
                return True
            if verdict.action in {"failed", "stale"}:
                raise _failed(release, verdict)
            if verdict.action == "redeploy":
                pulumi.log.info(f"services/{release.service}: {verdict.reason}; it is tried once more")
                await asyncio.to_thread(self._deploy, release)
                redeployed = True
            elif time.monotonic() > end:
                raise pulumi.RunError(
                    f"services/{release.service}: {verdict.reason}, after {release.seconds} seconds\n"
                    f"    `quayside logs {release.service}` says what its tasks do; `pulumi up` waits again"
                )
            elif time.monotonic() > tell:
                pulumi.log.info(f"services/{release.service}: {verdict.reason}; waiting")
                tell += _TELL
            await asyncio.sleep(self._poll)

    def _client(self, service: str) -> Any:
        with self._making:  # sessions are not to be used by two threads; clients are
            return self._clients(service)

    def _look(self, release: Release, redeployed: bool) -> Verdict:
        def ask() -> Verdict:
            answer = self._client("ecs").describe_services(cluster=release.cluster, services=[release.name])
            service: Mapping[str, Any] | None = next(iter(answer["services"]), None)
            healthy = {group: self._healthy(group) for group in release.target_groups}
            return judge(release.task_definition, service, healthy, redeployed=redeployed)

        return _asked(release, ask)

    def _healthy(self, group: str) -> int:
        answer = self._client("elbv2").describe_target_health(TargetGroupArn=group)
        return sum(one["TargetHealth"]["State"] == "healthy" for one in answer["TargetHealthDescriptions"])

    def _deploy(self, release: Release) -> None:
        _asked(
            release,
            lambda: self._client("ecs").update_service(
                cluster=release.cluster, service=release.name, forceNewDeployment=True
            ),
        )


def after_release(value: pulumi.Input[str], *released: pulumi.Output[bool]) -> pulumi.Output[str]:
    """The value, known once the releases hold."""
    return pulumi.Output.all(value, *released).apply(lambda values: str(values[0]))


def _failed(release: Release, verdict: Verdict) -> pulumi.RunError:
    if verdict.action == "failed":
        return pulumi.RunError(
            f"services/{release.service}: {verdict.reason}\n"
            f"    `quayside logs {release.service}` says what its tasks did; every `pulumi up` tries it once more"
        )
    return pulumi.RunError(
        f"services/{release.service}: {verdict.reason}\n"
        "    declare what is to run; or, to release the same again, let Pulumi see what runs:\n"
        f"    `pulumi refresh --target '{release.urn}'`, then `pulumi up`"
    )


def _asked(release: Release, call: Callable[[], _T]) -> _T:
    errors: Any = importlib.import_module("botocore.exceptions")
    try:
        return call()
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise pulumi.RunError(
            f"services/{release.service}: whether its release holds cannot be seen: {error}\n"
            "    the credentials of the `up` need ecs:DescribeServices, ecs:UpdateService and "
            "elasticloadbalancing:DescribeTargetHealth"
        ) from error
