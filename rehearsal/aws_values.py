"""Whether one value is what a shape takes. Messages give the value received and what is allowed."""

from __future__ import annotations

import difflib
import re
from typing import Any

from rehearsal.aws_models import Shape
from rehearsal.values import SHOWN_SECRET

_TIME = re.compile(r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?)?")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_LISTED = 12
"""Longer lists of allowed values are not printed whole."""


def received(value: Any, *, secret: bool) -> str:
    """`value` as a message may show it."""
    if secret:
        return SHOWN_SECRET
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def wrong(value: Any, shape: Shape, *, secret: bool = False) -> str:
    """What is wrong with a plain value, or nothing."""
    got = received(value, secret=secret)
    match shape.kind:
        case "integer" | "long" | "float" | "double":
            return _wrong_number(value, shape, got)
        case "boolean":
            good = isinstance(value, bool) or value in ("true", "false")
            return "" if good else f"should be true or false, got {got}"
        case "timestamp":
            good = isinstance(value, str) and _TIME.fullmatch(value)
            return "" if good else f"should be a time such as 2026-01-31T00:00:00Z, got {got}"
        case _:
            return _wrong_text(value, shape, got)


def _wrong_number(value: Any, shape: Shape, got: str) -> str:
    whole = shape.kind in ("integer", "long")
    kind = "a whole number" if whole else "a number"
    if isinstance(value, str) and _NUMBER.fullmatch(value):  # the provider takes some numbers as text
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and value != int(value)):
        return f"should be {kind}, got {got}"
    return outside(float(value), shape.low, shape.high, got)


def outside(value: float, low: float | None, high: float | None, got: str, unit: str = "") -> str:
    """What is wrong with a number or a length that has limits."""
    if (low is None or value >= low) and (high is None or value <= high):
        return ""
    if low is not None and high is not None:
        allowed = f"{low:.15g}–{high:.15g}"
    else:
        allowed = f"at least {low:.15g}" if low is not None else f"at most {high:.15g}"
    return f"should be {allowed}{unit}, got {got}"


def _wrong_text(value: Any, shape: Shape, got: str) -> str:
    if shape.enum:
        if isinstance(value, bool) and all(choice.lower() in ("enabled", "disabled") for choice in shape.enum):
            return ""  # the provider spells it out
        return "" if str(value) in shape.enum else no_choice(str(value), shape.enum, got)
    text = str(value)
    if found := outside(len(text), shape.low, shape.high, f"{len(text)}: {got}", " characters long"):
        return found
    if shape.pattern is not None and not shape.pattern.fullmatch(text):
        return f"should match {shape.pattern.pattern}, got {got}"
    return ""


def no_choice(value: str, choices: frozenset[str], got: str) -> str:
    if len(choices) <= _LISTED:
        return f"should be one of {', '.join(sorted(choices))}, got {got}"
    near = difflib.get_close_matches(value, sorted(choices), 3, 0.5)
    hint = f" (near it: {', '.join(near)})" if near else ""
    return f"is none of the {len(choices)} values that AWS knows{hint}, got {got}"


def wrong_length(count: int, shape: Shape, what: str = "items") -> str:
    return outside(count, shape.low, shape.high, str(count), f" {what}")
