"""The report as a comment on a pull request.

A pull request of a fork may bring any text: in names, in values, in what is a problem with them. As code it stays text:
no mention of a team, no link, no HTML, no picture. So everything that is not written here is put as code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rehearsal.compare import Difference
from rehearsal.preview import Report
from rehearsal.report import COLUMNS, SECTIONS, by_component, cell, columns_of, counted, rows_of


def markdown(report: Report, difference: Difference | None = None, ref: str = "") -> str:
    parts = [f"## Rehearsal of {code(f'{report.project}/{report.stack}')}", counted(report)]
    if report.problems:
        parts.append(f"### Problems\n{block(str(problem) for problem in report.problems)}")
    if difference is not None:
        parts.append(f"### Against {code(ref)}\n{block(difference.lines(), 'diff')}")
    for key, title in SECTIONS:
        rows = rows_of(report.outputs.get(key))
        if rows:
            parts.append(f"### {title}\n{_table(rows)}")
    rows: list[Mapping[str, Any]] = [
        {"component": owner, "type": kind, "count": number}
        for owner, kinds in by_component(report).items()
        for kind, number in kinds.items()
    ]
    parts.append(f"### Resources\n{_table(rows)}")
    if report.notes:
        parts.append(f"### Notes\n{block(str(note) for note in report.notes)}")
    return "\n\n".join(parts) + "\n"


def code(text: str) -> str:
    """Text of others on one line, in a table, too: a code span, which nothing in it ends."""
    plain = " ".join(_printable(text).split())
    if not plain:
        return ""
    # In a table a bar is escaped even in code; a backslash before it would be taken for the escape.
    plain = plain.replace("\\|", "\\ |").replace("|", "\\|")
    if plain.endswith("\\"):
        plain += " "
    fence = "`" * (_longest_run(plain) + 1)
    space = " " if plain[0] == "`" or plain[-1] in "` " else ""
    return f"{fence}{space}{plain}{space}{fence}"


def block(texts: Iterable[str], language: str = "text") -> str:
    """Texts of others, each on its own lines: a fence that is longer than any in them."""
    lines = "\n".join("\n".join(_printable(line) for line in text.splitlines()) for text in texts)
    fence = "`" * max(3, _longest_run(lines) + 1)
    return f"{fence}{language}\n{lines}\n{fence}"


def _printable(text: str) -> str:
    """Without what nobody sees: control characters, and those that turn the direction of what is read."""
    return "".join(" " if char in "\n\t\r" else char for char in text if char in "\n\t\r" or _seen(char))


def _seen(char: str) -> bool:
    return unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = columns_of(rows)
    own = {*COLUMNS, "component", "count"}
    lines = [
        [column if column in own else code(column) for column in columns],
        ["---"] * len(columns),
        *([code(cell(row.get(column))) for column in columns] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
