"""One file a cloud: wires components from settings and plan. An SDK is imported only for a stack that uses it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi

from settings.load import load
from settings.problems import ConfigError, Problem


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
            case cloud:
                raise ConfigError(
                    [
                        Problem(
                            "quayside:cloud", f'"{cloud}" is not built yet', "set it to local or aws; hetzner is next"
                        )
                    ]
                )
    except ConfigError as error:
        # RunError is the one exception that Pulumi prints without a traceback. The rehearsal reports its cause.
        raise pulumi.RunError(str(error)) from error
