"""How the difference between two rehearsals is shown."""

from __future__ import annotations

from typing import Any

from rehearsal.compare import difference

URN = "urn:pulumi:t::fx::command:local:Command::routing"


def shown(old: Any, new: Any) -> list[str]:
    resource: dict[str, Any] = {"urn": URN, "type": "command:local:Command", "ignoreChanges": []}
    before, after = ([{**resource, "inputs": {"stdin": value}}] for value in (old, new))
    return difference(before, after).lines()[1:]


def test_of_a_long_text_the_lines_that_differ_are_shown() -> None:
    """Cut at its width, a changed configuration of an edge began alike on both sides, and said nothing."""
    lines = [f"line {number} of a configuration" for number in range(100)]
    changed = [*lines[:50], "another", *lines[51:]]
    assert shown("\n".join(lines), "\n".join(changed)) == [
        "    stdin:",
        "        - line 50 of a configuration",
        "        + another",
    ]


def test_of_a_long_list_the_items_that_differ_are_shown() -> None:
    items = [{"label": f"a label of number {number}", "value": "of some length"} for number in range(9)]
    assert shown(items, items[1:]) == [
        "    stdin:",
        '        - {"label": "a label of number 0", "value": "of some length"}',
    ]


def test_a_text_that_is_all_new_is_cut() -> None:
    found = shown("\n".join(["- old"] * 60), "\n".join(["@@ new"] * 60))
    assert found[1] == "        - - old"
    assert found[-1] == "        … and 100 lines more"


def test_short_values_stand_side_by_side() -> None:
    assert shown("web:1", "web:2") == ['    stdin: "web:1" → "web:2"']
    assert shown(["a"], ["b"]) == ['    stdin: ["a"] → ["b"]']
    assert shown(None, ["b"] * 99)[0].startswith("    stdin: (none) → [")
