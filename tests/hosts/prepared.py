"""Platform hetzner on hosts of a test fleet, prepared as for real, packet filter and all.

Only packages are not installed, since there is no way from these hosts to a mirror.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.hosts.fleet import Fleet
from tests.hosts.test_platform import NAMES, Project

PROGRAM = """
from functools import partial
from pathlib import Path
import pulumi
import platforms.machines
import settings.rules
from platforms import deploy

settings.rules._image = lambda *_: iter(())  # the images here are from no registry, so they have no digest
platforms.machines.prepare_script = partial(platforms.machines.prepare_script, packages=())
for key, value in deploy(Path(__file__).parent).items():
    pulumi.export(key, value)
"""


class Prepared(Project):
    """A project whose `up` prepares its hosts."""

    def __init__(self, root: Path, fleet: Fleet, agent: dict[str, str]) -> None:
        super().__init__(root, fleet, agent)
        (root / "__main__.py").write_text(PROGRAM)
        for name in NAMES:
            fleet[name].ssh("mkdir -p ~/.ssh && ln -sf /run/sshd/authorized_keys ~/.ssh/authorized_keys")


@contextlib.contextmanager
def agent_with(identity: Path) -> Iterator[dict[str, str]]:
    """The environment of an ssh-agent that holds a person's own key, which lets the stack's key in the first time."""
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    agent = dict(part.strip().split("=", 1) for part in said.split(";") if "=" in part)
    try:
        subprocess.run(["ssh-add", "-q", str(identity)], env={**os.environ, **agent}, check=True)
        yield agent
    finally:
        subprocess.run(["ssh-agent", "-k"], env={**os.environ, **agent}, capture_output=True, check=False)
