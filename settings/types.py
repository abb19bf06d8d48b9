"""Small types that carry the rules: a name, a port, an amount of memory, a length of time, a route.

Whatever can reach a line of HAProxy configuration or a shell is held to a list of allowed characters here, so that
nothing later has to quote it.
"""

from __future__ import annotations

import base64
import difflib
import ipaddress
import math
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, cast

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from settings.base import refused, should_be


class Literally(float):
    """A number of a YAML file that remembers how it was written, for those who wanted text: ``1.10``."""

    text: str

    def __new__(cls, value: float, text: str) -> Literally:
        made = super().__new__(cls, value)
        made.text = text
        return made


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that ``word`` most likely was meant to be."""
    cases = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), list(cases), n=1, cutoff=cutoff) if len(word) <= 100 else []
    return cases[found[0]] if found else None


def _written(info: ValidationInfo) -> bool:
    """Whether a person wrote the value (in YAML), rather than a program."""
    return bool(info.context)


def _matching(pattern: str, allowed: str, longest: int, fix: str = "", **schema: object) -> tuple[object, object]:
    regex = re.compile(pattern)

    def check(value: object) -> str:
        if not isinstance(value, str) or len(value) > longest or not regex.fullmatch(value):
            raise should_be(allowed, fix)
        return value

    return BeforeValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **schema})


def _whole(low: int, high: int) -> tuple[object, object]:
    """A whole number, also when it was written as text, as ``pulumi config set`` stores it."""

    def check(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,12}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise should_be(f"a whole number, {low}–{high}")
        if not low <= value <= high:
            raise should_be(f"{low}–{high}")
        return value

    schema = {
        "anyOf": [{"type": "integer", "minimum": low, "maximum": high}, {"type": "string", "pattern": "^[0-9]+$"}]
    }
    return BeforeValidator(check), WithJsonSchema(schema)


# --- true and false --------------------------------------------------------------------------------------------------

_MEANT = {"no": "false", "n": "false", "off": "false", "f": "false", "0": "false", "none": "false", "disabled": "false",
          "yes": "true", "y": "true", "on": "true", "t": "true", "1": "true", "enabled": "true"}  # fmt: skip


def _flag(value: object) -> bool:
    """Only true and false, and as text, which is how ``pulumi config set`` stores them."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    text = str(value).strip().lower() if isinstance(value, (str, int)) and len(str(value)) < 20 else ""
    meant = _MEANT.get(text, text if text in {"true", "false"} else None)
    raise should_be("true or false", f"write {meant}" if meant else "")


Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]

# --- numbers ---------------------------------------------------------------------------------------------------------

_port, _port_schema = _whole(1, 65535)
Port = Annotated[int, _port, _port_schema]
_percent, _percent_schema = _whole(1, 99)
Percent = Annotated[int, _percent, _percent_schema]
_share, _share_schema = _whole(0, 100)
PercentOrNone = Annotated[int, _share, _share_schema]
"""0–100: a percentage that may also be nothing or everything."""
_count, _count_schema = _whole(0, 1000)
Count = Annotated[int, _count, _count_schema]
"""0–1000 replicas or machines."""
_some, _some_schema = _whole(1, 1000)
AtLeastOne = Annotated[int, _some, _some_schema]
_rate, _rate_schema = _whole(1, 10_000_000)
Rate = Annotated[int, _rate, _rate_schema]
"""Requests a minute."""
_weight, _weight_schema = _whole(0, 256)
Weight = Annotated[int, _weight, _weight_schema]
_priority, _priority_schema = _whole(1, 50000)
Priority = Annotated[int, _priority, _priority_schema]
"""Priority of a listener rule, within AWS's range."""
_balancer, _balancer_schema = _whole(1, 100)
BalancerNumber = Annotated[int, _balancer, _balancer_schema]
_zones, _zones_schema = _whole(2, 3)
Zones = Annotated[int, _zones, _zones_schema]
_all, _all_schema = _whole(0, 65535)
PortOrAll = Annotated[int, _all, _all_schema]
"""A port, or 0 for all."""


def _cpu(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.01 <= value <= 256 or math.isnan(value):
        raise should_be("0.01–256 (vCPU)")
    return float(value)


Cpu = Annotated[
    float,
    BeforeValidator(_cpu),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0.01, "maximum": 256},
                {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$"},
            ]
        }
    ),
]

_UNITS = {
    "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4,
    "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
}  # fmt: skip
_MEMORY = r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?(KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)"
_LEAST_MEMORY = 6 * 1024**2  # Docker refuses less


