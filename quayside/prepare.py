"""`python -m quayside.prepare`: a running engine and the shop's images, for the tests. Deploys nothing."""

from __future__ import annotations

import sys
from pathlib import Path

from planning.edge import IMAGE
from quayside import docker_engine, images
from quayside.shell import CommandError

IMAGES = (IMAGE, "redis:7-alpine", "python:3.13-alpine")


def main() -> int:
    """Start the engine and get the images; what is missing afterwards only makes tests skip."""
    state = Path(__file__).parent.parent / ".quayside"
    try:
        docker_engine.ensure(state, print)
        images.ensure(IMAGES, state / "images", print)
    except CommandError as error:
        print(f"no Docker for the tests: {error}", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
