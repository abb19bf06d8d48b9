"""Platform hetzner on hosts of a test fleet, prepared as for real, packet filter and all.

Only packages are not installed, since there is no way from these hosts to a mirror.
"""

from __future__ import annotations

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
