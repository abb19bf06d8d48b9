"""What the release asks the engine alone: whether a worker without a health check runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

RELEASE = Path(__file__).parents[2] / "components" / "docker" / "release.sh"
ENGINE = r"""#!/bin/sh
# An engine whose worker-1-a is as the lines of `states` say, one a look; the last one stays.
case "$1 $*" in
    restart*) echo "$*" >>restarts && printf 'running 0 none\n' >states ;;
    inspect*.State.Status*RestartCount*if*)
        head -n 1 states
        [ "$(wc -l <states)" = 1 ] || sed -i 1d states
        ;;
    inspect*.State.Status*) echo running ;;
    "logs "*) echo "a line of its log" ;;
esac
"""


@pytest.mark.parametrize(
    ("states", "begun", "said"),
    [
        (["running 0 none"], False, None),
        # It ended once before the edge led it to what it uses, which is no fault of its own.
        (["running 1 none"], False, None),
        # The engine waits up to a minute before it starts one that ended often; the release does not.
        (["restarting 14 none"], True, None),
        (["running 0 none", "running 1 none", "restarting 2 none"], False, "restarting, restarted 2 times; a worker"),
        (["running 3 none", "running 4 none", "restarting 5 none"], False, "restarting, restarted 2 times; a worker"),
    ],
    ids=("runs", "ended before", "waits to be started", "ends", "goes on ending"),
)
def test_a_worker_is_judged_by_what_it_does_from_now_on(
    tmp_path: Path, states: list[str], begun: bool, said: str | None
) -> None:
    for name, text in {
        "docker": ENGINE,
        "sleep": "#!/bin/sh\nexec /bin/sleep 0.1\n",
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "states").write_text("\n".join(states) + "\n")
    steps = ("RESTORE", "ACCEPT", "GATE", "SWITCH")
    done = subprocess.run(
        ["sh", str(RELEASE)],
        input="#: server worker worker-1 worker-1-a id docker 0 / - 2 20 30\n",
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "QUAYSIDE_PHASE": "accept",
            "QUAYSIDE_EDGE": "edge",
            **{f"QUAYSIDE_{step}": "true" for step in steps},
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (tmp_path / "restarts").exists() == begun
    assert (done.returncode == 0) == (said is None), done.stderr
    if said is not None:
        assert f"health: container is {said}" in done.stderr
        assert "a line of its log" in done.stderr
