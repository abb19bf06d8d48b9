"""The order in which services are created: ``after``, checked for cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from settings.problems import ConfigError, Problem


def creation_order(
    after: Mapping[str, Sequence[str]], key: str = "after", fix: str = "remove one of these `after`"
) -> Sequence[str]:
    """Services with those they come ``after`` first; ties in alphabetical order, so that the result is stable.

    ``key`` is the setting that a cycle is blamed on.
    """
    sorter = TopologicalSorter({name: sorted(after[name]) for name in sorted(after)})
    try:
        sorter.prepare()
    except CycleError as error:
        cycle: Sequence[str] = error.args[1]
        # graphlib lists the cycle from dependency to dependent; people read "a after b after a".
        shown = " → ".join(reversed(cycle))
        raise ConfigError([Problem(f"services/{cycle[-1]}/{key}", f"cycle: {shown}", fix)]) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order
