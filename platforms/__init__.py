"""One file a cloud: wires components from settings and plan. An SDK is imported only for a stack that uses it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pulumi

from settings.load import load
from settings.problems import ConfigError


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
