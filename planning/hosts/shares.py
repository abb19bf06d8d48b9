"""How much of a service's requests each of its slots and hosts gets: a droplet by its vCPU, a canary by its share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
        parts += [Part(slot, places[slot], each or Fraction(1)) for slot in canaries]
    traffic = {part.host: fleet.hosts[part.host].traffic for part in parts}
    if not any(traffic.values()):
        # Traffic is turned away from every host it is on, but others may still use it, the database above all.
        traffic = dict.fromkeys(traffic, 1)
    for part in parts:
        yield Part(part.slot, part.host, part.weight * traffic[part.host])


def whole(parts: Sequence[Part]) -> Mapping[str, int]:
    """Whole weights that come closest: of a slot at least 1 unless its host gets nothing, of a host at most 256."""
    sums: dict[str, Fraction] = {}
    for part in parts:
        sums[part.host] = sums.get(part.host, Fraction()) + part.weight
    most = max(sums.values(), default=Fraction())
    if not most:
        return {}
    total = sum(sums.values())

    def rounded(scale: Fraction) -> Mapping[str, int]:
        return {part.slot: max(1, round(part.weight * scale)) if part.weight else 0 for part in parts}

    def error(weights: Mapping[str, int]) -> Fraction:
        given = sum(weights.values())
        return max(abs(Fraction(weights[part.slot], given) - part.weight / total) for part in parts)

    best: Mapping[str, int] = {}
    # Downwards, so that of equals the largest wins: HAProxy skips turns with small weights.
    for largest in range(MAX_WEIGHT, MAX_WEIGHT // 4, -1):
        tried = rounded(largest / most)
        heaviest = max(sum(tried[part.slot] for part in parts if part.host == host) for host in sums)
        if heaviest <= MAX_WEIGHT and (not best or error(tried) < error(best)):
            best = tried
            if not error(best):
                break
    return best or {part.slot: 1 if part.weight else 0 for part in parts}


def shares(parts: Iterable[Part], weights: Mapping[str, int]) -> Mapping[str, int]:
    shares: dict[str, int] = {}
    for part in parts:
        shares[part.host] = shares.get(part.host, 0) + weights[part.slot]
    return shares