def _memory(value: object, info: ValidationInfo) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and not _written(info):
        amount = value
    elif isinstance(value, str) and (found := re.fullmatch(_MEMORY, value)):
        amount = int(float(found[1]) * _UNITS[found[2]])
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        raise should_be("an amount such as 512MiB; units are required", f"write {_guess(value)}MiB, if that is meant")
    elif isinstance(value, str) and (found := re.fullmatch(r"([0-9]{1,15}) ?([A-Za-z]{0,3})", value)):
        unit = {"k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB"}.get(found[2][:1].lower(), "MiB")
        raise should_be("an amount such as 512MiB; units are required", f"write {found[1]}{unit}, if that is meant")
    else:
        raise should_be("an amount such as 512MiB or 2GiB", "units are KiB, MiB, GiB, TiB, or kB, MB, GB, TB")
    if not _LEAST_MEMORY <= amount <= 1024**5:
        raise should_be("6MiB–1024TiB")
    return amount


def _guess(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) and abs(value) < 1e9 else "512"


Memory = Annotated[int, BeforeValidator(_memory), WithJsonSchema({"type": "string", "pattern": f"^{_MEMORY}$"})]
"""Bytes; written with a unit."""


def _edge_memory(size: int) -> int:
    if size < 96 * 1024**2:
        raise should_be("at least 96MiB", "an edge needs 48MiB before anybody is connected")
    return size


EdgeMemory = Annotated[Memory, AfterValidator(_edge_memory)]


def amount(size: int) -> str:
    """An amount of memory as a person writes it."""
    unit = next(
        (unit for unit in ("TiB", "GiB", "MiB", "KiB") if size >= _UNITS[unit] and size % _UNITS[unit] == 0), ""
    )
    return f"{size // _UNITS[unit]}{unit}" if unit else f"{size / 1024**2:.1f}MiB"


_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9})s)?"


def span(seconds: int) -> str:
    """A length of time as a person writes it."""
    for unit, size in _SECONDS.items():
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _duration(low: int, high: int) -> tuple[object, object]:
    example = "a length of time such as 30s, 10m or 1h"

    def check(value: object, info: ValidationInfo) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and not _written(info):
            seconds = value
        elif isinstance(value, str) and value and (found := re.fullmatch(_DURATION, value)):
            parts = zip(found.groups(), _SECONDS.values(), strict=True)
            seconds = sum(int(count) * size for count, size in parts if count)
        elif (isinstance(value, (int, float)) and not isinstance(value, bool)) or (
            isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value)
        ):
            number = value if isinstance(value, str) else _guess(value)
            raise should_be(f"{example}; units are required", f"write {number}s, if that is meant")
        elif isinstance(value, str) and re.fullmatch(r"[0-9.]{1,9} ?ms", value):
            raise should_be(f"{example}; whole seconds are the smallest step", "write 1s")
        else:
            raise should_be(example, "units are s, m, h and d")
        if not low <= seconds <= high:
            raise should_be(f"{span(low)}–{span(high)}")
        return seconds

    return BeforeValidator(check), WithJsonSchema(
        {"type": "string", "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$"}
    )


_span_long, _span_schema = _duration(1, 365 * 86400)
Duration = Annotated[int, _span_long, _span_schema]
"""Seconds, at least one; written with a unit."""
_probe, _ = _duration(1, 3600)
ShortDuration = Annotated[int, _probe, _span_schema]
"""1s–1h."""
_step, _ = _duration(0, 86400)


def _whole_minutes(value: int) -> int:
    if value % 60:
        raise should_be("whole minutes, up to 1440m", f"write {round(value / 60) or 1}m")
    return value


Bake = Annotated[int, _step, AfterValidator(_whole_minutes), _span_schema]
"""0m–24h in whole minutes, as ECS counts them."""
_idle, _ = _duration(1, 4000)
Idle = Annotated[int, _idle, _span_schema]
"""1s–4000s, a balancer's own bounds."""
_warm, _ = _duration(30, 900)
WarmUp = Annotated[int, _warm, _span_schema]
"""30s–15m, a target group's own bounds."""
_drain, _ = _duration(0, 86400)
DrainDuration = Annotated[int, _drain, _span_schema]
"""0s–1d: the edge ends its old workers after a day, whatever they hold."""

# CloudWatch keeps logs for these times and no others.
_RETENTION = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


def _days(value: object, info: ValidationInfo) -> int:
    allowed = "a number of days that CloudWatch knows, such as 7d, 30d or 365d"
    if isinstance(value, int) and not isinstance(value, bool) and not _written(info):
        seconds = value
    elif isinstance(value, str) and (found := re.fullmatch("([0-9]{1,5})d", value)):
        seconds = int(found[1]) * 86400
    else:
        raise should_be(allowed, "the unit is d")
    if seconds % 86400 or seconds // 86400 not in _RETENTION:
        near = min(_RETENTION, key=lambda days: abs(days - seconds / 86400))
        raise should_be(allowed, f"write {near}d; known: {', '.join(str(days) for days in _RETENTION)}")
    return seconds


