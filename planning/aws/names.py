"""Names that fit where AWS allows few characters."""

from __future__ import annotations

import hashlib

LONGEST = 24
"""A target group's name ends at 32 characters, of which Pulumi adds 8: a hyphen and 7 random hexadecimal digits."""


def short(name: str, limit: int = LONGEST) -> str:
    """``name`` itself where it fits; else its beginning and six hexadecimal digits of its hash."""
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{name[: limit - 7].rstrip('-')}-{digest}"
