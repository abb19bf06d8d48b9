"""Property values as the engine protocol carries them, turned into plain data and back.

The SDK's own decoder lifts a nested secret to its whole list and loses where an unknown value stood; a preview has to
show both in their place, so the rehearsal keeps them as ``Secret`` and ``UNKNOWN`` inside otherwise plain data.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

_struct: Any = importlib.import_module("google.protobuf.struct_pb2")
_rpc: Any = importlib.import_module("pulumi.runtime.rpc")

SIGNATURE: Final[str] = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final[str] = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a public marker of the protocol)
RESOURCE_SIGNATURE: Final[str] = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT_SIGNATURE: Final[str] = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_MARK: Final[str] = _rpc.UNKNOWN

SHOWN_SECRET: Final = "[secret]"  # noqa: S105 (what is shown in place of one)
SHOWN_UNKNOWN: Final = "[computed]"

Properties = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be shown or stored in plain."""

    value: Any

    def __repr__(self) -> str:
        return SHOWN_SECRET


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret whose passphrase is not at hand: kept as it was written."""

    ciphertext: str

    def __repr__(self) -> str:
        return SHOWN_SECRET


class Unknown:
    """A value that only a real provider can know."""

    def __repr__(self) -> str:
        return SHOWN_UNKNOWN


UNKNOWN: Final = Unknown()


def mapping(value: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def sequence(value: Any) -> list[Any] | None:
    return cast("list[Any]", value) if isinstance(value, list) else None


def items_of(value: Any) -> list[Any]:
    """`value` where it is a list, else an empty one."""
    return sequence(value) or []


def members_of(value: Any) -> dict[str, Any]:
    """`value` where it is a mapping, else an empty one."""
    return mapping(value) or {}


def decode_struct(struct: Any) -> Properties:
    """The properties of a request; what was left at null is absent, as the engine sees it."""
    decoded = {str(key): _decode(value) for key, value in sorted(struct.fields.items())}
    return {key: value for key, value in decoded.items() if value is not None}


def _decode(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _decode_special(value.struct_value)
    if kind == "list_value":
        return [_decode(item) for item in value.list_value.values]
    if kind == "number_value":
        number = float(value.number_value)
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return bool(value.bool_value)
    if kind == "string_value":
        text = str(value.string_value)
        return UNKNOWN if text == UNKNOWN_MARK else text
    return None


def _decode_special(struct: Any) -> Any:
    fields = struct.fields
    signature = str(fields[SIGNATURE].string_value) if SIGNATURE in fields else ""
    if signature == SECRET_SIGNATURE:
        return Secret(_decode(fields["value"]))
    if signature == OUTPUT_SIGNATURE:
        inner = _decode(fields["value"]) if "value" in fields else UNKNOWN
        return Secret(inner) if "secret" in fields and fields["secret"].bool_value else inner
    if signature == RESOURCE_SIGNATURE:
        return str((fields["id"] if "id" in fields else fields["urn"]).string_value)
    return decode_struct(struct)  # assets and archives stay as their fields


def encode_struct(properties: Mapping[str, Any]) -> Any:
    struct: Any = _struct.Struct()
    for key, value in properties.items():
        struct.fields[key].CopyFrom(_encode(value))
    return struct


def _encode(value: Any) -> Any:
    if value is None:
        return _struct.Value(null_value=0)
    if isinstance(value, bool):
        return _struct.Value(bool_value=value)
    if isinstance(value, int | float):
        return _struct.Value(number_value=value)
    if isinstance(value, str):
        return _struct.Value(string_value=value)
    if isinstance(value, Unknown):
        return _struct.Value(string_value=UNKNOWN_MARK)
    if isinstance(value, Secret):
        return _struct.Value(struct_value=encode_struct({SIGNATURE: SECRET_SIGNATURE, "value": value.value}))
    if (items := sequence(value)) is not None:
        return _struct.Value(list_value=_struct.ListValue(values=[_encode(item) for item in items]))
    if (members := mapping(value)) is not None:
        return _struct.Value(struct_value=encode_struct(members))
    raise TypeError(f"a {type(value).__name__} cannot be a property value")


def transform(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every Secret, Sealed and Unknown inside it replaced by what `change` makes of it."""
    if isinstance(value, Secret | Sealed | Unknown):
        return change(value)
    if (items := sequence(value)) is not None:
        return [transform(item, change) for item in items]
    if (members := mapping(value)) is not None:
        return {key: transform(item, change) for key, item in members.items()}
    return value


def shown(value: Any) -> Any:
    """`value` as it may be printed."""
    return transform(value, lambda v: SHOWN_UNKNOWN if isinstance(v, Unknown) else SHOWN_SECRET)


def revealed(value: Any) -> Any:
    """`value` with its secrets in plain, for the engine only."""

    def reveal(leaf: Any) -> Any:
        return revealed(leaf.value) if isinstance(leaf, Secret) else leaf

    return transform(value, reveal)


def secrets_in(value: Any) -> list[Any]:
    """Every secret (or sealed) leaf in `value`."""
    found: list[Any] = []

    def keep(leaf: Any) -> Any:
        if not isinstance(leaf, Unknown):
            found.append(leaf)
        return leaf

    transform(value, keep)
    return found


def has_unknown(value: Any) -> bool:
    found: list[Any] = []

    def look(leaf: Any) -> Any:
        if isinstance(leaf, Unknown):
            found.append(leaf)
        elif isinstance(leaf, Secret):
            transform(leaf.value, look)
        return leaf

    transform(value, look)
    return bool(found)


def secret_texts(value: Any) -> list[str]:
    """The strings that make up the secrets in `value`, longest first: what an error message must not repeat."""
    texts: set[str] = set()

    def collect(plain: Any) -> None:
        if isinstance(plain, str):
            if len(plain) >= 4:
                texts.add(plain)
                texts.update(line for line in plain.splitlines() if len(line) >= 8)
                name, found, content = plain.partition("=")  # `NAME=value`, as containers take their environment
                if found and name.isidentifier() and len(content) >= 4:
                    texts.add(content)
        elif (items := sequence(plain)) is not None:
            for item in items:
                collect(item)
        elif (members := mapping(plain)) is not None:
            for item in members.values():
                collect(item)

    for leaf in secrets_in(value):
        if isinstance(leaf, Secret):
            collect(revealed(leaf.value))
    return sorted(texts, key=lambda text: (-len(text), text))


def redacted(text: str, value: Any) -> str:
    """`text` without the secrets of `value`."""
    for secret in secret_texts(value):
        text = text.replace(secret, SHOWN_SECRET)
    return text
