"""The images a stack names: present, pulled, or (where no registry answers) made from Debian's packages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from quayside import standins
from quayside.shell import CommandError, Watch, ask, last_line

PROBE = 20.0
"""Seconds the first pull may take to reach its registry before the registry counts as absent."""
SILENCE = 600.0
"""Seconds that a pull may go without a word: a layer of gigabytes on a slow line takes a while."""

UNREACHABLE = re.compile(
    r"dial tcp|no such host|i/o timeout|connection refused|network is unreachable|connection reset|no route to host"
    r"|TLS handshake|Client\.Timeout|context deadline exceeded|\bEOF\b|server misbehaving|proxyconnect|x509:"
    r"|50[234] (Bad Gateway|Service|Gateway)",
    re.IGNORECASE,
)


def registry_of(image: str) -> str:
    """The host an image is pulled from."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def present(image: str) -> bool:
    """Whether the engine has the image."""
    return ask(["docker", "image", "inspect", "--format", "{{.Id}}", image], timeout=30).returncode == 0


def ensure(images: Iterable[str], cache: Path, say: Callable[[str], None]) -> None:
    """Get every image the engine lacks. Those there are stay untouched; all that cannot be had are named at once."""
    silent: set[str] = set()
    failures: list[str] = []
    for image in dict.fromkeys(images):
        if present(image):
            continue
        registry = registry_of(image)
        reason = "its registry did not answer"
        if registry not in silent:
            outcome, reason = pull(image, say)
            if outcome == "pulled":
                continue
            if outcome == "refused":
                failures.append(f"image {image}: {reason}\n    check the name and tag, or `docker login {registry}`")
                continue
            silent.add(registry)
        if standins.recipe_for(image) is None:
            failures.append(
                f"image {image}: {registry} cannot be reached ({reason})\n"
                f"    only haproxy, redis and python have stand-ins; bring this one by `docker load` or `docker build`"
            )
            continue
        try:
            standins.build(image, cache, say)
        except CommandError as error:
            failures.append(str(error))
    if failures:
        raise CommandError("\n".join(failures))


def pull(image: str, say: Callable[[str], None]) -> tuple[str, str]:
    """Pull one image: ("pulled" | "refused" | "unreachable", why)."""
    with subprocess.Popen(
        ["docker", "pull", image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as docker:
        assert docker.stdout is not None  # noqa: S101  # asked for with PIPE
        assert docker.stderr is not None  # noqa: S101
        # The first line comes once the registry has answered; from then on a slow line is no reason to stop.
        watch = Watch(docker, PROBE)
        try:
            for number, _ in enumerate(docker.stdout):
                watch.progress()
                if number == 0:
                    watch.silence = SILENCE
                    say(f"{image}: pulling")
            errors = docker.stderr.read()
        finally:
            docker.kill()
    if docker.returncode == 0:
        return "pulled", ""
    if watch.expired and watch.silence == SILENCE:
        return "refused", f"the pull has not gone on for {SILENCE:g} s, and was given up"
    if not errors.strip():
        return "unreachable", f"no answer within {PROBE:g} s"
    reason = last_line(errors).removeprefix("Error response from daemon: ")
    return ("unreachable" if UNREACHABLE.search(errors) else "refused"), reason
