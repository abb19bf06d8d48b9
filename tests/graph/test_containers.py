"""Every container that a plan makes is one that Docker takes; and what each says of health, names and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rehearsal.container_checks import check_container, check_together
from rehearsal.record import Registration
from settings.parse import parse
from settings.problems import ConfigError
from tests.graph.test_local import CONTAINER, Project, holders, running

SERVICES: dict[str, Any] = {
    "web": {"image": "web:1", "port": 8000},
    "worker": {"image": "web:1", "command": ["celery", "worker"]},
    "checked": {"image": "web:1", "health": {"command": ["alive"], "interval": "7s"}},
    "mq": {
        "image": "rabbitmq:3",
        "port": 5672,
        "protocol": "tcp",
        "volume": "/var/lib/rabbitmq",
        "files": {"/var/lib/rabbitmq.conf": {"content": "a"}, "/etc/empty": {"content": ""}},
        "writable": ["/etc/rabbitmq"],
    },
    "agent": {"image": "agent:1", "network": "host", "volume": "/data"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("containers") / "project", SERVICES)


@pytest.fixture(scope="module")
def resources(project: Project) -> list[dict[str, Any]]:
    return project.rehearse().resources


def test_22_the_health_check_of_an_image_is_nobodys(resources: list[dict[str, Any]]) -> None:
    checks = {name: found["inputs"]["healthcheck"] for name, found in running(resources).items()}
    assert {name: check["tests"] for name, check in checks.items()} == {
        "web-1": ["NONE"],
        "worker-1": ["NONE"],
        "checked-1": ["CMD", "alive"],
        "mq-1": ["NONE"],
        "agent-1": ["NONE"],
    }


def test_23_what_keeps_data_has_the_same_name_in_every_release(resources: list[dict[str, Any]]) -> None:
    names = {name: found["inputs"].get("hostname") for name, found in running(resources).items()}
    assert names == {"web-1": None, "worker-1": None, "checked-1": None, "mq-1": "mq-1", "agent-1": None}


def test_16_what_is_mounted_inside_a_folder_of_files_is_mounted_where_they_are_laid(
    resources: list[dict[str, Any]],
) -> None:
    (holder,) = holders(resources).values()
    mounts = {volume["containerPath"]: "volumeName" in volume for volume in holder["inputs"]["volumes"]}
    assert mounts == {"/etc": True, "/var/lib": True, "/etc/rabbitmq": False, "/var/lib/rabbitmq": False}


def test_an_empty_file_is_one(resources: list[dict[str, Any]]) -> None:
    (holder,) = holders(resources).values()
    uploads = {upload["file"]: upload for upload in holder["inputs"]["uploads"]}
    assert uploads["/etc/empty"] == {"file": "/etc/empty", "source": "/dev/null", "executable": False}


def test_what_the_provider_leaves_as_it_is_replaces_a_replica(resources: list[dict[str, Any]]) -> None:
    for found in running(resources).values():
        assert found["replaceOnChanges"] == ["healthcheck", "tmpfs", "init"]


# --- what Docker refuses ---------------------------------------------------------------------------------------------


def container(of: str = "a", host: str = "", /, **inputs: Any) -> Registration:
    return Registration(
        urn=of, type=CONTAINER, name=of, parent="", custom=True, inputs={"image": "a", **inputs}, provider=host
    )


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"tmpfs": {"/a": ""}, "volumes": [{"containerPath": "/a/"}]}, "tmpfs: /a is mounted already, by volumes"),
        ({"volumes": [{"containerPath": "/a"}, {"containerPath": "/a"}]}, "volumes: /a is mounted already, by volumes"),
        ({"tmpfs": {"/": ""}}, "tmpfs: should be an absolute path other than /, got '/'"),
        ({"tmpfs": {"/proc/x": ""}}, "tmpfs: /proc/x is the kernel's own, and nothing can be mounted there"),
        ({"memory": 5}, "memory: should be at least 6 MiB, got 5"),
        ({"memory": 64, "memorySwap": 32}, "memorySwap: should be at least memory, 64, got 32"),
        ({"cpuShares": 1}, "cpuShares: should be 2–262144, got 1"),
        ({"restart": "never"}, "restart: should be one of no, always, unless-stopped, on-failure, got 'never'"),
        ({"envs": ["=x"]}, "envs: holds a variable without a name"),
        ({"command": ["a", ""]}, "command: has an empty item, which the provider refuses"),
        ({"name": "-a"}, "name: should be letters, digits and _.- with a letter or digit first, got '-a'"),
        ({"hostname": "a" * 64}, "hostname: should be at most 63 characters, got 64"),
        ({"networkMode": "host", "sysctls": {"net.x": "1"}}, "sysctls: net.x cannot be set in the network of the host"),
        ({"ports": [{"internal": 0, "external": 1}]}, "ports: internal should be 1–65535, got 0"),
        (
            {"ports": [{"internal": 1, "external": 9}, {"internal": 2, "external": 9}]},
            "ports: tcp 9 is published twice",
        ),
        ({"healthcheck": {"tests": ["true"]}}, "healthcheck/tests: should begin with NONE, CMD, CMD-SHELL, got 'true'"),
        (
            {"healthcheck": {"tests": ["NONE"], "interval": "5us"}},
            "healthcheck/interval: should be 0s or at least 1ms, got 5us",
        ),
        (
            {"uploads": [{"file": "/a", "content": ""}]},
            "uploads: /a should have one of content, contentBase64 and source",
        ),
        (
            {"readOnly": True, "uploads": [{"file": "/a", "content": "b"}]},
            "uploads: cannot be had with readOnly: the engine refuses to write into the container",
        ),
    ],
)
def test_a_container_that_would_fail_later(inputs: dict[str, Any], expected: str) -> None:
    (finding,) = check_container(container(**inputs))
    assert str(finding).startswith(f"a ({CONTAINER})/{expected}")


def test_two_containers_of_one_engine() -> None:
    port = {"internal": 1, "external": 80, "ip": "0.0.0.0"}
    one, other = container("a", name="x", ports=[port]), container("b", name="x", ports=[{**port, "ip": "127.0.0.1"}])
    assert [str(finding) for finding in check_together([one, other])] == [
        f"b ({CONTAINER})/name: x is the name of a on the same engine",
        f"b ({CONTAINER})/ports: tcp 80 is published by a on the same engine",
    ]
    elsewhere = container("b", "host2", name="x", ports=[port])
    assert not list(check_together([one, elsewhere]))


# --- what the settings accept ----------------------------------------------------------------------------------------

_FOLDERS = ["/tmp", "/a", "/a/b", "/a/b/c", "/b", "/etc", "/dev", "/dev/shm", "/proc", "/sys/x", "/sbin", "/data"]
paths = st.sampled_from(_FOLDERS)
services = st.fixed_dictionaries(
    {"image": st.just("a")},
    optional={
        "volume": paths,
        "writable": st.lists(paths, max_size=3, unique=True),
        "files": st.dictionaries(
            st.builds("{}/{}".format, paths, st.sampled_from(["x", "y", "b"])), st.just({"content": "c"}), max_size=3
        ),
        "memory": st.sampled_from(["6MiB", "6.5MiB", "64MiB"]),
        "cpu": st.sampled_from([0.01, 0.001, 1, 256]),
        "network": st.sampled_from(["own", "host"]),
        "command": st.lists(st.sampled_from(["a", "", "b c"]), min_size=1, max_size=2),
    },
)


def accepted(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those that the settings take, each by a name."""
    taken: dict[str, dict[str, Any]] = {}
    for number, service in enumerate(found):
        try:
            parse(
                project="p",
                stack="t",
                services="services: {}",
                config={"cloud": "local", "services": {"a": service}},
                secrets=[],
            )
        except ConfigError:
            continue
        taken[f"a{number}"] = service
    return taken


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(found=st.lists(services, min_size=40, max_size=60))
def test_what_the_settings_take_docker_takes(
    found: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    taken = accepted(found)
    project = Project(tmp_path_factory.mktemp("taken") / "project", taken)
    resources = project.rehearse().resources  # refuses a report with problems
    assert len(running(resources)) == len(taken)


def test_a_preview_tells_what_is_probably_not_meant(tmp_path: Path) -> None:
    both = {"image": "acme/web:1", "volume": "/app/uploads"}
    report = Project(tmp_path / "project", {"web": both, "worker": both}).rehearse()
    assert [note for note in report.notes if note.startswith("services/web/volume: web, worker run acme/web")]
