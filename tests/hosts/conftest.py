"""Tests on real containers. Without a Docker engine they skip, and say why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rehearsal.secrets import ensure_passphrase, set_secret
from tests.hosts.fleet import Fleet
from tests.hosts.shop import Stack, UnavailableError, prepare, shop

SECRET = "correct-horse-battery-staple-7319"


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine with the images."""
    try:
        prepare()
    except UnavailableError as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def fleet(engine: None) -> Iterator[Fleet]:
    """Four machines, host1 to host4, with the images. Each test leaves them up and without containers."""
    try:
        made = Fleet.start([f"host{number}" for number in range(1, 5)])
    except UnavailableError as why:
        pytest.skip(str(why))
    with made:
        yield made


@pytest.fixture(scope="module")
def stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The shop, deployed once a module. Each test leaves it healthy and at some version."""
    made = Stack(tmp_path_factory.mktemp("shop") / "project", shop())
    set_secret(made.file, "quayside:secrets.token", SECRET, ensure_passphrase(made.root))
    try:
        made.up()
        yield made
    finally:
        made.remove()


@pytest.fixture
def new_stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[dict[str, Any]], Stack]]:
    """Makes further stacks, and removes them."""
    made: list[Stack] = []

    def make(services: dict[str, Any]) -> Stack:
        made.append(Stack(tmp_path_factory.mktemp("other") / "project", services))
        return made[-1]

    yield make
    for each in made:
        each.remove()
