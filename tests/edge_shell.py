"""The shell that runs scripts inside an edge. The images' is busybox, whose tools differ from a machine's own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


@functools.cache
def _applets() -> tempfile.TemporaryDirectory[str] | None:
    """A folder of busybox's tools under their names, as `/bin` is in the image; None where there is no busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        return None
    folder = tempfile.TemporaryDirectory(prefix="quayside-busybox-")
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        (Path(folder.name) / name).symlink_to(busybox)
    return folder


def edge_shell(
    script: str, *, stdin: str | None = None, timeout: float = 30, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script as inside an edge; by the machine's own tools where there is no busybox."""
    applets = _applets()
    path = os.environ["PATH"] if applets is None else os.pathsep.join((applets.name, os.environ["PATH"]))
    return subprocess.run(
        ["sh", "-c", script],
        input=stdin,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
