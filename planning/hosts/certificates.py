"""Which certificates a fleet's edges need (decisions.md 17), as values: components make them.

Authorities take turns by the calendar, since a plan has no memory. In each term one signs; the one before it is still
trusted, since hosts get their new certificates one after another; and the next is trusted already, so that it is known
on every host years before the first certificate that it signs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from planning.hosts.labels import DOMAIN
from planning.names import Naming, fitting

_DAY = 24
AUTHORITY_HOURS = 3652 * _DAY
LEAF_HOURS = 730 * _DAY
LEAF_RENEW_HOURS = LEAF_HOURS // 2
"""How long before its end a certificate is renewed, by whichever `up` comes first."""

TERM_YEARS = 3
"""An authority is made a term before its own and trusted for one after it, which is nine years of its ten."""
_FIRST_YEAR = 2024


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A certificate that signs itself, valid for `AUTHORITY_HOURS`; never renewed, its successor takes over."""

    name: str
    common_name: str
    organization: str
    uses: Sequence[str] = ("cert_signing", "crl_signing", "digital_signature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A host's certificate, to show as server and as client, valid for `LEAF_HOURS`."""

    name: str
    host: str
    common_name: str
    """What a gateway knows a sender by."""
    dns_names: Sequence[str]
    """What a sender knows a gateway by."""
    authority: str
    """Name of the authority that signs it. Another one replaces the certificate."""
    uses: Sequence[str] = ("digital_signature", "server_auth", "client_auth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    authorities: Sequence[Authority]
    """Everyone who is trusted: the last term's, this one's and the next's."""
    leaves: Sequence[Leaf]
    """One a host, in the hosts' order."""


def certificates(naming: Naming, hosts: Iterable[str], today: date) -> Certificates:
    term = (today.year - _FIRST_YEAR) // TERM_YEARS
    return Certificates(
        authorities=[
            # A subject's parts have room for 64 characters each.
            Authority(
                name=_authority(number), common_name=f"quayside {_year(number)}", organization=fitting(naming.key, 64)
            )
            for number in (term - 1, term, term + 1)
        ],
        leaves=[
            Leaf(
                name=f"mesh-{host}",
                host=host,
                common_name=host,
                dns_names=(f"*.{host}.{DOMAIN}",),
                authority=_authority(term),
            )
            for host in hosts
        ],
    )


def _authority(term: int) -> str:
    return f"mesh-ca_{_year(term)}"


def _year(term: int) -> int:
    return _FIRST_YEAR + term * TERM_YEARS


def bundle(pems: Iterable[str]) -> str:
    """The file of all trusted authorities."""
    return "".join(f"{pem.strip()}\n" for pem in sorted(pems))


def file_name(kind: str, certificate: str) -> str:
    """A file's name, by the fingerprint of what is public in it: a name made of a key would make it a secret, too.

    Kinds are `ca`, `site` and `host_NAME`, since a host may be called `ca`.
    """
    return f"{kind}_{hashlib.sha256(certificate.encode()).hexdigest()[:16]}.pem"
