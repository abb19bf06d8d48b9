"""Ids and labels in the shape that the provider takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import pulumi

LONGEST = 63
"""Characters of a label's value, and of the part of its key behind the slash."""


def number(id_: pulumi.Output[str]) -> pulumi.Output[int]:
    """An id as other resources refer to it: the API's ids are numbers, Pulumi's are text."""
    return id_.apply(int)


def label_value(text: str) -> str:
    """`text` as a label's value: letters, digits and `-._` only, at most 63; different texts stay different."""
    fitted = re.sub(r"[^A-Za-z0-9._-]", ".", text)
    if fitted == text and len(text) <= LONGEST and text[:1].isalnum() and text[-1:].isalnum():
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{fitted[: LONGEST - 10].strip('._-')}.{digest}".lstrip(".")


def labels(given: Mapping[str, str], **more: str) -> dict[str, str]:
    """`given` and `more`, every value fitted."""
    return {key: label_value(value) for key, value in {**given, **more}.items()}


def selector(chosen: Mapping[str, str]) -> str:
    """A label selector for what has all of these labels."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels(chosen).items()))
