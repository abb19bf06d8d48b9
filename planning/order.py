"""The order in which services are created: ``after``, checked for cycles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from settings.problems import ConfigError, Problem


def creation_order(
    after: Mapping[str, Sequence[str]],
    key: Callable[[str, str], str] = lambda _name, _other: "after",
    fix: str = "remove one of these `after`",
) -> Sequence[str]:
    """Services with those they come ``after`` first; ties in alphabetical order, so that the result is stable.

    ``key`` is the setting by which the first comes after the second: the one that a cycle is blamed on.
    """
    sorter, cycles = _prepared(after), list[Sequence[str]]()
    while isinstance(sorter, CycleError):
        # graphlib lists the cycle from dependency to dependent; people read "a after b after a".
        cycles.append(list(reversed(sorter.args[1])))
        # Without its services, the next one shows.
        told = {name for cycle in cycles for name in cycle}
        sorter = _prepared({name: set(others) - told for name, others in after.items() if name not in told})
    if cycles:
        raise ConfigError(
            Problem(f"services/{cycle[0]}/{key(cycle[0], cycle[1])}", f"cycle: {' → '.join(cycle)}", fix)
            for cycle in cycles
        )
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order


def _prepared(after: Mapping[str, Collection[str]]) -> TopologicalSorter[str] | CycleError:
    sorter = TopologicalSorter({name: sorted(after[name]) for name in sorted(after)})
    try:
        sorter.prepare()
    except CycleError as error:
        return error
    return sorter
