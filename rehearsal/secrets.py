"""Secrets in stack files and in applied state, in the format of Pulumi's passphrase provider.

The key is PBKDF2-HMAC-SHA256 over the passphrase, the cipher AES-256-GCM. A stack file's ``encryptionsalt`` is
``v1:<salt>:v1:<nonce>:<ciphertext of "pulumi">`` and a ``secure`` value ``v1:<nonce>:<ciphertext>``, all base64; both
are interchangeable with what the Pulumi CLI writes.
"""

from __future__ import annotations

import base64
import os
import secrets as randomness
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from rehearsal.errors import RehearsalError

_ROUNDS: Final = 1_000_000
_PROOF: Final = "pulumi"
_yaml: Any = yaml  # `compose` has no annotations


class Crypter:
    """Seals and opens values with the key that one passphrase and one salt give."""

    def __init__(self, passphrase: str, salt: str | None = None) -> None:
        if salt is None:
            raw = randomness.token_bytes(8)
            self._key = _key(passphrase, raw)
            self.salt = f"v1:{_text(raw)}:{self.seal(_PROOF)}"
            return
        version, _, rest = salt.partition(":")
        raw_text, _, proof = rest.partition(":")
        if version != "v1" or not proof:
            raise RehearsalError("encryptionsalt: should be v1:<salt>:v1:<nonce>:<ciphertext>, as `pulumi` writes it")
        self._key = _key(passphrase, base64.b64decode(raw_text))
        self.salt = salt
        try:
            fits = self.open(proof) == _PROOF
        except RehearsalError:
            fits = False
        if not fits:
            raise RehearsalError(
                "the passphrase is not the one this stack's secrets were written with\n"
                "    set PULUMI_CONFIG_PASSPHRASE (or PULUMI_CONFIG_PASSPHRASE_FILE) to the right one"
            )

    def seal(self, plain: str) -> str:
        nonce = randomness.token_bytes(12)
        return f"v1:{_text(nonce)}:{_text(AESGCM(self._key).encrypt(nonce, plain.encode(), None))}"

    def open(self, sealed: str) -> str:
        parts = sealed.split(":")
        if len(parts) != 3 or parts[0] != "v1":
            raise RehearsalError("a secret value should be v1:<nonce>:<ciphertext>, as `pulumi config set` writes it")
        try:
            return AESGCM(self._key).decrypt(base64.b64decode(parts[1]), base64.b64decode(parts[2]), None).decode()
        except (InvalidTag, ValueError) as error:
            raise RehearsalError("a secret value cannot be decrypted with this stack's passphrase") from error


@lru_cache(maxsize=16)
def _key(passphrase: str, salt: bytes) -> bytes:
    return PBKDF2HMAC(SHA256(), length=32, salt=salt, iterations=_ROUNDS).derive(passphrase.encode())


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def find_passphrase(root: Path) -> str | None:
    """PULUMI_CONFIG_PASSPHRASE, else the file PULUMI_CONFIG_PASSPHRASE_FILE names, else .quayside/passphrase."""
    if (given := os.environ.get("PULUMI_CONFIG_PASSPHRASE")) is not None:
        return given
    if named := os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        try:
            return Path(named).read_text().strip()
        except OSError as error:
            raise RehearsalError(f"PULUMI_CONFIG_PASSPHRASE_FILE: {named}: {error.strerror}") from error
    kept = root / ".quayside" / "passphrase"
    return kept.read_text().strip() if kept.is_file() else None