Days = Annotated[int, BeforeValidator(_days), WithJsonSchema({"type": "string", "pattern": "^[0-9]+d$"})]
"""Seconds; written as days that CloudWatch knows."""

# --- text ------------------------------------------------------------------------------------------------------------

_name, _name_schema = _matching(
    "[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
    "a lowercase letter, then up to 39 lowercase letters, digits and inner hyphens",
    40,
)
Name = Annotated[str, _name, _name_schema]
"""Of a service, a host, a stack or a project: fit for DNS, Docker, AWS and HAProxy alike."""

_env, _env_schema = _matching(
    "[A-Za-z_][A-Za-z0-9_]{0,127}",
    "a variable's name: letters, digits and _, no digit first",
    128,
)
EnvName = Annotated[str, _env, _env_schema]
_id, _id_schema = _matching("[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "letters, digits and ._-", 128)
Identifier = Annotated[str, _id, _id_schema]
"""The name something has at a cloud: a location, a machine type, an image."""
HostImage = Annotated[
    str,
    _id,
    # Ids are numbers at Hetzner, and `pulumi config set --path` writes them as such.
    BeforeValidator(lambda value: str(value) if type(value) is int and 0 < value < 10**18 else value),
    WithJsonSchema({"type": ["string", "integer"]}),
]
_user, _user_schema = _matching(
    "[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,31})?",
    'a user, such as 1000, app or "1000:1000"',
    65,
)
User = Annotated[
    str,
    _user,
    BeforeValidator(lambda value: str(value) if type(value) is int and 0 <= value < 2**32 else value),
    WithJsonSchema({"type": ["string", "integer"]}),
]
_key, _key_schema = _matching("[A-Za-z0-9_-]{1,64}", "a key under the stack's secrets: letters, digits, _ and -", 64)
SecretKey = Annotated[str, _key, _key_schema]


def is_secret_key(key: str) -> bool:
    """Whether a key under the stack's secrets is one that services can name."""
    return re.fullmatch("[A-Za-z0-9_-]{1,64}", key) is not None


_REF = r"[A-Za-z0-9_-]{1,64}|arn:aws[a-z-]*:(secretsmanager|ssm):[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9/_+=.@:-]{1,512}"
_ARN_PARTS = (
    ("aws[a-z-]*", "the partition should be aws"),
    ("secretsmanager|ssm", "the service should be secretsmanager or ssm"),
    ("[a-z0-9-]+", "the region is missing"),
    ("[0-9]{12}", "the account should be 12 digits"),
    (r"(secret:|parameter/)[A-Za-z0-9/_+=.@:-]{1,500}", "it should end with secret:NAME or parameter/NAME"),
)


def _secret_ref(value: object) -> str:
    if isinstance(value, str) and len(value) <= 600 and re.fullmatch(_REF, value):
        return value
    if isinstance(value, str) and value.startswith("arn:"):
        parts = [*value.split(":", 5), *[""] * 5][1:6]
        wrong = [said for part, (rule, said) in zip(parts, _ARN_PARTS, strict=True) if not re.fullmatch(rule, part)]
        raise should_be(
            "the ARN of an existing secret, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME", "; ".join(wrong)
        )
    raise should_be(
        "a key under the stack's secrets, or the ARN of an existing secret",
        "set the value with `pulumi config set --secret --path quayside:secrets.KEY --stack NAME`, and write KEY here",
    )


SecretRef = Annotated[
    str,
    BeforeValidator(_secret_ref),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^{_REF}$",
            "description": "A key under the stack's secrets, or (AWS) the ARN of an existing secret",
        }
    ),
]
_health, _health_schema = _matching(
    "/(?:[A-Za-z0-9._~/:@+,;=&?!*-]|%[0-9A-Fa-f]{2})*",
    "a path such as /healthz: / first, then letters, digits and ._~/:@+,;=&?!*-",
    256,
)
HealthPath = Annotated[str, _health, _health_schema]
_ssh, _ssh_schema = _matching(
    r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com)"
    r" [A-Za-z0-9+/]{16,4096}={0,3}( [A-Za-z0-9@._+-]{1,128})?",
    "an SSH public key: `ssh-ed25519 AAAA…`",
    4400,
    "give the one line of a .pub file, or of `ssh-keyscan -t ed25519 ADDRESS` without the address it begins with",
)


