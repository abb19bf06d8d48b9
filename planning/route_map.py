"""The public routes as a map in a file, so that one lookup finds a request's service, however many routes there are.

HAProxy reads a map from a file alone. Its lines are in the configuration as directives, so that a preview shows them,
and the edge's scripts write them into the file (``lay_routes`` in edge_common.sh) before HAProxy sees the text:

- ``#: routes NAME`` the file, in `FOLDER` beside the configuration. The name is a digest of the lines, so no file is
  ever changed;
- ``#: route HOST/PATH/ BACKEND`` a line of it.

A key ends with a ``/``, and so does what is looked up: then the longest key that it begins with is the longest path
that ends at a border, and ``/a`` is none of ``/ab``. A host is looked up as it is, then as a wildcard with as many of
its last labels as any wildcard has, the longest first: a rule for each number of labels, never one for each route.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from planning.routes import Route

__all__ = ["FOLDER", "directives", "rules"]

FOLDER = "routes"


def _lines(routes: Iterable[Route]) -> Sequence[str]:
    """The most specific route comes first, as in `routes`; of two with one key, the first counts."""
    keys: dict[str, str] = {}
    for route in routes:
        keys.setdefault(f"{route.host}{route.path.rstrip('/')}/", f"svc_{route.service}")
    return [f"{key} {backend}" for key, backend in keys.items()]


def _name(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def directives(routes: Sequence[Route]) -> Iterable[str]:
    if routes:
        lines = _lines(routes)
        yield f"#: routes {_name(lines)}"
        yield from (f"#: route {line}" for line in lines)


def rules(routes: Sequence[Route]) -> Iterable[str]:
    """Rules of the public frontend, after the one that sets txn.host."""
    if not routes:
        return
    file = f"{FOLDER}/{_name(_lines(routes))}"
    # A host has no slash: with one, a host could pass for a host and the beginning of a path.
    yield "    http-request unset-var(txn.host) if { var(txn.host) -m sub / }"
    yield "    http-request set-var(txn.path) path"
    yield f"    http-request set-var(txn.service) var(txn.host),concat(,txn.path,/),map_beg({file})"
    labels = {route.host.count(".") for route in routes if route.host.startswith("*.")}
    for number in sorted(labels, reverse=True):
        missing = "!{ var(txn.service) -m found }"
        yield f"    http-request set-var(txn.labels) var(txn.host),field(-1,.,{number}) if {missing}"
        yield (
            f"    http-request set-var(txn.service) str(*.),concat(,txn.labels,),concat(,txn.path,/),map_beg({file})"
            f" if {missing} {{ var(txn.host),field(-{number + 1},.),length gt 0 }}"
        )
    yield "    use_backend %[var(txn.service)] if { var(txn.service) -m found }"
