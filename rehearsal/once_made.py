"""What tls and random resources have in common: made once, kept in the state alone, replaced when an input changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rehearsal.providers import Diff, Made, Step, changed_keys
from rehearsal.state import Entry
from rehearsal.values import Properties


class OnceMade:
    """No engine is asked; deleting one is forgetting it."""

    inputs: ClassVar[frozenset[str]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    in_place: ClassVar[frozenset[str]] = frozenset()
    """Inputs whose change makes nothing new."""

    def unsupported(self, inputs: Properties) -> list[str]:
        return sorted(inputs.keys() - self.inputs)

    def diff(self, old: Properties, new: Properties) -> Diff:
        """An input left unset is the same as its default written out."""
        changed = changed_keys({**self.defaults, **old}, {**self.defaults, **new})
        return Diff(changed, tuple(key for key in changed if key not in self.in_place))

    def create(self, step: Step) -> Made:
        given = {**self.defaults, **step.inputs}
        id_, outputs = self.make(given)
        return Made(id_, {**given, **outputs})

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        """The id and what only the provider knows. Raises StepError."""
        raise NotImplementedError

    def update(self, step: Step, old: Entry) -> Made:
        return Made(old.id, {**old.outputs, **self.defaults, **step.inputs})

    def delete(self, step: Step, old: Entry) -> None:
        """Nothing but the state knows it."""

    def refresh(self, entry: Entry) -> Mapping[str, Any] | None:
        return None
