"""``random`` resources, from the system's own randomness; what is secret in pulumi-random is so here."""

from __future__ import annotations

import base64
import secrets
import string
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from rehearsal.once_made import OnceMade
from rehearsal.providers import Provider, StepError
from rehearsal.values import UNKNOWN, Properties

PASSWORD: Final = "random:index/randomPassword:RandomPassword"  # noqa: S105 (a type)
UNMADE: Final[Mapping[str, Mapping[str, Any]]] = {PASSWORD: {"bcryptHash": UNKNOWN}}
"""Outputs left unknown, so that what would use them fails: a wrong value would be used in silence."""
_SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"
_random = secrets.SystemRandom()


class RandomId(OnceMade):
    """Bytes in several notations."""

    inputs = frozenset({"byteLength", "keepers", "prefix"})

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        length = int(inputs["byteLength"])
        if length < 1:
            raise StepError(f"byteLength: should be at least 1, got {length}")
        raw = secrets.token_bytes(length)
        prefix = str(inputs.get("prefix") or "")
        plain = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        notations = {
            "b64Url": plain,
            "b64Std": base64.b64encode(raw).decode(),
            "hex": raw.hex(),
            "dec": str(int.from_bytes(raw, "big")),
        }
        return plain, {key: prefix + text for key, text in notations.items()}


class RandomText(OnceMade):
    """A string or a password: at least so many of each kind of character, the rest of any, in random order."""

    inputs = frozenset(
        {"length", "keepers", "overrideSpecial", "number"}
        | {"upper", "lower", "numeric", "special", "minUpper", "minLower", "minNumeric", "minSpecial"}
    )
    defaults: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(("upper", "lower", "numeric", "special"), True),
        **dict.fromkeys(("minUpper", "minLower", "minNumeric", "minSpecial"), 0),
    }

    def __init__(self, *, secret: bool) -> None:
        self._secret = secret

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        length = int(inputs["length"])
        numeric = inputs.get("number", inputs["numeric"])  # the older name of the same
        kinds = (
            ("Upper", inputs["upper"], string.ascii_uppercase),
            ("Lower", inputs["lower"], string.ascii_lowercase),
            ("Numeric", numeric, string.digits),
            ("Special", inputs["special"], str(inputs.get("overrideSpecial") or _SPECIAL)),
        )
        alphabet = "".join(characters for _, wanted, characters in kinds if wanted)
        least = [(int(inputs[f"min{kind}"]), characters) for kind, _, characters in kinds]
        needed = sum(number for number, _ in least)
        if length < max(1, needed):
            raise StepError(f"length: should be at least {max(1, needed)} for what it has to hold, got {length}")
        if not alphabet and needed < length:
            raise StepError("no kind of character is allowed: set upper, lower, numeric or special")
        chosen = [secrets.choice(characters) for number, characters in least for _ in range(number)]
        chosen += [secrets.choice(alphabet) for _ in range(length - needed)]
        _random.shuffle(chosen)
        result = "".join(chosen)
        return "none" if self._secret else result, {"result": result, "numeric": numeric, "number": numeric}


class RandomBytes(OnceMade):
    """Bytes that are secret."""

    inputs = frozenset({"length", "keepers"})

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        raw = secrets.token_bytes(int(inputs["length"]))
        return "none", {"base64": base64.b64encode(raw).decode(), "hex": raw.hex()}


class RandomInteger(OnceMade):
    """A number from min to max. A seed would promise the same number as pulumi-random's own generator."""

    inputs = frozenset({"min", "max", "keepers"})

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        least, most = int(inputs["min"]), int(inputs["max"])
        if least > most:
            raise StepError(f"min: should be at most max ({most}), got {least}")
        result = least + secrets.randbelow(most - least + 1)
        return str(result), {"result": result}


class RandomUuid(OnceMade):
    """A UUID, version 4."""

    inputs = frozenset({"keepers"})

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        made = str(uuid.uuid4())
        return made, {"result": made}


def random_providers() -> dict[str, Provider]:
    return {
        "random:index/randomId:RandomId": RandomId(),
        "random:index/randomString:RandomString": RandomText(secret=False),
        PASSWORD: RandomText(secret=True),
        "random:index/randomBytes:RandomBytes": RandomBytes(),
        "random:index/randomInteger:RandomInteger": RandomInteger(),
        "random:index/randomUuid:RandomUuid": RandomUuid(),
    }
