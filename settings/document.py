"""Reads a YAML document as plain data, with limits, and says where it is wrong.

YAML 1.1, which PyYAML speaks, reads ``on:`` as true, ``010`` as 8 and ``1:30`` as 90. Here only true and false are
booleans and only decimal digits are numbers, as in YAML 1.2; a key that is given twice is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import yaml

from settings.problems import ConfigError, Problem
from settings.types import Literally

MAX_TEXT = 512 * 1024
MAX_VALUES = 100_000
MAX_DEPTH = 32
_MAP, _SEQ, _STR = "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str"
_INT, _FLOAT, _BOOL, _NULL = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null"))
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """Plain data only; every other tag is refused."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own protocol
    yaml_constructors = {  # noqa: RUF012
        tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (_SEQ, _STR, _NULL, None)
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge keys (``<<``) copy what they name, so a few lines can stand for billions of keys."""
        merged = [value for key, value in node.value if key.tag == _MERGE]
        wide = sum(len(value.value) if isinstance(value, yaml.SequenceNode) else 1 for value in merged)
        if wide <= 32:
            super().flatten_mapping(node)
        if wide > 32 or (merged and len(node.value) > 10_000):
            raise yaml.constructor.ConstructorError(None, None, "too much is merged with <<", node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):  # pyright: ignore[reportUnnecessaryIsInstance]
            seen: set[tuple[str, str]] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                    if (key.tag, key.value) in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f'the key "{key.value}" is given twice', key.start_mark
                        )
                    seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep=deep)


def _construct_map(loader: _Loader, node: yaml.MappingNode) -> object:
    data: dict[object, object] = {}
    yield data
    data.update(loader.construct_mapping(node))


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> object:
    text = node.value
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        return text
    number = int(text)
    return number if str(number) == text else Literally(number, text)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> object:
    try:
        return Literally(float(node.value.replace(".inf", "inf").replace(".nan", "nan")), node.value)
    except ValueError:
        return node.value


def _construct_bool(loader: _Loader, node: yaml.ScalarNode) -> object:
    return node.value.lower() == "true" if node.value.lower() in {"true", "false"} else node.value


for _tag, _pattern, _first in (
    (_BOOL, "(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    (_INT, "[-+]?[0-9]{1,18}$", "-+0123456789"),
    (_FLOAT, r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan)$", "-+.0123456789"),
    (_NULL, "(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    (_MERGE, "(?:<<)$", "<"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))  # pyright: ignore[reportUnknownMemberType]
_Loader.add_constructor(_MAP, _construct_map)
_Loader.add_constructor(_INT, _construct_int)
_Loader.add_constructor(_FLOAT, _construct_float)
_Loader.add_constructor(_BOOL, _construct_bool)


def read_yaml(text: str, file: str) -> object:
    """The document's plain data; raises ConfigError with file and line."""
    if len(text) > MAX_TEXT:
        raise ConfigError([Problem(file, f"should be at most {MAX_TEXT // 1024} KiB, got {len(text) // 1024} KiB")])
    try:
        return yaml.load(text.removeprefix("\ufeff"), Loader=_Loader)  # noqa: S506  # a SafeLoader with less in it
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = shown_text(error.problem or error.context or "cannot be read", 120)
        place = f"{file}:{mark.line + 1}" if mark else file
        raise ConfigError([Problem(place, _yaml_message(what), _yaml_fix(what))]) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1 if isinstance(error.position, int) else 1
        raise ConfigError([Problem(f"{file}:{line}", "holds a character that YAML does not allow")]) from None
    except RecursionError:
        raise ConfigError([Problem(file, f"is nested deeper than {MAX_DEPTH} levels")]) from None
    except Exception as error:  # PyYAML raises more kinds than it documents, and a person must never see one
        raise ConfigError([Problem(file, f"cannot be read as YAML ({type(error).__name__})")]) from None


def _yaml_message(what: str) -> str:
    if what.startswith(("the key", "too much")):
        return what
    if "could not determine a constructor" in what:
        return "uses a YAML tag (!…), which has no meaning here"
    return f"is not valid YAML: {what}"


def _yaml_fix(what: str) -> str:
    if "is given twice" in what:
        return "keep one of them; YAML would take the last and drop the other in silence"
    if "\\t" in what:
        return "indent with spaces"
    if "constructor" in what:
        return "leave the tag out"
    if "but got '{'" in what or "but got '['" in what:
        return "put text that holds ${…} in quotes"
    if "mapping values are not allowed" in what or "could not find expected" in what:
        return "put text that holds `: ` or `#` in quotes, and check the indentation"
    return ""


def shown_text(text: str, longest: int = 60) -> str:
    """Text on one line that any terminal can print."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in cut)


def shown(value: object) -> str:
    """A value received, short, as a person would recognise it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Literally):
        return shown_text(value.text)
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a number of more than 19 digits"
    if isinstance(value, float):
        return f"{value}"
    if isinstance(value, str):
        return f'"{shown_text(value)}"'
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    return "something that is not plain data"


def step(key: object) -> str:
    """One part of a problem's path."""
    if isinstance(key, str):
        return shown_text(key) if key else '""'
    return shown(key)


def join(*parts: object) -> str:
    return "/".join(step(part) for part in parts)


def plain(value: object, path: str) -> tuple[object, list[Problem]]:
    """A copy that is nothing but mappings with text keys, lists and scalars, of bounded size."""
    problems: list[Problem] = []
    left = MAX_VALUES

    def copy(item: object, at: str, depth: int) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise ConfigError([Problem(path, f"holds more than {MAX_VALUES:,} values", "use fewer aliases (*name)")])
        if depth > MAX_DEPTH:
            raise ConfigError([Problem(path, f"is nested deeper than {MAX_DEPTH} levels")])
        if isinstance(item, Mapping):
            made: dict[str, object] = {}
            for key, inner in cast("Mapping[object, object]", item).items():
                if not isinstance(key, str):
                    fix = f'write "{shown(key)}"' if isinstance(key, (bool, int, float)) else ""
                    fix = "write on, if that is meant: YAML 1.1 reads it as true" if key is True else fix
                    problems.append(Problem(join_path(at, key), f"a key should be text, got {shown(key)}", fix))
                elif _unprintable(key) or "\0" in key:
                    problems.append(Problem(join_path(at, key), "a key holds a character that is not text"))
                else:
                    made[key] = copy(inner, join_path(at, key), depth + 1)
            return made
        if isinstance(item, Sequence) and not isinstance(item, (str, bytes, bytearray, memoryview)):
            listed = cast("Sequence[object]", item)
            return [copy(inner, join_path(at, number), depth + 1) for number, inner in enumerate(listed)]
        if isinstance(item, str) and _unprintable(item):
            problems.append(Problem(at, "holds a character that is not text"))
            return None
        if isinstance(item, int) and item.bit_length() > 64:
            problems.append(Problem(at, "is a number of more than 19 digits", "put it in quotes, if it is text"))
            return None
        if item is None or isinstance(item, (bool, int, str)):
            return item
        if isinstance(item, float):
            return item if isinstance(item, Literally) or not math.isnan(item) else Literally(item, "nan")
        problems.append(Problem(at, "should be plain data: text, a number, true, false, a list or a mapping"))
        return None

    return copy(value, path, 0), problems


def join_path(at: str, key: object) -> str:
    return f"{at}/{step(key)}" if at else step(key)


def _unprintable(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)
