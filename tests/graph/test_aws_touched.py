"""What a change of a service's setting touches on AWS: a new task definition replaces its tasks, all else does not.

One rehearsal for all: each service is changed by one setting, and called so.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from rehearsal.compare import difference
from tests.graph.test_aws_changes import Stack
from tests.graph.test_hetzner import DIGEST

Values = dict[str, Any]
TASK = "aws:ecs/taskDefinition:TaskDefinition"
BASE: Values = {
    "on": "fargate",
    "image": f"web{DIGEST}",
    "port": 8000,
    "memory": "256MiB",
    "drain": "30s",
    "env": {"A": "1"},
}

CHANGES: dict[str, tuple[bool, Values]] = {
    # setting → whether its tasks are replaced, and what it is changed to
    "image": (True, {"image": f"web2{DIGEST}"}),
    "command": (True, {"command": ["run"]}),
    "user": (True, {"user": "nobody"}),
    "port": (True, {"port": 9000}),
    "memory": (True, {"memory": "3GiB"}),
    "env": (True, {"env": {"A": "2"}}),
    "files": (True, {"files": {"/etc/a/b": {"content": "1"}}}),
    "writable": (True, {"writable": ["/var/cache"]}),
    "read-only": (True, {"read_only": False}),
    "drain": (True, {"drain": "45s"}),
    "routes": (False, {"routes": ["routes.{domain}", "more.{domain}"]}),
    "replicas": (False, {"replicas": 2}),
    "autoscale": (False, {"replicas": {"min": 1, "max": 3, "cpu": 50}}),
    "health": (False, {"health": {"path": "/healthz", "grace": "2m"}}),
    "sticky": (False, {"sticky": "1h"}),
    "slow-start": (False, {"slow_start": "30s"}),
    # The first one in a stack: its tasks, and those of the used one, get room for Service Connect.
    "uses": (True, {"uses": ["image"]}),
    "still": (False, {}),
}


def test_what_replaces_tasks(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    services = {name: copy.deepcopy(BASE) for name in CHANGES}
    before = stack.resources(services)
    after = stack.resources({name: {**services[name], **values} for name, (_, values) in CHANGES.items()})
    changed = difference(list(before.values()), list(after.values())).changed
    tasks = {str(after[urn]["name"]) for urn in changed if after[urn]["type"] == TASK}
    assert tasks == {name for name, (replaced, _) in CHANGES.items() if replaced}
