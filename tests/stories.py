"""The stories of `examples/*.yaml`, each several files in one: `python -m tests.stories NAME FOLDER` writes them out,
as a project that can be rehearsed there.

Each part of a story begins with `--- # NAME`, and is word for word what a person would keep under that name.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal import Report, rehearse
from rehearsal.secrets import put_sealed, set_secret
from settings.document import read_yaml
from settings.parse import parse
from settings.stack import Stack

REPOSITORY = Path(__file__).parent.parent
EXAMPLES = REPOSITORY / "examples"
PASSPHRASE = "a story's"
SEALED = "v1:AAAA:BBBB"
SERVICES = "services.yaml"
_PART = re.compile(r"^--- # (services\.yaml|Pulumi\.[a-z][a-z0-9-]*\.yaml)$", re.MULTILINE)


@dataclass(frozen=True)
class Story:
    name: str
    files: Mapping[str, str]
    """File name → its text."""

    @property
    def stacks(self) -> list[str]:
        return [name.split(".")[1] for name in self.files if name != SERVICES]

    def config(self, stack: str) -> dict[str, Any]:
        document: Any = read_yaml(self.files[f"Pulumi.{stack}.yaml"], f"Pulumi.{stack}.yaml")
        assert list(document) == ["config"]
        return document["config"]

    def secrets(self, stack: str) -> list[str]:
        """The keys under the stack's secrets that it names: they are set by hand, never written down."""
        written: Any = [read_yaml(self.files[SERVICES], SERVICES), self.config(stack).get("quayside:services", {})]
        services = [service or {} for part in (written[0]["services"], written[1]) for service in part.values()]
        keys = {key for service in services for key in service.get("secrets", {}).values()}
        config = self.config(stack)
        keys |= {login["password"] for login in config.get("quayside:registries", {}).values()}
        keys |= {key for key in [config.get("quayside:edge", {}).get("certificate")] if key}
        return sorted(key for key in keys if not key.startswith("arn:"))

    def settings(self, stack: str) -> Stack:
        """What the settings make of it; raises ConfigError."""
        config = self.config(stack)
        own = {key.removeprefix("quayside:"): value for key, value in config.items() if key.startswith("quayside:")}
        return parse(
            project=self.name,
            stack=stack,
            services=self.files[SERVICES],
            config=own,
            secrets=self.secrets(stack),
            region=config.get("aws:region"),
        )

    def write(self, root: Path) -> None:
        """A project in a folder of its own, without its secrets."""
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "__main__.py", root)
        (root / "Pulumi.yaml").write_text(f"name: {self.name}\nruntime: python\n")
        for name, text in self.files.items():
            (root / name).write_text(text)

    def write_for_a_reader(self, root: Path) -> Iterator[str]:
        """The same with a closed secret for each that is named; tells what to run there, and what is to be set."""
        self.write(root)
        for stack in self.stacks:
            yield f"PYTHONPATH={REPOSITORY} {sys.executable} -m rehearsal {stack}"
            for key in self.secrets(stack):
                put_sealed(root / f"Pulumi.{stack}.yaml", f"quayside:secrets.{key}", SEALED, None)
                yield f"    before `up`: pulumi config set --secret --path quayside:secrets.{key} --stack {stack}"

    def rehearse(self, stack: str, root: Path) -> Report:
        """What `python -m rehearsal` says of it; the caller has set the passphrase in the environment."""
        self.write(root)
        for key in self.secrets(stack):
            set_secret(root / f"Pulumi.{stack}.yaml", f"quayside:secrets.{key}", "a secret", PASSPHRASE)
        return rehearse(stack, root)


def story(name: str) -> Story:
    text = (EXAMPLES / f"{name}.yaml").read_text()
    begins = list(_PART.finditer(text))
    ends = [*(found.start() for found in begins[1:]), len(text)]
    parts = {found[1]: text[found.end() + 1 : end] for found, end in zip(begins, ends, strict=True)}
    assert len(parts) == len(begins), "two parts have one name"
    assert next(iter(parts)) == SERVICES
    return Story(name, parts)


def stories() -> list[Story]:
    return [story(path.stem) for path in sorted(EXAMPLES.glob("*.yaml"))]


if __name__ == "__main__":
    print(f"cd {sys.argv[2]}", *story(sys.argv[1]).write_for_a_reader(Path(sys.argv[2])), sep="\n")
