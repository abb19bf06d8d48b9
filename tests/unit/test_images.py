"""Images: what is pulled, what is made from Debian's packages, and what the made ones contain."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from quayside import images, standins
from quayside.shell import CommandError


def package(*members: tuple[str, bytes | str]) -> tarfile.TarFile:
    """A package's file system; text is the target of a link."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as out:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                out.addfile(info)
            else:
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))
    stream.seek(0)
    return tarfile.open(fileobj=stream)


def written(recipe: standins.Recipe, *packages: tuple[str, tarfile.TarFile]) -> dict[str, tarfile.TarInfo]:
    stream = io.BytesIO()
    standins.write(stream, recipe, packages, ["sh", "nc", "redis-server"])
    stream.seek(0)
    with tarfile.open(fileobj=stream) as made:
        names = made.getnames()
        assert len(names) == len(set(names))
        return {member.name: member for member in made}


@pytest.mark.parametrize(
    ("image", "known"),
    [
        ("haproxy:3.2-alpine", True),
        ("redis", True),
        ("docker.io/library/python:3.13-alpine", True),
        ("nginx:1", False),
        ("acme/redis:7", False),
        ("ghcr.io/acme/python:1", False),
        ("redis@sha256:" + "0" * 64, False),
    ],
)
def test_only_the_three_official_images_have_a_recipe(image: str, known: bool) -> None:
    assert (standins.recipe_for(image) is not None) is known


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("redis:7", "docker.io"),
        ("acme/web:1", "docker.io"),
        ("ghcr.io/acme/web", "ghcr.io"),
        ("localhost:5000/web:1", "localhost:5000"),
    ],
)
def test_registry_of_an_image(image: str, registry: str) -> None:
    assert images.registry_of(image) == registry


def test_packages_are_merged_into_usr() -> None:
    made = written(
        standins.RECIPES["redis"],
        (
            "libc6",
            package(("./lib/x86_64-linux-gnu/libc.so.6", b"c"), ("./lib64/ld.so", "/lib/x86_64-linux-gnu/ld.so")),
        ),
        ("busybox-static", package(("./bin/busybox", b"b"), ("./usr/share/doc/busybox/copyright", b"no"))),
    )
    assert made["lib"].issym()
    assert made["lib"].linkname == "usr/lib"
    assert made["usr/lib/x86_64-linux-gnu/libc.so.6"].isreg()
    assert made["usr/bin/busybox"].isreg()
    assert made["usr/bin/nc"].linkname == "busybox"
    assert not any(name.startswith("usr/share/doc") for name in made)


def test_users_and_folders_are_the_official_ones() -> None:
    redis = written(standins.RECIPES["redis"])
    assert (redis["data"].uid, redis["data"].gid) == (999, 1000)
    assert redis["usr/local/bin/redis-server"].mode == 0o755
    haproxy = written(standins.RECIPES["haproxy"])
    assert (haproxy["var/lib/haproxy"].uid, haproxy["var/lib/haproxy"].gid) == (99, 99)
    assert haproxy["tmp"].mode == 0o1777


def test_of_util_linux_only_flock_is_taken() -> None:
    made = written(
        standins.RECIPES["haproxy"], ("util-linux", package(("./usr/bin/flock", b"f"), ("./bin/more", b"m")))
    )
    assert "usr/bin/flock" in made
    assert "usr/bin/more" not in made


class Engine:
    """A `docker` that has some images and a registry that behaves as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: tuple[str, str], *present: str) -> None:
        self.pulled: list[str] = []
        self.built: list[str] = []
        monkeypatch.setattr(images, "present", lambda image: image in present)

        def pull(image: str, say: object) -> tuple[str, str]:
            self.pulled.append(image)
            return outcome

        monkeypatch.setattr(images, "pull", pull)
        monkeypatch.setattr(standins, "build", lambda image, cache, say: self.built.append(image))


def test_a_present_image_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = Engine(monkeypatch, ("pulled", ""), "redis:7-alpine")
    images.ensure(["redis:7-alpine"], tmp_path, print)
    assert engine.pulled == []
    assert engine.built == []


def test_a_silent_registry_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = Engine(monkeypatch, ("unreachable", "no such host"))
    images.ensure(["haproxy:3.2-alpine", "redis:7-alpine", "python:3.13-alpine"], tmp_path, print)
    assert engine.pulled == ["haproxy:3.2-alpine"]
    assert engine.built == ["haproxy:3.2-alpine", "redis:7-alpine", "python:3.13-alpine"]


def test_a_refused_image_gets_no_stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = Engine(monkeypatch, ("refused", "manifest unknown"))
    with pytest.raises(CommandError, match="image redis:nope: manifest unknown"):
        images.ensure(["redis:nope"], tmp_path, print)
    assert engine.built == []


def test_all_that_cannot_be_had_is_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Engine(monkeypatch, ("unreachable", "no such host"))
    with pytest.raises(CommandError) as caught:
        images.ensure(["nginx:1", "ghcr.io/acme/web:2"], tmp_path, print)
    assert "image nginx:1" in str(caught.value)
    assert "image ghcr.io/acme/web:2" in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        'Error response from daemon: Get "https://r/v2/": dial tcp: lookup r on 10.0.0.1:53: no such host',
        "Error response from daemon: Get https://r/v2/: net/http: request canceled (Client.Timeout exceeded)",
        "Error response from daemon: Get https://r/v2/: x509: certificate signed by unknown authority",
        "failed to do request: EOF",
    ],
)
def test_an_absent_registry_is_told_from_a_refusal(words: str) -> None:
    assert images.UNREACHABLE.search(words)


@pytest.mark.parametrize("words", ["manifest for redis:x not found: manifest unknown", "pull access denied for acme"])
def test_a_refusal_is_no_absent_registry(words: str) -> None:
    assert not images.UNREACHABLE.search(words)
