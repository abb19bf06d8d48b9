"""JSON in which some values are known only later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi


def dumps(value: object, *, sort_keys: bool = False) -> pulumi.Output[str]:
    """`value` as compact JSON, once every output anywhere inside it is known; secret where one of them is.

    ``Output.json_dumps`` makes an output of every list and mapping on the way, a dozen for each that really is one; for
    the policies and containers of a thousand services that was a fifth of the whole run.
    """
    later: list[pulumi.Output[Any]] = []

    def marked(found: object) -> object:
        if isinstance(found, pulumi.Output):
            later.append(cast("pulumi.Output[Any]", found))
            return _Place(len(later) - 1)
        if isinstance(found, Mapping):
            return {key: marked(item) for key, item in cast("Mapping[str, object]", found).items()}
        if isinstance(found, Sequence) and not isinstance(found, str):
            return [marked(item) for item in cast("Sequence[object]", found)]
        return found

    shape = marked(value)

    def written(known: Sequence[object]) -> str:
        return json.dumps(shape, sort_keys=sort_keys, separators=(",", ":"), default=lambda place: known[place.index])

    return pulumi.Output.all(*later).apply(written)


class _Place:
    """Where a later value goes."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index
