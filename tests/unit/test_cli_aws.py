"""`status`, `logs` and `exec` of a stack on AWS. botocore's own stubber holds both sides to the API's models."""

from __future__ import annotations

import datetime
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from quayside import aws, lifecycle
from quayside.__main__ import main
from quayside.shell import CommandError

STACK = aws.Deployed(
    region="eu-central-1",
    cluster="shop-1234567",
    services={
        "web": {
            "ecs": ["web-1", "web-canary-1"],
            "log_group": "web-logs",
            "exec": True,
            "urls": ["https://shop.example.com/"],
        },
        "worker": {"ecs": ["worker-1"], "log_group": "worker-logs", "exec": False, "urls": []},
    },
)


class Clients:
    """Stubbed clients: every answer is declared first, and checked against the API's own model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "not-a-key")
        self._session = botocore.session.Session()
        self._made: dict[str, tuple[Any, Stubber]] = {}

    def stub(self, service: str) -> Stubber:
        if service not in self._made:
            client = self._session.create_client(service, region_name="eu-central-1")
            stubber = Stubber(client)
            stubber.activate()
            self._made[service] = (client, stubber)
        return self._made[service][1]

    def __call__(self, service: str) -> Any:
        self.stub(service)
        return self._made[service][0]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    return Clients(monkeypatch)


def described(name: str, running: int, desired: int, **more: Any) -> dict[str, Any]:
    return {
        "serviceName": name,
        "status": "ACTIVE",
        "runningCount": running,
        "desiredCount": desired,
        "taskDefinition": f"{name}:7",
        **more,
    }


def definition(name: str) -> dict[str, Any]:
    containers = [{"name": f"{name}-files", "image": "x"}, {"name": name, "image": f"{name}@sha256:1", "memory": 512}]
    return {"taskDefinition": {"containerDefinitions": containers}}


def test_a_row_for_each_service_with_what_ecs_says(clients: Clients) -> None:
    now = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
    failing = {"rolloutState": "IN_PROGRESS", "rolloutStateReason": "ECS deployment ecs-svc/1 in progress."}
    clients.stub("ecs").add_response(
        "describe_services",
        {
            "services": [
                described("web-1", 2, 3, deployments=[failing], events=[{"createdAt": now, "message": "no room"}]),
                described("worker-1", 1, 1),
            ]
        },
        {"cluster": STACK.cluster, "services": ["web-1", "web-canary-1", "worker-1"]},
    )
    clients.stub("ecs").add_response("describe_task_definition", definition("web"), {"taskDefinition": "web-1:7"})
    clients.stub("ecs").add_response("describe_task_definition", definition("worker"), {"taskDefinition": "worker-1:7"})
    web, worker = aws.rows(STACK, clients)
    assert (web.service, web.healthy, web.declared, web.image, web.memory) == ("web", 2, 3, "web@sha256:1", 512 << 20)
    assert web.urls == ("https://shop.example.com/",)
    assert web.trouble == (
        "web-1: release in progress: ECS deployment ecs-svc/1 in progress.",
        "web-1: no room",
        "web-canary-1: is not there any more; `pulumi up` makes it again",
    )
    assert (worker.healthy, worker.declared, worker.trouble) == (1, 1, ())


def test_logs_of_all_tasks_in_order_of_time(clients: Clients, capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        {"eventId": str(n), "timestamp": n, "message": f"line {n}\n", "logStreamName": f"web/web/{n}0123456789abcdef"}
        for n in range(1, 5)
    ]
    clients.stub("logs").add_response("filter_log_events", {"events": events[:2], "nextToken": "more"})
    clients.stub("logs").add_response("filter_log_events", {"events": events[2:]})
    aws.logs(STACK, clients, "web", follow=False, tail=3)
    assert capsys.readouterr().out == "20123456 | line 2\n30123456 | line 3\n40123456 | line 4\n"


def test_a_refusal_is_in_aws_words(clients: Clients) -> None:
    clients.stub("ecs").add_client_error("describe_services", "AccessDeniedException", "you may not", 400)
    with pytest.raises(CommandError, match=r"AWS said: .*AccessDeniedException.*you may not"):
        aws.rows(STACK, clients)


def test_an_unknown_service_lists_the_known(clients: Clients) -> None:
    with pytest.raises(CommandError, match="no service wbe in this stack\n    there are web, worker"):
        aws.logs(STACK, clients, "wbe", follow=False, tail=1)


def tools(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_exec_becomes_the_aws_cli(clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(tmp_path, monkeypatch, "aws", "session-manager-plugin")
    task = "arn:aws:ecs:eu-central-1:123456789012:task/shop/0123"
    asked = {"cluster": STACK.cluster, "serviceName": "web-1", "desiredStatus": "RUNNING"}
    clients.stub("ecs").add_response("list_tasks", {"taskArns": [task]}, asked)
    started: list[Any] = []
    aws.execute(STACK, clients, "web", ["sh", "-c", "echo $HOME"], start=lambda *given: started.append(given))
    ((program, arguments),) = started
    assert program == "aws"
    assert arguments[-2:] == ["--command", "sh -c 'echo $HOME'"]
    assert ["--task", task, "--container", "web"] == arguments[7:11]


@pytest.mark.parametrize(
    ("service", "present", "said"),
    [
        ("worker", (), "services/worker/exec: is false, so nobody may run commands in its tasks\n    set exec: true"),
        ("web", (), r"the AWS CLI is not on PATH \(aws\)"),
        ("web", ("aws",), r"its Session Manager plugin is not on PATH \(session-manager-plugin\)"),
    ],
)
def test_exec_says_what_is_missing(
    service: str,
    present: tuple[str, ...],
    said: str,
    clients: Clients,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tools(tmp_path, monkeypatch, *present)
    with pytest.raises(CommandError, match=said):
        aws.execute(STACK, clients, service, ["sh"])


def test_the_stack_is_found_by_its_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {"region": "eu-central-1", "cluster": "c", "services": {"web": {"ecs": ["web-1"]}}}
    pulumi = tmp_path / "pulumi"
    pulumi.write_text(
        f"#!/bin/sh\ntest \"$*\" = 'stack output aws --json --stack prod' && echo '{json.dumps(outputs)}'"
    )
    pulumi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert aws.deployed(tmp_path, "prod").service("web") == {"ecs": ["web-1"]}
    pulumi.write_text("#!/bin/sh\necho 'error: no stack named prod found' >&2; exit 255")
    with pytest.raises(CommandError, match="nothing to show: error: no stack named prod found\n    `pulumi up --stack"):
        aws.deployed(tmp_path, "prod")
    pulumi.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="needs the Pulumi CLI"):
        aws.deployed(tmp_path, "prod")


def test_make_up_leaves_a_clouds_state_to_its_team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {'quayside:cloud': aws}\n")
    where = lifecycle.project("prod", tmp_path)
    with pytest.raises(CommandError, match=r"stack prod is on AWS: run `pulumi up --stack prod`.*\n.* previews it"):
        where.on_this_machine("up")
    with pytest.raises(CommandError, match=r"run `pulumi destroy --stack prod`.*\n.*quayside:protect false") as told:
        where.on_this_machine("destroy")
    assert "previews" not in str(told.value)


@pytest.fixture
def on_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose stack prod is on AWS, and a folder `bin` that is all of PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {'quayside:cloud': aws}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def secret(monkeypatch: pytest.MonkeyPatch, value: str) -> int:
    monkeypatch.setattr(sys, "argv", ["quayside", "secret", "stripe", "--stack", "prod"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(value))
    return main()


def test_a_secret_on_aws_is_encrypted_by_pulumi_or_not_at_all(
    on_aws: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (on_aws / "Pulumi.prod.yaml").read_text()
    assert secret(monkeypatch, "hunter2") == 1
    assert "`pulumi config set --secret --path quayside:secrets.stripe --stack prod`" in capsys.readouterr().err
    assert (on_aws / "Pulumi.prod.yaml").read_text() == before
    assert not (on_aws / ".quayside").exists()


def test_a_secret_on_aws_goes_by_pulumi_in_the_teams_backend(
    on_aws: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pulumi = on_aws / "bin" / "pulumi"
    pulumi.write_text('#!/bin/sh\necho "$* $PULUMI_BACKEND_URL" >asked; /bin/cat >value\n')
    pulumi.chmod(0o755)
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    assert secret(monkeypatch, "hunter2\n") == 0
    said = "config set --secret --path quayside:secrets.stripe --stack prod --non-interactive"
    assert (on_aws / "asked").read_text().strip() == said
    assert (on_aws / "value").read_text() == "hunter2"
    assert "The next `pulumi up --stack prod` brings it" in capsys.readouterr().out
    assert not (on_aws / ".quayside").exists()
    pulumi.write_text("#!/bin/sh\necho 'error: passphrase must be set' >&2; exit 255\n")
    assert secret(monkeypatch, "hunter2") == 1
    assert "failed: " in (err := capsys.readouterr().err)
    assert "passphrase must be set" in err
