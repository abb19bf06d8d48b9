"""How much of a service's requests each of its slots and hosts gets: a droplet by its vCPU, a canary by its share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from planning.hosts.model import Fleet
from planning.hosts.slots import canary_slots, replica_slots, service_of, thousandths
from planning.placement import replica_count
from planning.weights import MAX_WEIGHT
from settings.service import Service


@dataclass(frozen=True, slots=True)
class Part:
    """A slot's part of its service's requests, before it is a whole number."""

    slot: str
    host: str
    weight: Fraction
    canary: bool = False


def density(name: str, service: Service, places: Mapping[str, str], fleet: Fleet) -> Fraction:
    """A service's replicas for each thousandth of a vCPU of the hosts that they are on."""
    hosts = {places[slot] for slot in replica_slots(name, service) if slot in places}
    return (
        Fraction(replica_count(service), sum(thousandths(fleet.hosts[host].cpu) for host in hosts))
        if hosts
        else Fraction()
    )


def parts_of(
    name: str, service: Service, places: Mapping[str, str], fleet: Fleet, own: Mapping[str, str]
) -> Iterator[Part]:
    """Parts in units of a replica: a droplet counts by its vCPU, canaries as their share of the whole says."""
    replicas = [slot for slot in replica_slots(name, service) if slot in places]
    canaries = [slot for slot in canary_slots(name, service) if slot in places]
    dense = density(name, service, own, fleet)
    rented: dict[str, list[str]] = {}
    for slot, host in places.items():
        if "_" in slot and service_of(slot) == name:
            rented.setdefault(host, []).append(slot)
    parts = [Part(slot, places[slot], Fraction(1)) for slot in replicas]
    for host, slots in rented.items():
        each = dense * thousandths(fleet.hosts[host].cpu) / len(slots)
        parts += [Part(slot, host, each) for slot in slots]
    if service.canary is not None and canaries:
        others = sum((part.weight for part in parts), Fraction())
        each = others * service.canary.share / (100 - service.canary.share) / len(canaries)
        parts += [Part(slot, places[slot], each or Fraction(1), canary=True) for slot in canaries]
    traffic = {part.host: fleet.hosts[part.host].traffic for part in parts}
    if not any(traffic.values()):
        # Traffic is turned away from every host it is on, but others may still use it, the database above all.
        traffic = dict.fromkeys(traffic, 1)
    for part in parts:
        yield replace(part, weight=part.weight * traffic[part.host])


_EXACT = Fraction(1, 200)
"""How far a canary's share may be off."""


def whole(parts: Sequence[Part]) -> Mapping[str, int]:
    """Whole weights that come closest: of a slot at least 1 unless its host gets nothing, of a host at most 256.

    Where these bounds would leave a canary far too little, as one at 99 % beside many replicas on other hosts, some of
    the replicas get nothing new, spread over their hosts.
    """
    weights = _closest(parts, lambda scale: _each(parts, scale), lambda weights: _largest_error(parts, weights))
    if weights and _missed(parts, weights) > _EXACT:
        weights = _closest(parts, lambda scale: _some(parts, scale), lambda weights: _missed(parts, weights))
    return weights or {part.slot: 1 if part.weight else 0 for part in parts}


def _closest(
    parts: Sequence[Part],
    rounded: Callable[[Fraction], Mapping[str, int]],
    error: Callable[[Mapping[str, int]], Fraction],
) -> Mapping[str, int]:
    """Of all sums that the heaviest host may have, the one with the smallest error; nothing where no host fits."""
    most = Fraction(max(_sums(parts, {part.slot: part.weight for part in parts}).values(), default=0))
    best: Mapping[str, int] = {}
    smallest: Fraction | None = None
    # Downwards, so that of equals the largest wins: HAProxy skips turns with small weights.
    for largest in range(MAX_WEIGHT, MAX_WEIGHT // 4, -1):
        if not most or smallest == 0:
            break
        tried = rounded(largest / most)
        if max(_sums(parts, tried).values()) <= MAX_WEIGHT and (smallest is None or error(tried) < smallest):
            best, smallest = tried, error(tried)
    return best


def _each(parts: Sequence[Part], scale: Fraction) -> Mapping[str, int]:
    return {part.slot: max(1, round(part.weight * scale)) if part.weight else 0 for part in parts}


def _some(parts: Sequence[Part], scale: Fraction) -> Mapping[str, int]:
    """Of slots with less than 1, as many get 1 as all of them together have, from each host in turn."""
    weights = dict(_each(parts, scale))
    small = [part for part in parts if not part.canary and 0 < part.weight * scale < 1]
    turns = {part.slot: sum(other.host == part.host for other in small[:at]) for at, part in enumerate(small)}
    small.sort(key=lambda part: turns[part.slot])
    count = max(1, round(sum((part.weight for part in small), Fraction()) * scale))
    weights.update((part.slot, int(at < count)) for at, part in enumerate(small))
    return weights


def _sums(parts: Iterable[Part], weights: Mapping[str, Fraction] | Mapping[str, int]) -> Mapping[str, Fraction | int]:
    sums: dict[str, Fraction | int] = {}
    for part in parts:
        sums[part.host] = sums.get(part.host, 0) + weights[part.slot]
    return sums


def _largest_error(parts: Iterable[Part], weights: Mapping[str, int]) -> Fraction:
    total, given = sum(part.weight for part in parts), sum(weights.values())
    return max(abs(Fraction(weights[part.slot], given) - part.weight / total) for part in parts)


def _missed(parts: Iterable[Part], weights: Mapping[str, int]) -> Fraction:
    """By how much the share of all canaries together is off."""
    canaries = [part for part in parts if part.canary]
    wanted = Fraction(sum(part.weight for part in canaries), sum(part.weight for part in parts))
    return abs(Fraction(sum(weights[part.slot] for part in canaries), sum(weights.values())) - wanted)


def shares(parts: Iterable[Part], weights: Mapping[str, int]) -> Mapping[str, int]:
    shares: dict[str, int] = {}
    for part in parts:
        shares[part.host] = shares.get(part.host, 0) + weights[part.slot]
    return shares
