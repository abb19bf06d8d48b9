"""`quayside access`: whose keys stand on the hosts."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from planning.hosts.entry import begin_of, comment_of, end_of
from quayside import access, fleet
from tests.unit.test_cli import program
from tests.unit.test_cli_fleet import KEY, host, made

ANNA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBSb5OD49ThVyjjPoxUM2LLUpzTnaSsqPJ4GLhIoMLkR"
TEXT = f"""\
root # by hand
root from="192.0.2.1",command="echo a b" {ANNA} restricted one
root {begin_of("shop/t")}
root {ANNA} {comment_of("shop/t")}
root {ANNA} anna@laptop
root {end_of("shop/t")}
root {begin_of("shop/prod")}
root {ANNA}
root {end_of("shop/prod")}
deploy {ANNA} ben
"""


def test_every_key_has_its_cause() -> None:
    found = list(access.entries(TEXT, "shop/t"))
    assert [(entry.user, entry.comment, entry.cause) for entry in found] == [
        ("root", "restricted one", "not of this stack"),
        ("root", "quayside:shop/t", "this stack's own key"),
        ("root", "anna@laptop", "access.keys"),
        ("root", "", "stack shop/prod"),
        ("deploy", "ben", "not of this stack"),
    ]


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_fingerprints_are_ssh_keygens(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(ANNA)
    said = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, check=True)
    assert access.fingerprint(ANNA.split()[1]) == said.stdout.split()[1]


def test_hosts_are_asked_and_one_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "said").write_text(TEXT)
    program(
        tmp_path / "bin",
        "ssh",
        f'case "$*" in *192.0.2.9*) echo "Connection refused" >&2; exit 255 ;; esac\ncat {tmp_path}/said\n',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    away = fleet.Host(name="h2", address="192.0.2.9", user="root", port=22, host_key=KEY, down=False, slots=[])
    out = io.StringIO()
    access.show(made(host("h1"), away, host("h3", down=True)), Console(file=out, width=160))
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["host", "user", "key", "fingerprint", "by"]
    assert "anna@laptop" in lines[3]
    assert lines[3].split()[-1] == "access.keys"
    assert [line.split()[:3] for line in lines if line.startswith(("h2", "h3"))] == [
        ["h2", "–", "unreachable"],
        ["h3", "–", "down"],
    ]
    assert "  h2: cannot be asked by ssh (root@192.0.2.9:22): Connection refused" in out.getvalue()


def test_the_list_has_every_user_with_a_shell(tmp_path: Path) -> None:
    (tmp_path / "a/.ssh").mkdir(parents=True)
    (tmp_path / "a/.ssh/authorized_keys").write_text(ANNA)  # without a newline behind
    (tmp_path / "b/.ssh").mkdir(parents=True)
    (tmp_path / "b/.ssh/authorized_keys").write_text(f"{ANNA} b\n")
    passwd = f"a:x:0:0::{tmp_path}/a:/bin/sh\nb:x:1:1::{tmp_path}/b:/usr/sbin/nologin\nc:x:2:2::{tmp_path}/c:/bin/sh"
    script = f"getent() {{ printf '%s\\n' '{passwd}'; }}\n{access._LIST}"  # pyright: ignore[reportPrivateUsage]
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert [(entry.user, entry.cause) for entry in access.entries(said, "shop/t")] == [("a", "not of this stack")]
