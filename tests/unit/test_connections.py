"""How many connections an edge takes, from the memory it may use."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from planning.connections import DEFAULT_MEMORY, limits, visitors
from settings.schema import outputs
from settings.stack import Edge
from settings.units import MIB
from tests.unit.test_edge import rendered, section

BUFFER, TLS, OWN = 66_560, 22 * 1024, 8 * 1024
"""Bytes, measured: see planning/connections.py."""


def numbers(memory: int) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"([a-z0-9.-]+) (\d+)", limits(memory))}


@pytest.mark.parametrize("memory", [size * MIB for size in (96, 128, 256, 512, 1024, 8192)])
def test_two_workers_with_all_that_they_take_fit_in_the_memory(memory: int) -> None:
    found = numbers(memory)
    own = found["maxconn"] - visitors(memory)
    worker = visitors(memory) * 2 * TLS + own * OWN + found["tune.buffers.limit"] * found["tune.bufsize"]
    assert found["tune.bufsize"] == BUFFER
    assert 2 * worker + 48 * MIB <= memory
    # A visitor each may fill a buffer, and the stack itself has some left.
    assert found["tune.buffers.limit"] > visitors(memory) > 100
    # No few visitors have all buffers.
    assert found["tune.buffers.limit"] >= 8 * found["tune.h2.max-concurrent-streams"]
    assert own > visitors(memory)


def test_visitors_alone_never_take_all_connections() -> None:
    public = section(rendered({}), "frontend public")
    assert f"maxconn {visitors(DEFAULT_MEMORY)}" in public
    assert f"    maxconn {numbers(DEFAULT_MEMORY)['maxconn']}\n" in rendered({})


def test_the_settings_say_how_many() -> None:
    (text,) = [text for file, text in outputs().items() if file.name == "settings.md"]
    for size in (256, 512):
        assert re.search(rf"{visitors(size * MIB)} with\s+{size}MiB", text)


def test_an_edge_without_room_for_anybody_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 96MiB"):
        Edge.model_validate({"memory": "95MiB"})
    assert Edge().memory == DEFAULT_MEMORY
