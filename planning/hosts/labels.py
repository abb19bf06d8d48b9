"""What edges call each other's replicas: the first label of the name in TLS, and the backend that answers to it.

The name is ``<label>.<host>.quayside``, so a certificate for ``*.<host>.quayside`` proves the host and covers them all.
Names of services begin with a letter, so a label that begins with a digit is never one of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planning.plan import ServicePlan, Slot

DOMAIN = "quayside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One thing that can be asked of a gateway."""

    name: str
    slots: Sequence[Slot]
    """Local replicas that answer: all of the service's here, or one."""


def labels(service: ServicePlan, host: str, slots: Sequence[Slot]) -> Sequence[Label]:
    """How other edges address a service's ``slots`` on ``host``.

    A service without sessions has one label: the receiving edge knows its replicas' health and weights better and
    sooner than any other, and each sender has one server to check instead of one a replica. A sticky service has a
    label for each slot, so the cookie that the first edge set is all there is to stickiness: whichever edge a visitor
    reaches next finds the same replica, and gateways need not read cookies.
    """
    if not slots:
        return ()
    if service.settings.sticky is None:
        return (Label(name=service.name, slots=slots),)
    return [Label(name=slot_label(slot.name, host), slots=(slot,)) for slot in slots]


def slot_label(slot: str, host: str) -> str:
    """``web-1`` → ``0-web-1``, and ``web_1_droplet`` on that droplet → ``0-web--1``: no slot of a service ends so."""
    return "0-" + slot.removesuffix(f"_{host}").replace("_", "--")


def probe(service: str) -> str:
    """Asks by HTTP whether a TCP service has a replica here: a connection alone would only prove the gateway."""
    return f"1-{service}"


def name(label: str, host: str) -> str:
    return f"{label}.{host}.{DOMAIN}"