def _ssh_key(value: str) -> str:
    """A key that was cut when it was copied would be found only by a host that then refuses everybody."""
    kind, encoded = value.split()[:2]
    cut = should_be("a whole SSH public key", "copy its line again, to the end: a part of it is missing or changed")
    fields: list[bytes] = []
    try:
        rest = base64.b64decode(encoded, validate=True)
    except ValueError:
        rest = b"\0"  # no field either
    while rest:
        length = int.from_bytes(rest[:4], "big")
        fields.append(rest[4 : 4 + length])
        if len(rest) < 4 or len(fields[-1]) != length:
            raise cut
        rest = rest[4 + length :]
    if fields[0] != kind.encode() or (kind == "ssh-ed25519" and [len(field) for field in fields[1:]] != [32]):
        raise cut
    return value


SshKey = Annotated[str, _ssh, AfterValidator(_ssh_key), _ssh_schema]
_jump, _jump_schema = _matching(
    r"[a-z_][a-z0-9_-]{0,31}@([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9a-f:]{2,39}\])(:[1-9][0-9]{0,4})?",
    "a user and a host such as ci@bastion.example.com, with :PORT where it is not 22",
    300,
)
JumpHost = Annotated[str, _jump, _jump_schema]
_CRON = r"[0-9*/,LW#?A-Za-z-]+( [0-9*/,LW#?A-Za-z-]+){4,5}"
_CRON_FIELDS = (("minutes", 0, 59), ("hours", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))
_CRON_NAMES = frozenset(re.findall("...", "SUNMONTUEWEDTHUFRISATJANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"))


def _cron(value: object) -> str:
    """What no cron knows is found here, with whatever else is wrong; what AWS cannot say, when AWS is planned."""
    if not isinstance(value, str) or len(value) > 128 or not re.fullmatch(_CRON, value):
        raise should_be('five or six cron fields: "0 18 * * FRI"')
    fields = value.upper().split()
    if len(fields) == 6 or re.search("[LW#]", "".join(re.sub("|".join(_CRON_NAMES), "", field) for field in fields)):
        return value  # AWS's own
    for text, (name, low, high) in zip(fields, _CRON_FIELDS, strict=True):
        named = _CRON_NAMES if name in {"month", "day of week"} else ()
        for item in re.split("[,/-]", text):
            if item in {"*", "?"} or item in named:
                continue
            # A step may be longer than its field.
            if not re.fullmatch("[0-9]{1,4}", item) or (f"/{item}" not in text and not low <= int(item) <= high):
                words = " or a name such as " + ("MON" if name == "day of week" else "JAN") if named else ""
                raise should_be(f'five cron fields, such as "0 18 * * FRI", with {name} {low}–{high}{words}')
    return value


Cron = Annotated[str, BeforeValidator(_cron), WithJsonSchema({"type": "string", "pattern": f"^{_CRON}$"})]


@cache
def _timezones() -> dict[str, str]:
    """By last part and whole, in lower case; empty on a machine that has no database of them."""
    known = sorted(zoneinfo.available_timezones())
    return {zone.rpartition("/")[2].lower(): zone for zone in known} | {zone.lower(): zone for zone in known}


def _timezone(value: object) -> str:
    allowed = "a time zone such as Europe/Berlin"
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_+/-]{1,64}", value):
        raise should_be(allowed)
    known = _timezones()
    if not known or known.get(value.lower()) == value:
        return value
    close = nearest(value, known)
    raise should_be(allowed, f"did you mean {known[close]}?" if close else "")


Timezone = Annotated[
    str,
    BeforeValidator(_timezone),
    WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_+/-]{1,64}$"}),
]


# --- AWS --------------------------------------------------------------------------------------------------------------

REGIONS = re.findall(
    r"\S+",
    """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
    cn-north-1 cn-northwest-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3
    eusc-de-east-1 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-gov-east-1
    us-gov-west-1 us-west-1 us-west-2
    """,
)
"""A test compares them with botocore's, which settings do not import."""


def _region(value: object) -> str:
    if isinstance(value, str) and value in REGIONS:
        return value
    text = value.strip().lower() if isinstance(value, str) else ""
    if text[:-1] in REGIONS:
        raise should_be("a region of AWS such as eu-central-1, not a zone", f"write {text[:-1]}")
    close = difflib.get_close_matches(text, REGIONS, n=2, cutoff=0.8) if len(text) < 40 else []
    raise should_be("a region of AWS such as eu-central-1", f"did you mean {' or '.join(close)}?" if close else "")


