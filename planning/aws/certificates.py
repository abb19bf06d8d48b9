"""The ACM certificates that a balancer's hosts need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planning.aws.model import Certificate

LONGEST = 64
"""Characters of a certificate's first name (ACM: RequestCertificate)."""


def certificates(hosts: Iterable[str], domain: str) -> Sequence[Certificate]:
    """The stack domain's own first, for the domain and its direct children; then one for every other host.

    A host and its wildcard (`x`, `*.x`) are validated by the same record, so they share a certificate.
    """
    others: dict[str, list[str]] = {}
    covered = False
    for host in sorted(set(hosts)):
        if host == domain or host.partition(".")[2] == domain:
            covered = True
        else:
            others.setdefault(host.removeprefix("*."), []).append(host)
    found = [_certificate(domain, [domain, f"*.{domain}"])] if covered else []
    return [*found, *(_certificate(base, sorted(names, key=len)) for base, names in sorted(others.items()))]


def _certificate(base: str, names: Sequence[str]) -> Certificate:
    return Certificate(name=f"certificate-{base}", domain=names[0], alternatives=tuple(names[1:]))
