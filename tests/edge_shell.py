"""The shell that runs scripts inside an edge. The images' is busybox, whose tools differ from a machine's own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from planning.route_map import FOLDER


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


def write_config(file: Path, text: str) -> None:
    """Write an edge's configuration, and the file of its routes beside it, as `lay_routes` does inside an edge."""
    lines = text.splitlines()
    for name in (line.removeprefix("#: routes ") for line in lines if line.startswith("#: routes ")):
        (file.parent / FOLDER).mkdir(exist_ok=True)
        routes = (line.removeprefix("#: route ") for line in lines if line.startswith("#: route "))
        # Edges of a test share the folder: one that starts must not read what the next one has only begun to write.
        begun = file.with_suffix(".routes")
        begun.write_text("".join(f"{route}\n" for route in routes))
        begun.rename(file.parent / FOLDER / name)
    file.write_text(text)
