"""Times as people write them, in the form that AWS's scaling understands.

AWS has six fields (minutes, hours, day of the month, month, day of the week, year), wants `?` in one of the two fields
for days, and counts the days of the week from 1, Sunday ("Scheduled scaling", Application Auto Scaling guide).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    first: int
    last: int
    names: Sequence[str] = ()
    """Of the values from ``first`` on."""

    @property
    def allowed(self) -> str:
        return f"{self.first}–{self.last}" + (f" or {self.names[0]}–{self.names[-1]}" if self.names else "")


_MINUTES, _HOURS = _Field("minutes", 0, 59), _Field("hours", 0, 23)
_DAY, _MONTH = _Field("day of month", 1, 31), _Field("month", 1, 12, _MONTHS)
_CRON_WEEKDAY = _Field("day of week", 0, 7, _DAYS)
_AWS_WEEKDAY = _Field("day of week", 1, 7, _DAYS)
_YEAR = _Field("year", 1970, 2199)


def aws_cron(cron: str) -> str:
    """Five fields, as cron has them, or AWS's own six, as AWS's ``cron(…)``. ValueError for what cannot be said."""
    fields = cron.upper().split()
    if len(fields) == 6:
        return f"cron({' '.join(_checked(fields))})"
    if len(fields) != 5:
        raise ValueError(f'should have five fields (or six, AWS\'s own), got {len(fields)}: "{cron}"')
    for text in fields:
        if re.search("[LW#]", re.sub("|".join((*_DAYS, *_MONTHS)), "", text)):
            raise ValueError(f"\"{text}\": L, W and # are AWS's own; with those, write all six fields of AWS's cron")
    minutes, hours, day, month, weekday = fields
    any_day, any_weekday = day in {"*", "?"}, weekday in {"*", "?"}
    if not any_day and not any_weekday:
        raise ValueError(
            f'"{day}" and "{weekday}": a day of the month and a day of the week together cannot be said on aws; '
            "write * for one of them, or two entries"
        )
    weekdays = "*" if any_weekday else _weekdays(weekday)
    any_weekday = weekdays == "*"
    return " ".join(
        (
            f"cron({_translated(minutes, _MINUTES)}",
            _translated(hours, _HOURS),
            "?" if not any_weekday else "*" if any_day else _translated(day, _DAY),
            _translated(month, _MONTH),
            "?" if any_weekday else weekdays,
            "*)",
        )
    )


def _translated(text: str, field: _Field) -> str:
    """Ranges with steps become lists: AWS documents steps from one value on, and no others."""
    if text == "*":
        return text
    parts: list[str] = []
    for part in text.split(","):
        values = _values(part, field)
        if "/" in part:
            parts += [str(value) for value in values]
        elif "*" in part:
            return "*"
        else:
            parts.append(str(values[0]) if len(values) == 1 else f"{values[0]}-{values[-1]}")
    return ",".join(dict.fromkeys(parts))


def _weekdays(text: str) -> str:
    """By name, which means the same on both sides; 0 and 7 are both Sunday."""
    days = sorted({value % 7 for part in text.split(",") for value in _values(part, _CRON_WEEKDAY)})
    if len(days) == 7:
        return "*"
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{_DAYS[days[0]]}-{_DAYS[days[-1]]}"
    return ",".join(_DAYS[day] for day in days)


def _values(part: str, field: _Field) -> Sequence[int]:
    """The numbers that one part of a list stands for: ``5``, ``5-9``, ``*/2``, ``5/2``, ``5-9/2``."""
    base, slash, step = part.partition("/")
    if slash and (not re.fullmatch("[1-9][0-9]{0,3}", step) or re.search("[A-Z]", base)):
        raise ValueError(f'{field.name} "{part}": a step is a number behind a number, a range of numbers or *: */15')
    if base == "*":
        # The seventh day of cron's week is its first.
        return range(field.first, min(field.last, 6) + 1 if field is _CRON_WEEKDAY else field.last + 1, int(step or 1))
    first, dash, last = base.partition("-")
    low = _number(first, part, field)
    high = _number(last, part, field) if dash else field.last if slash else low
    if field is _CRON_WEEKDAY and slash and not dash:
        high = 6
    if high < low:
        if field is _CRON_WEEKDAY and high == 0:
            high = 7  # FRI-SUN
        else:
            raise ValueError(f'{field.name} "{part}": should count upwards; write two ranges with a comma')
    return range(low, high + 1, int(step or 1))


def _number(text: str, part: str, field: _Field) -> int:
    if text in field.names:
        return field.names.index(text) + field.first
    if re.fullmatch("[0-9]{1,4}", text) and field.first <= int(text) <= field.last:
        return int(text)
    raise ValueError(f'{field.name} "{part}": should be {field.allowed}, * or a list, got "{text}"')


def _checked(fields: Sequence[str]) -> Sequence[str]:
    """AWS's own six fields, passed through."""
    for text, field in zip(fields, (_MINUTES, _HOURS, _DAY, _MONTH, _AWS_WEEKDAY, _YEAR), strict=True):
        special = {_DAY: "L|LW|[0-9]{1,2}W", _AWS_WEEKDAY: f"L|([1-7]|{'|'.join(_DAYS)})(L|#[1-5])"}.get(field, "")
        for part in text.split(","):
            if (part == "?" and field in {_DAY, _AWS_WEEKDAY}) or (special and re.fullmatch(special, part)):
                continue
            _values(part, field)
    if [fields[2], fields[4]].count("?") != 1:
        raise ValueError(
            f'"{fields[2]}" and "{fields[4]}": of AWS\'s two fields for days, one has to be ?, and only one'
        )
    return fields
