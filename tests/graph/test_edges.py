"""A fleet's edges as the engine would be told of them: what replaces one, in which order, and what it waits for."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from settings.rules_registry import HOST_IMAGE
from tests.graph.test_hetzner import COMMAND, CONTAINER, HOSTS, OFFICE, STEPS, Fleet, fleets


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fleet]:
    return fleets(tmp_path_factory)


def _down(_services: Any, config: Any) -> None:
    config["capacity"]["down"] = ["host2"]


def test_edges_are_replaced_one_after_another_without_those_that_are_down(fleet: Any) -> None:
    """While one is away the others serve, and a bad image stops at the first."""
    for change, order in ((None, HOSTS), (_down, ("host1", "host3", "box"))):
        made = fleet(change) if change is not None else fleet()
        containers, ready = made.of(CONTAINER), made.of(COMMAND)
        assert ready["host1_edge"]["urn"] not in containers["host1_edge"]["dependencies"]
        for before, host in pairwise(order):
            assert ready[f"{before}_edge"]["urn"] in containers[f"{host}_edge"]["dependencies"], host
            assert containers[f"{before}_edge"]["urn"] in ready[f"{before}_edge"]["dependencies"]
        # A release is no part of it: a new replica has minutes to become healthy.
        for host in order:
            assert not {
                name for name in STEPS if ready[f"{host}-{name}"]["urn"] in ready[f"{host}_edge"]["dependencies"]
            }
            assert ready[f"{host}_edge"]["urn"] in ready[f"{host}-accept"]["dependencies"]


def test_what_is_replaced_stop_first_waits_for_its_image(fleet: Any) -> None:
    """The image that it names: a typo, or a registry that refuses, leaves the old container as it is."""

    def more(services: Any, config: Any) -> None:
        services["api"]["ports"] = [{"port": 25, "sources": [OFFICE]}]
        config["registry"] = {
            "local": {"bucket": "images", "endpoint": "s3.example.com", "access_key": "token", "secret_key": "token"}
        }

    made = fleet(more)
    images = {found["urn"]: found for found in made.by_urn.values() if found["type"].endswith(":RemoteImage")}
    stop_first = [found for found in made.of(CONTAINER).values() if found["deleteBeforeReplace"]]
    assert {name.partition("_")[2] for name in (found["name"] for found in stop_first)} == {
        "edge",
        "registry",
        "api_door",
        "db-1",
        "disk-1",
    }
    for found in stop_first:
        (image,) = [images[urn] for urn in found["dependencies"] if urn in images]
        assert image["inputs"]["name"] == found["inputs"]["image"]
        assert made.host_of(image) == made.host_of(found)
        assert image["inputs"]["keepLocally"]


def test_the_first_certificate_and_the_first_balancer_replace_no_edge(fleet: Any) -> None:
    def bare(_services: Any, config: Any) -> None:
        del config["capacity"]["balancer"]
        config["dns"] = {"provider": "manual"}

    def certificate(services: Any, config: Any) -> None:
        bare(services, config)
        config["edge"] = {"certificate": "site"}

    before = fleet(bare)
    for after in (fleet(certificate), fleet()):
        for host in HOSTS:
            edges = [made.of(CONTAINER)[f"{host}_edge"]["inputs"] for made in (before, after)]
            assert edges[0] == edges[1], host


def test_images_that_nobody_chose_are_pinned_by_their_digest(fleet: Any) -> None:
    made = fleet()
    assert re.fullmatch(
        r"haproxy:3\.2\.\d+-alpine@sha256:[0-9a-f]{64}", made.of(CONTAINER)["host1_edge"]["inputs"]["image"]
    )
    assert re.fullmatch(r"registry:3\.\d+\.\d+@sha256:[0-9a-f]{64}", HOST_IMAGE)
