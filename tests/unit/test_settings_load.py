"""Reading services.yaml, Pulumi's config, and the files that services name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest
from pulumi.runtime.config import set_all_config

from settings.load import Loaded, load
from settings.problems import ConfigError


class Nothing(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, object]]:
        return "", {}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, object]:
        return {}


@pytest.fixture(autouse=True)
def _own_config(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PULUMI_CONFIG", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_SECRET_KEYS", raising=False)
    # A test that ran an event loop to its end before this one leaves the thread without any.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    pulumi.runtime.set_mocks(Nothing(), project="quayside", stack="dev")
    yield
    set_all_config({}, [])
    asyncio.set_event_loop(None)
    loop.close()


def loaded(root: Path, config: dict[str, str], secrets: tuple[str, ...] = ()) -> Loaded:
    keys = {f"quayside:{key}": value for key, value in {"cloud": "local", **config}.items()}
    set_all_config({**keys, "aws:region": "x"}, [f"quayside:{key}" for key in secrets])
    return load(root)


def refusal(root: Path, config: dict[str, str], secrets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(root, config, secrets)
    return [str(problem) for problem in caught.value.problems]


def write(root: Path, services: str) -> None:
    (root / "services.yaml").write_text(services)


def test_a_stack_its_secrets_and_its_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        "services: {web: {image: x, secrets: {KEY: stripe, PIN: pin}, files: {/a: conf/a.txt, /b: {template: b.j2}}}}",
    )
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.txt").write_text("ä")
    (tmp_path / "b.j2").write_text("{{ x }}")
    found = loaded(
        tmp_path,
        {"services": '{"web": {"cpu": 0.5}}', "surge": "largest", "secrets": '{"stripe": "sk", "pin": 12}'},
        ("secrets",),
    )
    assert found.stack.services["web"].cpu == 0.5
    assert (found.stack.name, found.stack.surge) == ("dev", "largest")
    assert found.sources == {"conf/a.txt": "ä", "b.j2": "{{ x }}"}

    async def values() -> list[object]:
        outputs = [found.secrets["stripe"], found.secrets["pin"]]
        assert [await output.is_secret() for output in outputs] == [True, True]
        return [await output.future() for output in outputs]

    assert asyncio.get_event_loop().run_until_complete(values()) == ["sk", "12"]


def test_config_in_the_environment_as_the_cli_passes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "services: {web: {image: x}}")
    set_all_config({}, [])
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"quayside:cloud": "local", "quayside:edge": '{"http":8080}'}))
    assert load(tmp_path).stack.edge.http == 8080


def test_no_services_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, {}) == [
        f"services.yaml: is missing from {tmp_path}\n    write one:  services: {{web: {{image: nginx, port: 80}}}}"
    ]


def test_a_services_file_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "services.yaml").mkdir()
    assert refusal(tmp_path, {}) == ["services.yaml: services.yaml cannot be read: Is a directory"]


def test_secrets_elsewhere_and_secrets_in_the_clear(tmp_path: Path) -> None:
    write(tmp_path, "services: {}")
    assert refusal(tmp_path, {"domain": "a.localhost"}, ("domain",)) == [
        "quayside:domain: holds a secret, which would make the whole plan unreadable\n"
        "    pulumi config set --secret --path quayside:secrets.KEY --stack dev, "
        "and name KEY under the service's `secrets`"
    ]
    found = refusal(tmp_path, {"secrets": '{"stripe": "sk_live"}'})
    assert found[0].startswith("quayside:secrets: is written in plain text\n")
    assert "sk_live" not in "".join(found)


def test_wrong_secrets_are_never_shown(tmp_path: Path) -> None:
    write(tmp_path, "services: {}")
    for value in ("hunter2", '{"a": ["hunter2"]}', '{"a b": "hunter2"}', "{", "[1]"):
        found = refusal(tmp_path, {"secrets": value}, ("secrets",))
        assert found
        assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no file f"),
        (b"x" * (1024 * 1024 + 1), "f is larger than 1 MiB"),
        (b"\xff\xfe", "f is not UTF-8 text"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes | None, expected: str) -> None:
    write(tmp_path, "services: {web: {image: x, files: {/a: f}}}")
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    assert refusal(tmp_path, {})[0].splitlines()[0] == f"services/web/files/a/source: {expected}"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write(root, "services: {web: {image: x, files: {/a: link}}}")
    (root / "link").symlink_to("/etc/hostname")
    assert refusal(root, {})[0].startswith("services/web/files/a/source: link leads out of the folder of services.yaml")


def test_keys_that_nobody_would_read_are_told(tmp_path: Path) -> None:
    write(tmp_path, "services: {}")
    pulumi.runtime.set_mocks(Nothing(), project="shop", stack="dev")
    set_all_config(
        {
            "quayside:cloud": "local",
            "shop:capacity": "{}",
            "shop:domian": "x.test",
            "shop:colour": "blue",
            "quaiside:edge": "{}",
            "aws:regoin": "eu-central-1",
            "aws:profile": "me",
            "docker:host": "x",
        },
        [],
    )
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert [str(problem) for problem in caught.value.problems] == [
        'aws:regoin: unknown key; did you mean "aws:region"?',
        "quaiside:edge: is in the namespace quaiside, where nothing reads it; did you mean "
        '"quayside:edge"?\n    write quayside:edge',
        "shop:capacity: is in the namespace shop, where nothing reads it; did you mean "
        '"quayside:capacity"?\n    write quayside:capacity',
        "shop:domian: is in the namespace shop, where nothing reads it; did you mean "
        '"quayside:domain"?\n    write quayside:domain',
    ]


def test_secret_in_place_of_secure_is_told_without_the_value(tmp_path: Path) -> None:
    write(tmp_path, "services: {}")
    assert refusal(tmp_path, {"secrets": '{"stripe": {"secret": "v1:abc"}}'}) == [
        "quayside:secrets/stripe: should be text, or secure: and what Pulumi sealed\n    write secure:"
    ]
