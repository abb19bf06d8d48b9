"""The lines by which a host knows what is new of what is placed on it."""

from __future__ import annotations

from typing import Any

from planning.hosts.room import STAYS, room, staying
from planning.plan import decide
from tests.mesh import stack

MIB = 1024**2
SHOP: dict[str, Any] = {
    "web": {"image": "web", "port": 8000, "memory": 96 * MIB, "uses": ("session",), "replicas": 2, "env": {"A": "1"}},
    "session": {"image": "redis", "port": 6379, "protocol": "tcp", "memory": 64 * MIB, "volume": "/d", "place": "a"},
}


def lines(**changes: Any) -> dict[str, list[str]]:
    services = {**SHOP, "web": {**SHOP["web"], **changes}}
    found = room(decide(stack(services), {}).services.values())
    return {line.split()[0]: line.split()[1:] for line in found}


def test_a_line_a_slot_with_its_memory_and_what_its_container_is_made_of() -> None:
    found = lines()
    assert {slot: line[0] for slot, line in found.items()} == {
        "web-1": str(96 * MIB),
        "web-2": str(96 * MIB),
        "session-1": str(64 * MIB),
    }
    assert found["session-1"][1] == STAYS, "it is replaced stop-first, in the memory that it has"
    assert found == lines(), "the same twice"


def test_what_makes_a_container_anew_changes_its_line_and_what_does_not_does_not() -> None:
    before = lines()
    for change in ({"image": "web:2"}, {"env": {"A": "2"}}, {"memory": 97 * MIB}, {"uses": ()}, {"user": "nobody"}):
        after = lines(**change)
        assert after["web-1"] != before["web-1"], change
        assert after["session-1"] == before["session-1"]
    assert {slot: line for slot, line in lines(replicas=3).items() if slot in before} == before


def test_the_edge_and_what_has_data_stay() -> None:
    assert staying(decide(stack(SHOP), {}).services.values()) == ["edge", "session"]
