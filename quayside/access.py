"""Who may enter the hosts of a fleet over SSH: every key that stands on them, and whose it is."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from planning.hosts.entry import begin_of, comment_of, end_of
from quayside.fleet import PATIENCE, Fleet, Host, side_by_side
from quayside.shell import last_line, run

_ANY_BLOCK = re.compile(re.escape(begin_of("\0")).replace("\0", r"(\S+)"))
_KEY = re.compile(r"(?:^|\s)((?:ssh|ecdsa|sk)-[a-z0-9@.-]+) (AAAA[A-Za-z0-9+/]+={0,3})(?: +(.*))?$")
# Of every user who has a shell, not of the one alone that the stack logs in as.
_LIST = r"""
getent passwd | while IFS=: read -r user _ _ _ _ home shell; do
    case $shell in */nologin | */false | "") continue ;; esac
    for file in "$home/.ssh/authorized_keys" "$home/.ssh/authorized_keys2"; do
        [ ! -f "$file" ] || { cat "$file" && echo; } | sed "s/^/$user /"
    done
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key on one host."""

    user: str
    comment: str
    fingerprint: str
    """As `ssh-keygen -l` prints it."""
    cause: str
    """Why it is there."""


def show(fleet: Fleet, console: Console) -> None:
    """Ask every host at once, and print the table. A host that does not answer is a line of it."""
    hosts = [host for host in fleet.hosts.values() if not host.down]
    answers = dict(zip([host.name for host in hosts], side_by_side(lambda host: _ask(fleet, host), hosts), strict=True))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("host", "user", "key", "fingerprint", "by"):
        table.add_column(column, no_wrap=column != "key", overflow="fold")
    for name in fleet.hosts:
        answer = answers.get(name, "down")
        if isinstance(answer, str):
            table.add_row(name, "–", "down" if answer == "down" else "[red]unreachable[/red]", "", "")
            continue
        for entry in answer:
            table.add_row(name, entry.user, entry.comment or "–", entry.fingerprint, entry.cause)
    console.print(table)
    for name, answer in answers.items():
        if isinstance(answer, str):
            console.print(f"  {name}: {answer}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _ask(fleet: Fleet, host: Host) -> list[Entry] | str:
    """Its keys, or why it does not say."""
    root = [] if host.user == "root" else ["sudo", "-n"]
    done = run(fleet.ssh(host, [*root, "sh", "-c", _LIST], terminal=False), timeout=4 * PATIENCE)
    if done.returncode:
        return f"cannot be asked by ssh ({host.user}@{host.address}:{host.port}): {last_line(done.stderr)}"
    return list(entries(done.stdout, fleet.stack))


def entries(text: str, owner: str) -> Iterator[Entry]:
    """The keys of a host's answer: a user and a line of his `authorized_keys` on each line."""
    blocks: dict[str, str] = {}
    for row in text.splitlines():
        user, _, line = row.partition(" ")
        block = _ANY_BLOCK.fullmatch(line)
        if block is not None:
            blocks[user] = block[1]
        elif user in blocks and line == end_of(blocks[user]):
            del blocks[user]
        elif not line.startswith("#") and (key := _KEY.search(line)) is not None:
            comment = (key[3] or "").strip()
            yield Entry(
                user=user,
                comment=comment,
                fingerprint=fingerprint(key[2]),
                cause=_cause(blocks.get(user), comment, owner),
            )


def _cause(block: str | None, comment: str, owner: str) -> str:
    if block is None:
        return "not of this stack"
    if block != owner:
        return f"stack {block}"
    return "this stack's own key" if comment == comment_of(owner) else "access.keys"


def fingerprint(encoded: str) -> str:
    try:
        digest = hashlib.sha256(base64.b64decode(encoded)).digest()
    except binascii.Error:
        return "no key"
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