Region = Annotated[str, BeforeValidator(_region), WithJsonSchema({"type": "string", "enum": REGIONS})]
_letter, _letter_schema = _matching("[a-h]", "the last letter of a zone, such as a", 1)
ZoneLetter = Annotated[str, _letter, _letter_schema]
_ARN = r"arn:aws[a-z-]*"
_role, _role_schema = _matching(
    rf"{_ARN}:iam::[0-9]{{12}}:role/[A-Za-z0-9+=,.@_/-]{{1,576}}", "the ARN of an IAM role", 640
)
RoleArn = Annotated[str, _role, _role_schema]
_certificate, _certificate_schema = _matching(
    rf"{_ARN}:acm:[a-z0-9-]+:[0-9]{{12}}:certificate/[A-Za-z0-9-]{{1,64}}", "the ARN of an ACM certificate", 200
)
CertificateArn = Annotated[str, _certificate, _certificate_schema]
_kms, _kms_schema = _matching(
    rf"{_ARN}:kms:[a-z0-9-]+:[0-9]{{12}}:key/[A-Za-z0-9-]{{1,64}}", "the ARN of a KMS key", 200
)
KmsArn = Annotated[str, _kms, _kms_schema]
_arn, _arn_schema = _matching(
    rf"{_ARN}:[a-z0-9-]{{2,40}}:[a-z0-9-]*:[0-9]{{0,12}}:[A-Za-z0-9+=,.@_/:*?$-]{{1,1024}}",
    "an ARN such as arn:aws:s3:::uploads/*",
    1200,
)
Arn = Annotated[str, _arn, _arn_schema]
_action, _action_schema = _matching(
    "[a-z0-9-]{2,40}:[A-Z][A-Za-z0-9]*[*]?", "an action such as s3:GetObject, or s3:Get*", 160
)
IamAction = Annotated[str, _action, _action_schema]
_alarm, _alarm_schema = _matching("[A-Za-z0-9 ._/-]{1,255}", "the name of a CloudWatch alarm", 255)
AlarmName = Annotated[str, _alarm, _alarm_schema]
_ami, _ami_schema = _matching("ami-[0-9a-f]{8,17}", "the id of a machine image, such as ami-0123456789abcdef0", 24)
MachineImage = Annotated[str, _ami, _ami_schema]
_repository, _repository_schema = _matching(
    "[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*", "a repository such as acme/web", 200
)
Repository = Annotated[str, _repository, _repository_schema]
_prefix, _prefix_schema = _matching("[a-z0-9]{2,10}([._-][a-z0-9]{1,10})*", "a prefix such as hub", 30)
Prefix = Annotated[str, _prefix, _prefix_schema]


def _clean_path(value: object) -> str:
    allowed = "an absolute path such as /data: letters, digits and ._@+=- between slashes"
    if not isinstance(value, str) or len(value) > 256 or not re.fullmatch(r"(/[A-Za-z0-9._@+=-]+)+", value):
        fix = value.rstrip("/") if isinstance(value, str) and len(value) < 256 else ""
        raise should_be(allowed, f"write {fix}" if re.fullmatch(r"(/[A-Za-z0-9._@+=-]+)+", fix) else "")
    if any(part in {".", ".."} for part in value.split("/")):
        raise should_be("an absolute path without . and .. in it")
    return value


AbsolutePath = Annotated[
    str, BeforeValidator(_clean_path), WithJsonSchema({"type": "string", "pattern": "^(/[A-Za-z0-9._@+=-]+)+$"})
]
"""A path inside a container, other than / itself."""


def _source_path(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._@+= -]+(/[A-Za-z0-9._@+= -]+)*", value[:300]):
        raise should_be("a path relative to services.yaml, such as conf/app.conf")
    if len(value) > 256 or ".." in value.split("/"):
        raise should_be("a path inside the folder of services.yaml", "keep the file beside services.yaml")
    return value


SourcePath = Annotated[
    str, BeforeValidator(_source_path), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9._@+= /-]+$"})
]

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"


def _domain(value: object) -> str:
    if isinstance(value, str) and len(value) <= 253 and re.fullmatch(_DOMAIN, value):
        if not re.fullmatch("[0-9]+", value.rsplit(".", 1)[-1]):
            return value
        raise should_be("a domain such as example.com, not an address")
    if not isinstance(value, str) or len(value) > 260:
        raise should_be("a domain such as example.com")
    bare = re.sub(r"^https?://", "", value.lower()).rstrip("./")
    if re.fullmatch(_DOMAIN, bare):
        raise should_be("a domain such as example.com", f"write {bare}")
    raise should_be(
        "a domain such as example.com", "" if value.isascii() else "write international names in their xn-- form"
    )