def ensure_passphrase(root: Path) -> str:
    """The passphrase, made now (0600, in a folder git ignores) where there is none yet."""
    found = find_passphrase(root)
    if found is not None:
        return found
    folder = root / ".quayside"
    folder.mkdir(mode=0o700, exist_ok=True)
    made = randomness.token_urlsafe(32)
    handle = os.open(folder / "passphrase", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(made + "\n")
    return made


def is_passphrase_given() -> bool:
    """Whether the user keeps the passphrase; else it is in .quayside, and known to this folder alone."""
    return "PULUMI_CONFIG_PASSPHRASE" in os.environ or bool(os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"))


def kept_salt(root: Path, stack: str) -> str | None:
    """The salt of a stack whose file has none, from beside the passphrase."""
    file = root / ".quayside" / f"{stack}.salt"
    return file.read_text().strip() or None if file.is_file() else None


def keep_salt(root: Path, stack: str, salt: str) -> None:
    """Keep a stack's salt out of its file, which belongs to the user and to git."""
    folder = root / ".quayside"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"{stack}.salt").write_text(f"{salt}\n")


def set_secret(stack_file: Path, path: str, value: str, passphrase: str, *, beside: bool = False) -> None:
    """Write `value` encrypted at `path` (``secrets.stripe``) of the stack file, leaving the rest of its text alone.

    The first part of the path is a config key, in the project's namespace unless it names another (``aws:token``).
    With `beside`, a salt that the file does not have yet is kept in .quayside.
    """
    root, stack = stack_file.parent, stack_file.name.removeprefix("Pulumi.").removesuffix(".yaml")
    data = _load(stack_file.read_text() if stack_file.exists() else "", stack_file)
    crypter = Crypter(passphrase, str(data.get("encryptionsalt") or "") or kept_salt(root, stack))
    if beside and not data.get("encryptionsalt"):
        keep_salt(root, stack, crypter.salt)
    put_sealed(stack_file, path, crypter.seal(value), None if beside else crypter.salt)


def put_sealed(stack_file: Path, path: str, sealed: str, salt: str | None) -> None:
    """Write a value that is encrypted already, and the salt with it where one is given and the file has none."""
    text = stack_file.read_text() if stack_file.exists() else ""
    data: dict[str, Any] = _load(text, stack_file)
    first, *rest = path.split(".")
    if ":" not in first:
        first = f"{_project_name(stack_file)}:{first}"
    keys = ["config", first, *rest]
    expected = _with(data, keys, {"secure": sealed})
    edited = _edit(text, keys, sealed)
    if salt and not data.get("encryptionsalt"):
        expected["encryptionsalt"] = salt
        edited = _after_comments(edited, f"encryptionsalt: {salt}\n")
    try:
        faithful = yaml.safe_load(edited) == expected
    except yaml.YAMLError:
        faithful = False
    _write(stack_file, edited if faithful else yaml.safe_dump(expected, sort_keys=False, allow_unicode=True))


def _load(text: str, stack_file: Path) -> dict[str, Any]:
    try:
        loaded: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RehearsalError(f"{stack_file.name}: is not valid YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise RehearsalError(f"{stack_file.name}: should hold a mapping with a `config:` key")
    return dict(loaded)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _project_name(stack_file: Path) -> str:
    project = stack_file.parent / "Pulumi.yaml"
    return str(_load(project.read_text(), project).get("name", "quayside")) if project.is_file() else "quayside"


def _with(data: dict[str, Any], keys: list[str], leaf: Any) -> dict[str, Any]:
    """`data` with `leaf` at `keys`; what is no mapping on the way is replaced by one."""
    copy = dict(data)
    if len(keys) == 1:
        copy[keys[0]] = leaf
        return copy
    inner: Any = copy.get(keys[0])
    copy[keys[0]] = _with(dict(inner) if isinstance(inner, dict) else {}, keys[1:], leaf)  # pyright: ignore[reportUnknownArgumentType]
    return copy


def _edit(text: str, keys: list[str], sealed: str) -> str:
    """The text with one value set: found by the parser's own positions, so comments and order stay."""
    root: Any = _yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        return text.rstrip("\n") + ("\n" if text.strip() else "") + _block(keys, sealed, 0)
    node: Any = root
    depth = 0
    while depth < len(keys):
        child: Any = next((value for key, value in node.value if key.value == keys[depth]), None)
        if child is None:
            return _insert(text, node, keys[depth:], sealed)
        depth += 1
        if depth == len(keys) or not isinstance(child, yaml.MappingNode):
            rest = keys[depth:]
            flow = "".join(f"{{{key}: " for key in rest) + f"{{secure: '{sealed}'}}" + "}" * len(rest)
            start, end = child.start_mark.index, child.end_mark.index
            old = text[start:end]
            tail = old[len(old.rstrip()) :]
            return f"{text[:start]}{'' if old else ' '}{flow}{tail}{text[end:]}"
        node = child
    return text


def _insert(text: str, node: Any, keys: list[str], sealed: str) -> str:
    if node.flow_style:
        end = node.end_mark.index - 1
        flow = "".join(f"{{{key}: " for key in keys[1:]) + f"{{secure: '{sealed}'}}" + "}" * (len(keys) - 1)
        return f"{text[:end].rstrip()}{', ' if node.value else ''}{keys[0]}: {flow}{text[end:]}"
    end = node.value[-1][1].end_mark.index
    head = text[:end].rstrip()
    line_end = text.find("\n", len(head))  # a comment behind the last value belongs to it
    cut = len(text) if line_end < 0 else line_end
    return f"{text[:cut]}\n{_block(keys, sealed, node.start_mark.column)}{text[cut + 1 :]}"


def _block(keys: list[str], sealed: str, indent: int) -> str:
    lines = [f"{' ' * (indent + 2 * depth)}{key}:" for depth, key in enumerate(keys)]
    return "\n".join([*lines, f"{' ' * (indent + 2 * len(keys))}secure: {sealed}"]) + "\n"


def _after_comments(text: str, line: str) -> str:
    """A first comment line may tell an editor the schema and has to stay first."""
    lines = text.splitlines(keepends=True)
    at = next((i for i, found in enumerate(lines) if found.strip() and not found.startswith(("#", "---"))), len(lines))
    return "".join([*lines[:at], line, *lines[at:]])


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    if path.exists():
        temporary.chmod(path.stat().st_mode & 0o777)
    temporary.replace(path)
