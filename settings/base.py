"""The model every setting derives from, and how a rule says no."""

from __future__ import annotations

from typing import cast, get_args

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError


def should_be(allowed: str, fix: str = "") -> PydanticCustomError:
    """The error of a value that is not what is ``allowed``; the value received is added when it is shown."""
    return PydanticCustomError("should_be", "should be {allowed}", {"allowed": allowed, "fix": fix})


def refused(message: str, fix: str = "", at: str = "") -> PydanticCustomError:
    """The error of a value that is well formed and still cannot be; ``at`` is the key inside it that is to blame."""
    return PydanticCustomError("refused", "{message}", {"message": message, "fix": fix, "at": at})


class Settings(BaseModel):
    """Frozen, and closed to keys it does not know: a misspelt key must never be ignored in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, value: object) -> object:
        """``key:`` with nothing after it leaves the key at its default. Unknown keys stay, to be refused.

        So does null where it says something that the default does not: ``logs: null`` is no logs.
        """
        if not isinstance(value, dict):
            return value
        given = cast("dict[object, object]", value)
        fields = cls.model_fields
        return {
            key: item for key, item in given.items() if item is not None or key not in fields or _says(fields[str(key)])
        }


def _says(field: FieldInfo) -> bool:
    """Whether null is a value of its own, and not the default in another word."""
    return not field.is_required() and field.default is not None and type(None) in get_args(field.annotation)
