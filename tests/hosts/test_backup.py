"""Data of a service with a volume: copied while it serves, and put back."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.shop import IMAGES, Stack, docker, session, web

pytestmark = pytest.mark.docker
Make = Callable[[dict[str, Any]], Stack]


@pytest.fixture
def stack(new_stack: Make) -> Iterator[Stack]:
    command = ["redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always"]
    made = new_stack({"session": session(command=command), "web": web()})
    made.up()
    yield made
    left = docker("volume", "ls", "-q", "--filter", "name=quayside-backup-")
    assert left == "", "what was copied beside is gone"


def quayside(stack: Stack, *words: str, stdout: Any = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quayside", words[0], "--stack", stack.name, *words[1:]],
        cwd=stack.root,
        env=stack.environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )


def redis(stack: Stack, *words: str) -> str:
    return docker("exec", f"{stack.prefix}session", "redis-cli", *words)


def test_a_backup_drops_nothing_and_is_put_back(stack: Stack) -> None:
    redis(stack, "SET", "cart", "full")
    # Enough that the copy takes a while.
    docker("exec", f"{stack.prefix}session", "dd", "if=/dev/urandom", "of=/data/more", "bs=1048576", "count=30")
    answers: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        with subprocess.Popen(
            ["docker", "run", "--rm", "-i", "--network", f"container:{stack.prefix}session", IMAGES[1], "redis-cli"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            while not ended.is_set():
                client.stdin.write("PING\n")
                client.stdin.flush()
                answers.append(client.stdout.readline().strip())
                time.sleep(0.05)
            client.stdin.close()

    asking = threading.Thread(target=ask)
    asking.start()
    file = stack.root / "copy.tar.gz"
    done = quayside(stack, "backup", "session", str(file))
    ended.set()
    asking.join(20)
    assert done.returncode == 0, done.stderr
    print(done.stderr)
    assert re.fullmatch(r"session: \d+ files, 3\d\.\d MiB; held for \d+ s\n", done.stderr), done.stderr
    assert done.stdout == "copy.tar.gz\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(answers) > 10
    assert set(answers) == {"PONG"}

    redis(stack, "SET", "cart", "empty")
    redis(stack, "SET", "later", "1")
    before, owner = stack.containers("session")[0]["Id"], owners(stack)
    refused = quayside(stack, "restore", "session", str(file))
    assert refused.returncode == 1
    assert refused.stderr.endswith("would be replaced, and nobody can be asked\n    add --yes\n")
    newer = quayside(stack, "restore", "session", str(file), "--yes")
    assert newer.returncode == 1
    assert "the data of session is newer than the archive: " in newer.stderr
    assert newer.stderr.endswith("to replace it all the same, add --replace-newer\n")
    assert redis(stack, "GET", "cart") == "empty", "nothing was touched"
    done = quayside(stack, "restore", "session", str(file), "--yes", "--replace-newer")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"session: \d+ files restored; it runs again\n", done.stdout), done.stdout
    assert redis(stack, "GET", "cart") == "full"
    assert redis(stack, "GET", "later") == ""
    assert redis(stack, "SET", "cart", "writable") == "OK"
    assert stack.containers("session")[0]["Id"] == before
    assert owners(stack) == owner
    assert " same" in stack.up().output, "and the program has nothing to do"


def owners(stack: Stack) -> str:
    listed = docker(
        "exec", f"{stack.prefix}session", "sh", "-c", "cd /data; stat -c '%n %u:%g %a' . appendonlydir more; ls -A"
    )
    return "\n".join(sorted(listed.split("\n")))


def test_what_is_no_whole_backup_changes_nothing(stack: Stack) -> None:
    redis(stack, "SET", "cart", "full")
    file = stack.root / "copy.tar.gz"
    assert quayside(stack, "backup", "session", str(file)).returncode == 0
    redis(stack, "SET", "cart", "fuller")
    whole = file.read_bytes()
    cut, text, outside = (stack.root / name for name in ("cut.gz", "text.gz", "outside.gz"))
    cut.write_bytes(whole[: len(whole) // 2])
    text.write_text("no archive")
    with tarfile.open(outside, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../etc/passwd"))
    for broken, why in (
        (cut, "is no whole archive"),
        (text, "is no whole archive"),
        (outside, "it has ../etc/passwd, which is outside of a volume"),
        (stack.root / "absent.gz", "there is no file"),
    ):
        done = quayside(stack, "restore", "session", str(broken), "--yes")
        assert done.returncode == 1
        assert why in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    # It is cut on its way, after it was looked through.
    script = (Path(__file__).parents[2] / "quayside" / "restore.sh").read_text()
    volume, image = f"{stack.prefix}session", stack.containers("edge")[0]["Config"]["Image"]
    done = subprocess.run(
        ["sh", "-c", script, "restore", volume, image, f"{stack.prefix}session"],
        input=cut.read_bytes(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"did not come whole" in done.stderr
    assert redis(stack, "GET", "cart") == "fuller"
    assert "quayside" not in owners(stack)


def test_a_backup_that_is_killed_holds_nobody(stack: Stack) -> None:
    docker("exec", f"{stack.prefix}session", "dd", "if=/dev/urandom", "of=/data/more", "bs=1048576", "count=120")
    process = subprocess.Popen(
        [sys.executable, "-m", "quayside", "backup", "session", "killed.tar.gz", "--stack", stack.name],
        cwd=stack.root, env=stack.environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 30
    while docker("inspect", "-f", "{{.State.Paused}}", f"{stack.prefix}session") != "true":
        assert time.monotonic() < end
        assert process.poll() is None
    os.kill(process.pid, 9)
    process.wait()
    end = time.monotonic() + 60
    while docker("inspect", "-f", "{{.State.Paused}}", f"{stack.prefix}session") != "false":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert redis(stack, "PING") == "PONG"
    while docker("volume", "ls", "-q", "--filter", "name=quayside-backup-"):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert not (stack.root / "killed.tar.gz").exists()


def test_without_a_name_it_lies_with_the_others_and_a_pipe_takes_it_too(stack: Stack) -> None:
    done = quayside(stack, "backup", "session")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(rf"\.quayside/backups/{stack.name}/session-\d{{8}}-\d{{6}}\.tar\.gz\n", done.stdout), (
        done.stdout
    )
    piped = stack.root / "piped.gz"
    with piped.open("wb") as out:
        assert quayside(stack, "backup", "session", "-", "--running", stdout=out).returncode == 0
    with gzip.open(piped) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        assert any("appendonly" in member.name for member in archive)


def test_what_has_no_volume_is_told_what_has(stack: Stack) -> None:
    done = quayside(stack, "backup", "web")
    assert done.returncode == 1
    assert done.stderr == f"no service web with a volume in stack quayside/{stack.name}\n    there are session\n"
