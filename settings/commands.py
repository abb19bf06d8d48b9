"""A command as a person writes it. What only a shell would understand is refused, since no shell reads it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Annotated, cast

from pydantic import BeforeValidator, WithJsonSchema

from settings.base import refused, should_be
from settings.types import EnvValue

REFERENCE = re.compile(r"domain|[a-z][a-z0-9-]*\.[a-z][a-z0-9.-]*")
"""What ``${…}`` holds when it names a service, a server or the domain. No variable of a shell is written with a dot."""
_SHELLS = frozenset({"sh", "bash", "ash", "dash", "ksh", "zsh"})
_RUNS_TEXT = re.compile("-[a-zA-Z]*c")
_OPERATOR = re.compile(r"(&&|\|\||;)|(?:(?<=\s)|^)([0-9]?[<>]|[|&](?=\s|$))")
_VARIABLE = re.compile(r"\$\$\{|(\$(?:[A-Za-z_][A-Za-z0-9_]*|\([^)]*\)?|\{([^{}]*)\})|`)")
_BLANK = "'"
_ASSIGNMENT = re.compile("([A-Za-z_][A-Za-z0-9_]*)=")


def is_script(command: Sequence[str], number: int) -> bool:
    """Whether an item is the text that a shell gets by ``-c``: there, ``$NAME`` and ``${NAME}`` are the shell's own."""
    if number == 0 or not _RUNS_TEXT.fullmatch(command[number - 1]):
        return False
    # An image whose entrypoint is a shell gets `-c` first. Others start one: `tini -- sh -c`, `bash -o pipefail -c`.
    return number == 1 or any(word.rpartition("/")[2] in _SHELLS for word in command[: number - 1])


def _command(value: object) -> object:
    if isinstance(value, str):
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise refused(f"cannot be split as a shell would: {str(error).lower()}", "write it as a list") from None
        _refuse_shell(value, words)
        value = words
    elif isinstance(value, (list, tuple)):
        _refuse_shell_items(cast("Sequence[object]", value))
    if isinstance(value, (list, tuple)):
        _refuse_docker_word(cast("Sequence[object]", value))
        if not value:
            raise should_be("a command, as text or as a list", "leave it out to keep the image's own")
        return cast("object", value)
    raise should_be("a command, as text or as a list")


def _refuse_shell_items(command: Sequence[object]) -> None:
    """The same in a list, where only a whole item says for sure that a shell was meant: `|` may be an argument."""
    words = [item if isinstance(item, str) else "" for item in command]
    for number, item in enumerate(words):
        if number and not is_script(words, number) and re.fullmatch(r"&&|\|\||\$[A-Z_][A-Z0-9_]*", item):
            raise refused(
                f'has "{item}" for an item, which only a shell understands, and no shell reads it',
                "write [sh, -c, '…'], with all of it in one text",
            )


def _refuse_docker_word(command: Sequence[object]) -> None:
    """Compose's and Docker's health checks begin with a word of their own, which no container has a program for."""
    if command and command[0] in ("CMD", "CMD-SHELL"):
        fix = "begin with the program" if command[0] == "CMD" else "write [sh, -c, '…']"
        raise refused(f"begins with {command[0]}, which is no program but Docker's own word", fix)


def _starts_shell(words: Sequence[str]) -> bool:
    return any(is_script(words, number) for number in range(2, len(words)))


def _refuse_shell(text: str, words: Sequence[str]) -> None:
    """Text is split into words, and nothing else: what is outside of quotes, and means more, would be an argument."""
    first = _ASSIGNMENT.match(words[0]) if words else None
    if first is not None:
        raise refused(
            f'sets "{first[1]}", as only a shell does, and no shell reads it',
            f"write {first[1]} under env, and begin with the program",
        )
    outside, expanded = _blank_quotes(text)
    if (operator := _OPERATOR.search(outside)) is not None:
        raise _no_shell(operator[1] or operator[2], text, words)
    # What a shell gets in double quotes, it replaces itself.
    for variable in _VARIABLE.finditer(outside if _starts_shell(words) else expanded):
        if variable[1] is not None and not (variable[2] is not None and REFERENCE.fullmatch(variable[2].strip())):
            raise _no_shell(variable[1], text, words)


def _no_shell(what: str, text: str, words: Sequence[str]) -> Exception:
    fix = "write [sh, -c, '…'], or put it in single quotes if the program is to get it as it is"
    if len(text) <= 80 and "'" not in text:
        # Compose writes `$$NAME` for what a shell reads as `$NAME`; a shell reads `$$` as its own number.
        script = re.sub(r"\$\$(?=[A-Za-z_(])", "$", text)
        fix = f"write [sh, -c, '{script}'], or put it in single quotes if the program is to get it as it is"
    if _starts_shell(words):
        fix = "put all that follows -c in single quotes"
    return refused(f'has "{what}" in it, which only a shell understands, and no shell reads it', fix)


def _blank_quotes(text: str) -> tuple[str, str]:
    """The text without what is quoted, and without what is in single quotes alone, where a shell replaces nothing."""
    outside, expanded, quote = "", "", ""
    letters = iter(text)
    for letter in letters:
        if letter == "\\" and quote != "'":
            next(letters, "")
            outside, expanded = f"{outside}{_BLANK * 2}", f"{expanded}{_BLANK * 2}"
        elif letter in "'\"" and quote in ("", letter):
            quote = "" if quote else letter
            # A word in quotes is a word, so that what stands beside it is not taken for one of its own.
            outside, expanded = outside + _BLANK, expanded + _BLANK
        else:
            outside += _BLANK if quote else letter
            expanded += _BLANK if quote == "'" else letter
    return outside, expanded


Command = Annotated[
    tuple[EnvValue, ...],
    BeforeValidator(_command),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}},
            ]
        }
    ),
]
