"""Tags of a person's own on the resources of a stack: what every AWS service takes, and what is taken already."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from settings.base import refused, should_be
from settings.types import Text

MOST = 40
"""AWS takes 50 on a resource (Tag Editor, tagging best practices: 128 and 256 characters); the rest is for ours and for
those that ECS and Auto Scaling add."""
_CHARACTERS = re.compile(r"[\w .:/=+\-@]+")
_SAYS = "letters, digits, spaces or _.:/=+-@"


def _key(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 128 or not _good(value):
        raise should_be(f"1–128 {_SAYS}, without spaces at the ends")
    if re.match("(aws|quayside):", value, re.IGNORECASE):
        owner = "AWS" if value.lower().startswith("aws:") else "quayside"
        raise refused(f"{value} begins with what {owner} keeps for itself", "take another prefix, or none")
    if value.lower() == "name":
        raise refused(f"{value} is each resource's own: the console shows it", "take another key, such as team")
    return value


def _value(value: str) -> str:
    if len(value) > 256 or (value and not _good(value)):
        raise should_be(f"at most 256 {_SAYS}, without spaces at the ends")
    return value


def _good(text: str) -> bool:
    return text == text.strip() and _CHARACTERS.fullmatch(text) is not None


def _tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > MOST:
        raise should_be(f"at most {MOST} tags")
    by_lower: dict[str, str] = {}
    for key in tags:
        # IAM's keys are one whatever their case; elsewhere they would be two.
        other = by_lower.setdefault(key.lower(), key)
        if other != key:
            raise refused(f"has {other} and {key}, which are one key to IAM", "keep one of them")
    return tags


TagKey = Annotated[str, BeforeValidator(_key), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 128})]
TagValue = Annotated[Text, AfterValidator(_value)]
Tags = Annotated[dict[TagKey, TagValue], AfterValidator(_tags)]