_email, _email_schema = _matching(rf"[A-Za-z0-9._%+-]{{1,64}}@{_DOMAIN}", "an address such as ops@example.com", 254)
Email = Annotated[str, _email, _email_schema]
_https, _https_schema = _matching(
    rf"https://{_DOMAIN}(?::[1-9][0-9]{{0,4}})?(?:/[A-Za-z0-9._~%+-]+)*/?",
    "a URL such as https://acme.example.com/directory",
    500,
)
HttpsUrl = Annotated[str, _https, _https_schema]

Domain = Annotated[str, BeforeValidator(_domain), WithJsonSchema({"type": "string", "pattern": f"^{_DOMAIN}$"})]


_ENDPOINT = rf"(?:https?://)?{_DOMAIN}(?::[0-9]{{1,5}})?"
_endpoint, _endpoint_schema = _matching(
    _ENDPOINT, "a host such as fsn1.your-objectstorage.com, with http:// before it where it has no TLS", 270
)
Endpoint = Annotated[str, _endpoint, _endpoint_schema]
"""``[https://]host[:port]`` of a service."""
_bucket, _bucket_schema = _matching(
    "[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket: 3 to 63 lowercase letters, digits, dots and hyphens", 63
)
Bucket = Annotated[str, _bucket, _bucket_schema]
_s3region, _s3region_schema = _matching("[a-z0-9][a-z0-9-]{1,31}", "a region such as eu-central-1 or fsn1", 32)
BucketRegion = Annotated[str, _s3region, _s3region_schema]


