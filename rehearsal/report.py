"""A report for people: resources by component, the routing table, who reaches whom, and placement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from rehearsal.checks import Finding
from rehearsal.compare import Difference
from rehearsal.events import short_type
from rehearsal.preview import Report
from rehearsal.values import mapping, sequence

SECTIONS = (
    ("hosts", "Hosts"),
    ("routes", "Routes"),
    ("reach", "Who reaches whom"),
    ("placement", "Placement"),
    ("capacity", "Capacity fit"),
    ("certificates", "Certificates"),
    ("records", "DNS records to create"),
    ("repositories", "Registries"),
    ("registry", "Registry on localhost"),
)
"""Stack outputs that are shown as tables, and their titles."""

UNLIMITED = 100_000
"""Columns: more than any table has, so that none of its values is cut."""

COLUMNS = (
    *("priority", "host", "kind", "size", "state", "path", "service", "balancer"),
    *("from", "to", "address", "why"),
    *("load", "instances", "of"),
    *("tasks", "canary", "on", "cpu", "memory", "interfaces", "does not start", "network", "release"),
    *("used", "steady", "surge", "available", "free", "cpu used", "cpu free", "runs"),
    *("names", "name", "type", "value", "repository", "url", "bucket", "image"),
)


def print_report(report: Report, console: Console) -> None:
    """The whole report on a terminal."""
    console.print(Text.assemble((f"{report.project}/{report.stack}", "bold"), f"  {counted(report)}"))
    console.print(_tree(report))
    for key, title in SECTIONS:
        rows = rows_of(report.outputs.get(key))
        if rows:
            console.print(Text(f"\n{title}", style="bold"))
            console.print(_table(rows))
    _print_lines(console, "Notes", report.notes, "yellow")
    print_problems(report.problems, console)


def print_problems(problems: Sequence[Finding], console: Console) -> None:
    _print_lines(console, "Problems", [str(problem) for problem in problems], "red")


def print_difference(difference: Difference, ref: str, console: Console) -> None:
    """What changes from `ref` to the tree as it is."""
    console.print(Text(f"\nAgainst {ref}", style="bold"))
    for line in difference.lines():
        colours = {"+": "green", "-": "red", "~": "yellow", "±": "red", "!": "bold yellow"}
        style = colours.get(line[:1], "dim")
        console.print(Text(line, style=style), soft_wrap=True)


def counted(report: Report) -> str:
    custom = sum(found.custom for found in report.registrations)
    problems = len(report.problems)
    verdict = "no problems" if not problems else f"{problems} problem{'' if problems == 1 else 's'}"
    return f"{custom} resources in {len(report.registrations) - custom} components, {verdict}"


def _tree(report: Report) -> RenderableType:
    children: dict[str, list[Any]] = defaultdict(list)
    known = {found.urn for found in report.registrations}
    for found in report.registrations:
        children[found.parent if found.parent in known else ""].append(found)

    def fill(branch: Tree, urn: str) -> None:
        plain: dict[str, list[str]] = defaultdict(list)
        for found in children[urn]:
            if children.get(found.urn):
                inner = branch.add(f"[bold]{escape(found.name)}[/] [dim]{escape(short_type(found.type))}[/]")
                fill(inner, found.urn)
            else:
                plain[short_type(found.type)].append(found.name)
        for kind, names in sorted(plain.items()):
            shown = ", ".join(names[:4]) + (f" … {len(names) - 4} more" if len(names) > 4 else "")
            branch.add(f"{len(names)} × {escape(kind)} [dim]{escape(shown)}[/]")

    root = Tree("", hide_root=True)
    fill(root, "")
    return Group(root)


def by_component(report: Report) -> dict[str, Counter[str]]:
    names = {found.urn: found.name for found in report.registrations}
    counts: dict[str, Counter[str]] = {}
    for found in report.registrations:
        if found.custom:
            counts.setdefault(names.get(found.parent, "(stack)"), Counter())[short_type(found.type)] += 1
    return counts


_BYTES = ("steady", "surge", "available")
"""Columns of Placement that hold bytes for programs, and MiB for people."""


def rows_of(value: Any) -> list[Mapping[str, Any]]:
    """A stack output as table rows: a list of mappings as it is, a mapping as its items."""
    items = sequence(value)
    if items is not None:
        rows = [row for item in items if (row := mapping(item)) is not None]
        return [{key: _mib(item) if key in _BYTES else item for key, item in row.items()} for row in rows]
    return [{"name": key, "value": item} for key, item in (mapping(value) or {}).items()]


def _mib(value: Any) -> Any:
    return f"{-(-value // 1024**2)}MiB" if isinstance(value, int) and value >= 1024**2 else value


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """In the order that people read: the engine's protocol keeps none."""
    given = sorted({key for row in rows for key in row})
    return [*(key for key in COLUMNS if key in given), *(key for key in given if key not in COLUMNS)]


def cell(value: Any) -> str:
    items, members = sequence(value), mapping(value)
    if items is not None:
        return ", ".join(cell(item) for item in items)
    if members is not None:
        return ", ".join(f"{key} {cell(item)}" for key, item in members.items())
    return "" if value is None else str(value)


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = columns_of(rows)
    table = Table(*columns, box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for row in rows:
        table.add_row(*(escape(cell(row.get(column))) for column in columns))
    return table


def _print_lines(console: Console, title: str, lines: Iterable[str], style: str) -> None:
    found = list(lines)
    if found:
        console.print(Text(f"\n{title}", style=f"bold {style}"))
        for line in found:
            console.print(Text(f"  {line}"), soft_wrap=True)
