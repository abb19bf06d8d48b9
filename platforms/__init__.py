"""One file a cloud: wires components from settings and plan. An SDK is imported only for a stack that uses it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pulumi

# Ours before the project's: Python puts its folder first, and it may well have a `settings` of its own.
if sys.path[0] != (_house := str(Path(__file__).parents[1])):
    sys.path.insert(0, _house)
for _name in ("settings", "planning", "components"):
    _file = str(getattr(sys.modules.get(_name), "__file__", None) or _house)
    if not Path(_file).is_relative_to(_house):
        raise pulumi.RunError(
            f"{_name}: the program has imported a module of its own by this name, {_file}, and quayside has one, too\n"
            f"    give {_name} another name, or import it only after `platforms`, under another one"
        )

from settings.load import load  # noqa: E402
from settings.problems import ConfigError  # noqa: E402


def deploy(root: Path) -> Mapping[str, object]:
    """Load the stack, build its platform, and return what the stack exports."""
    try:
        loaded = load(root)
        match loaded.stack.cloud:
            case "local":
                from platforms import local

                return local.build(loaded)
            case "aws":
                from platforms import aws

                return aws.build(loaded)
            case "hetzner":
                from platforms import hetzner

                return hetzner.build(loaded)
    except ConfigError as error:
        # RunError is the one exception that Pulumi prints without a traceback. The rehearsal reports its cause.
        raise pulumi.RunError(str(error)) from error