def _cidr(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch("[0-9A-Fa-f:./]{2,49}", value):
        raise should_be("a range of addresses such as 198.51.100.0/24")
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise should_be("a range of addresses such as 198.51.100.0/24") from None
        raise should_be("a range of addresses whose bits past the prefix are zero", f"write {network}") from None


Cidr = Annotated[str, BeforeValidator(_cidr), WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f:./]+$"})]


def _subnets(value: str) -> str:
    network = ipaddress.ip_network(value)
    if network.version != 4 or not 8 <= network.prefixlen <= 22 or not network.is_private:
        raise should_be("a private IPv4 range of /8 to /22, such as 10.128.0.0/9")
    return value


def _version_4(value: str) -> str:
    if ":" in value:
        raise should_be("a range of IPv4 addresses such as 0.0.0.0/0", "the network has no IPv6; leave it out")
    return value


Ipv4Range = Annotated[Cidr, AfterValidator(_version_4)]

PrivateRange = Annotated[str, BeforeValidator(_cidr), AfterValidator(_subnets), WithJsonSchema({"type": "string"})]
"""Private IPv4 addresses, room for at least sixteen /26."""


def _vpc(value: str) -> str:
    network = ipaddress.ip_network(value)
    if network.version != 4 or not 16 <= network.prefixlen <= 20 or not network.is_private:
        raise should_be("a private IPv4 range of /16 to /20, such as 10.20.0.0/16")
    return value


VpcRange = Annotated[str, BeforeValidator(_cidr), AfterValidator(_vpc), WithJsonSchema({"type": "string"})]
"""Private IPv4 addresses of a VPC."""


def _address(value: object) -> str:
    try:
        if isinstance(value, str) and re.fullmatch("[0-9A-Fa-f:.]{2,45}", value):
            return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    raise should_be("an IP address such as 203.0.113.7")


Address = Annotated[str, BeforeValidator(_address), WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f:.]+$"})]


def _ipv4(value: object) -> str:
    try:
        if isinstance(value, str) and not ipaddress.IPv4Address(value).is_unspecified:
            return str(ipaddress.IPv4Address(value))
    except ValueError:
        pass
    raise should_be(
        "an IPv4 address such as 203.0.113.7",
        "edges and containers are published on IPv4 alone, and the host is given an A record; write no name here",
    )


Ipv4Address = Annotated[str, BeforeValidator(_ipv4), WithJsonSchema({"type": "string", "pattern": "^[0-9.]+$"})]

# --- values of the environment, commands -----------------------------------------------------------------------------


def _scalar(value: object, allowed: str) -> str:
    """What a person who writes YAML expects to arrive: ``1`` as "1", ``true`` as "true"."""
    if isinstance(value, Literally):
        whole = value.is_integer() and re.fullmatch("[-+]?[0-9]+", value.text)
        number = str(int(value)) if whole else f"{float(value)}"
        if value.text != number:
            raise refused(
                f"should be in quotes: as a number, {value.text} would arrive as {number}",
                f'write "{value.text}"',
            )
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise should_be(
            allowed, 'write "" for an empty value' if value is None else "a list or mapping can be JSON in quotes"
        )
    if "\0" in value:
        raise refused("holds a NUL character, which no environment or argument can carry")
    return value


_SCALAR_SCHEMA = WithJsonSchema({"type": ["string", "number", "boolean"]})
EnvValue = Annotated[
    str, BeforeValidator(lambda value: _scalar(value, "text, a number, true or false")), _SCALAR_SCHEMA
]
Text = EnvValue


_SECTIONS = re.compile(
    "global|defaults|frontend|backend|listen|userlist|peers|resolvers|mailers|program|cache|ring|http-errors|"
    r"log-forward|log-profile|fcgi-app|crt-store|traces|acme|\.(if|elif|else|endif|notice|warning|alert|diag)"
)


def _edge_line(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 1000:
        raise should_be("one line of a HAProxy frontend")
    if not value.isprintable():
        raise should_be(
            "one line of a HAProxy frontend, without control characters", "write one list item for each line"
        )
    if _SECTIONS.fullmatch(value.split()[0]):
        raise refused(
            f'"{value.split()[0]}" would end the public frontend', "give only lines that belong in a frontend"
        )
    return value.strip()


EdgeLine = Annotated[str, BeforeValidator(_edge_line), WithJsonSchema({"type": "string", "minLength": 1})]

_CAPABILITIES = re.findall(
    r"\S+",
    """
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER
    FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE
    NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE
    SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
    """,
)


def _capability(value: object) -> str:
    name = value.upper().removeprefix("CAP_") if isinstance(value, str) and len(value) < 40 else ""
    if name in _CAPABILITIES:
        return name
    close = difflib.get_close_matches(name, _CAPABILITIES, n=1)
    raise should_be("a Linux capability such as NET_BIND_SERVICE", f"did you mean {close[0]}?" if close else "")


Capability = Annotated[
    str,
    BeforeValidator(_capability),
    WithJsonSchema({"type": "string", "pattern": "^(CAP_)?[A-Z_]+$", "examples": ["NET_BIND_SERVICE"]}),
]

# --- images ----------------------------------------------------------------------------------------------------------

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*(?::[0-9]{1,5})?"
_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REPOSITORY = rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*"
_TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = "sha256:[a-f0-9]{64}"
_IMAGE = re.compile(rf"({_REPOSITORY})(?::({_TAG}))?(?:@({_DIGEST}))?")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """The parts of ``repository[:tag][@sha256:…]``."""

    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}@{self.digest}" if self.digest else f"{self.repository}{tag}"


DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
"""Names of Docker Hub: the last is ECR's; images without a host come from there."""


LOCAL_REGISTRY = "localhost:5000"
"""Where every host of a fleet finds the registry that runs on it."""


def registry_host(image: str) -> str | None:
    """The registry's host, where an image names one; as Docker tells it from the first part of a repository."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else None


def parse_image(image: str) -> ImageReference:
    """Split a reference that was validated as `Image`; ``ValueError`` for any other."""
    found = _IMAGE.fullmatch(image) if len(image) <= 512 else None
    if found is None:
        raise ValueError(f"not an image reference: {image!r}")
    return ImageReference(found[1], found[2], found[3])


_DIGEST_WORDS = "sha256: and 64 lower-case hexadecimal digits"


def _digest_fix(text: str) -> str:
    if re.fullmatch(_DIGEST, text.lower()):
        return f"write {text.lower()}"
    found = re.fullmatch("sha256:([A-Fa-f0-9]*)", text[:200])
    if found:
        return f"it has {len(found[1])} digits"
    return f"write sha256:{text.lower()}" if re.fullmatch("[A-Fa-f0-9]{64}", text) else ""


def _image(value: object) -> str:
    allowed = "an image such as registry.example.com/acme/web@sha256:…"
    if isinstance(value, dict):
        value = _image_from_parts(cast("dict[object, object]", value))
    if not isinstance(value, str):
        raise should_be(allowed)
    try:
        return str(parse_image(value))
    except ValueError:
        pass
    found = re.search("@(.*)$", value)
    if found and not re.fullmatch(_DIGEST, found[1]):
        raise refused(f'the digest should be {_DIGEST_WORDS}, got "{found[1][:80]}"', _digest_fix(found[1]))
    if re.match("[a-z]+://", value):
        raise should_be(allowed, "leave the scheme out")
    if "${" in value:
        raise should_be(allowed, "references are for env and files; each stack names its own image")
    lower = value.lower()
    meant = f": {lower}" if _IMAGE.fullmatch(lower[:512]) else ""
    raise should_be(allowed, "" if value == lower else f"repositories are lowercase{meant}")


def _image_from_parts(parts: dict[object, object]) -> str:
    known = ("repository", "tag", "digest")
    for key in parts:
        if key not in known:
            close = nearest(str(key), known) if isinstance(key, str) else None
            hint = f'; did you mean "{close}"?' if close else ""
            raise refused(f"unknown key{hint}", "known keys: repository, tag, digest", at=str(key))
    if parts.get("repository") is None:
        raise refused("is missing", "write {repository: acme/web, digest: sha256:…}", at="repository")
    for key, pattern in zip(known, (_REPOSITORY, _TAG, _DIGEST), strict=True):
        part = parts.get(key)
        if part is not None and (not isinstance(part, str) or len(part) > 400 or not re.fullmatch(pattern, part)):
            allowed = {"repository": "a repository such as acme/web", "tag": "a tag such as 1.4.2"}
            got = f'"{part[:80]}"' if isinstance(part, str) else "something that is not text"
            fix = _digest_fix(part) if key == "digest" and isinstance(part, str) else ""
            raise refused(f"should be {allowed.get(key, _DIGEST_WORDS)}, got {got}", fix, at=key)
    tag = f":{parts['tag']}" if parts.get("tag") else ""
    digest = f"@{parts['digest']}" if parts.get("digest") else ""
    return f"{parts['repository']}{tag}{digest}"


Image = Annotated[
    str,
    BeforeValidator(_image),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_IMAGE.pattern}$"},
                {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "repository": {"type": "string", "pattern": f"^{_REPOSITORY}$"},
                        "tag": {"type": "string", "pattern": f"^{_TAG}$"},
                        "digest": {"type": "string", "pattern": f"^{_DIGEST}$"},
                    },
                },
            ]
        }
    ),
]

_registry, _registry_schema = _matching(_HOST, "a registry's host, such as registry.example.com", 253)
RegistryHost = Annotated[str, _registry, _registry_schema]

# --- routes ----------------------------------------------------------------------------------------------------------

_ROUTE_LABEL = rf"(?:{_LABEL}|\{{domain\}})"
_ROUTE_HOST = rf"(?:\*\.)?{_ROUTE_LABEL}(?:\.{_ROUTE_LABEL})*"
_ROUTE_PATH = "(?:/[A-Za-z0-9._~@:+-]+)*"


def _route(value: object) -> str:
    allowed = 'a route such as "{domain}", "www.{domain}" or "{domain}/app"'
    if not isinstance(value, str) or not value or len(value) > 400:
        # `[{domain}]` without quotes is a mapping in YAML.
        raise should_be(allowed, "put it in quotes" if isinstance(value, dict) else "")
    host, slash, path = value.partition("/")
    fix = ""
    if "://" in value:
        fix = "leave the scheme out: the edge speaks for both"
    elif "?" in value or "#" in value:
        fix = "a route is a host and a path; it cannot see a query or fragment"
    elif re.search(r":[0-9]*$", host):
        fix = "leave the port out: the edge's own ports are set by quayside:edge"
    elif not host:
        fix = f"a host comes first: {{domain}}{value}" if re.fullmatch(_ROUTE_PATH, value) else "a host comes first"
    elif value.endswith("/") and re.fullmatch(_ROUTE_HOST + _ROUTE_PATH, value.rstrip("/")):
        fix = f"write {value.rstrip('/')}; it matches everything below it"
    elif "*" in path:
        fix = "a path matches everything below it already; leave the * out"
    elif "*" in host:
        fix = "a * stands for the first label only: *.{domain}"
    elif any(part in {".", ".."} for part in path.split("/")):
        fix = "browsers resolve . and .. before they ask"
    elif host != host.lower() and re.fullmatch(_ROUTE_HOST, host.lower()):
        fix = f"hosts are lowercase: {host.lower()}{slash}{path}"
    well_formed = re.fullmatch(_ROUTE_HOST + _ROUTE_PATH, value) and value.count("{domain}") <= 1
    if not well_formed or any(part in {".", ".."} for part in path.split("/")):
        raise should_be(allowed, fix)
    if len(path) > 120 or len(host) > 253:
        raise should_be("a route with a host of at most 253 and a path of at most 120 characters")
    return value


RoutePattern = Annotated[
    str,
    BeforeValidator(_route),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_ROUTE_HOST}{_ROUTE_PATH}$", "examples": ["{domain}", "{domain}/app"]}
    ),
]
"""``host[/path]``; the path matches itself and everything below it."""


def _distinct(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((item for number, item in enumerate(value) if item in value[:number]), None)
    if twice is not None:
        raise refused(f'names "{twice}" twice', "leave one of them out")
    return value


Distinct = AfterValidator(_distinct)
"""For lists in which nothing may be named twice."""
