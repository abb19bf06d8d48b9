"""Secrets in stack files: the format, and that writing one leaves the rest of the file alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rehearsal.config import read_stack
from rehearsal.errors import RehearsalError
from rehearsal.secrets import Crypter, ensure_passphrase, find_passphrase, set_secret
from rehearsal.values import Secret, redacted

STACK_FILES = {
    "none": "",
    "block": "config:\n  # what runs\n  fx:cloud: local # for now\n  fx:secrets:\n    other: plain\n\n# the end\n",
    "flow": "config: {fx:cloud: local, fx:secrets: {other: plain}}\n",
    "empty": "config:\n",
    "empty flow": "config: {}\n",
    "schema": "# yaml-language-server: $schema=x.json\nconfig:\n  fx:cloud: local\n",
    "null": "config:\n  fx:secrets:\n  fx:cloud: local\n",
    "there": "config:\n  fx:secrets:\n    stripe: old # replaced\n    other: plain\n",
    "there block": "config:\n  fx:secrets:\n    stripe:\n      secure: v1:a:b\n    other: plain\n",
    "no newline": "config:\n  fx:cloud: local",
}


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE", raising=False)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE", raising=False)


@pytest.mark.parametrize("name", STACK_FILES)
def test_a_secret_is_written_and_read_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: fx\n")
    stack_file = tmp_path / "Pulumi.t.yaml"
    stack_file.write_text(STACK_FILES[name])
    before = yaml.safe_load(STACK_FILES[name]) or {}
    set_secret(stack_file, "secrets.stripe", "sk_live_1", "open sesame")
    text = stack_file.read_text()
    assert "sk_live_1" not in text
    for comment in ("# what runs", "# for now", "# the end", "# yaml-language-server: $schema=x.json"):
        assert (comment in text) == (comment in STACK_FILES[name])
    if "yaml-language-server" in text:
        assert text.startswith("# yaml-language-server")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open sesame")
    config = read_stack(tmp_path, "t")
    secrets = yaml.safe_load(config.values["fx:secrets"])
    assert secrets["stripe"] == "sk_live_1"
    assert config.secret_keys == ("fx:secrets",)
    assert secrets.get("other") == ((before.get("config") or {}).get("fx:secrets") or {}).get("other")
    salt = yaml.safe_load(text)["encryptionsalt"]
    set_secret(stack_file, "secrets.second", "two", "open sesame")
    assert yaml.safe_load(stack_file.read_text())["encryptionsalt"] == salt


def test_another_passphrase_is_told_apart() -> None:
    made = Crypter("right")
    assert Crypter("right", made.salt).open(made.seal("x")) == "x"
    with pytest.raises(RehearsalError, match="not the one"):
        Crypter("wrong", made.salt)


def test_without_the_passphrase_a_placeholder_stands_in(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: fx\n")
    set_secret(tmp_path / "Pulumi.t.yaml", "secrets.stripe", "sk_live_1", "open sesame")
    config = read_stack(tmp_path, "t")
    assert config.values == {"fx:secrets": '{"stripe": "[secret]"}'}
    assert config.unread == ("fx:secrets.stripe",)
    assert "PULUMI_CONFIG_PASSPHRASE" in config.why


def test_a_made_passphrase_is_private_and_stays(tmp_path: Path) -> None:
    made = ensure_passphrase(tmp_path)
    assert (tmp_path / ".quayside" / "passphrase").stat().st_mode & 0o777 == 0o600
    assert ensure_passphrase(tmp_path) == find_passphrase(tmp_path) == made


def test_a_broken_stack_file_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: fx\n")
    (tmp_path / "Pulumi.t.yaml").write_text("config:\n  a: [\n")
    with pytest.raises(RehearsalError, match=r"^Pulumi\.t\.yaml: is not valid YAML at line 3: "):
        read_stack(tmp_path, "t")


def test_tabs_in_a_stack_file_are_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: fx\n")
    (tmp_path / "Pulumi.t.yaml").write_text("config:\n\ta: b\n")
    with pytest.raises(RehearsalError, match=r"at line 2: .*\n    indent with spaces$"):
        read_stack(tmp_path, "t")


def test_a_secret_in_plain_text_beside_a_sealed_one_is_refused_and_not_printed(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: fx\n")
    (tmp_path / "Pulumi.t.yaml").write_text(
        "config:\n  quayside:secrets:\n    db: {secure: v1:a:b}\n    stripe: hunter2\n"
    )
    with pytest.raises(RehearsalError) as caught:
        read_stack(tmp_path, "t")
    assert str(caught.value) == (
        "quayside:secrets/stripe: is written in plain text\n    set it again, with another value: "
        "pulumi config set --secret --path quayside:secrets.stripe --stack t"
    )


def test_an_error_message_does_not_repeat_a_secret() -> None:
    inputs = {"envs": ["A=1", Secret("TOKEN=abc123456")]}
    assert redacted("refused: abc123456 in TOKEN=abc123456", inputs) == "refused: [secret] in [secret]"


def refused(root: Path, text: str) -> list[str]:
    (root / "Pulumi.yaml").write_text("name: fx\n")
    (root / "Pulumi.t.yaml").write_text(text)
    with pytest.raises(RehearsalError) as caught:
        read_stack(root, "t")
    assert [problem for problem in caught.value.problems if not problem.path.startswith("Pulumi.t.yaml")] == []
    return str(caught.value).splitlines()


def test_every_key_given_twice_is_refused_as_the_cli_does(tmp_path: Path) -> None:
    text = "config:\n  a: {x: 1, x: 2}\n  b: [{<<: {q: 1}, y: 1, y: 2}]\n  a: 3\n"
    assert refused(tmp_path, text) == [
        'Pulumi.t.yaml:2: the key "x" is given twice',
        "    keep one of them",
        'Pulumi.t.yaml:3: the key "y" is given twice',
        "    keep one of them",
        'Pulumi.t.yaml:4: the key "a" is given twice',
        "    keep one of them",
    ]


def test_keys_beside_config_that_nothing_reads_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "confg:\n  a: 1\nquayside:capacity: {}\nencryptionsalt: x\n") == [
        "Pulumi.t.yaml/confg: unknown key, which Pulumi would not read; did you mean `config`?",
        "Pulumi.t.yaml/quayside:capacity: unknown key, which Pulumi would not read",
        "    move it below config:, as `quayside:capacity` if it is quayside's",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "should be a mapping with `config:`, got a list"),
        ("hello\n", 'should be a mapping with `config:`, got the text "hello"'),
        ("config: hello\n", 'config: should be a mapping, got the text "hello"'),
    ],
)
def test_what_is_no_mapping_is_said_in_words(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: fx\n")
    (tmp_path / "Pulumi.t.yaml").write_text(text)
    with pytest.raises(RehearsalError) as caught:
        read_stack(tmp_path, "t")
    assert str(caught.value) == f"Pulumi.t.yaml: {said}"
