"""What a burst lays over the configuration of a permanent host's edge, so that the rest never speaks of a burst.

A permanent host is configured by the plan of the fleet without its burst hosts (``without_burst``): its text is the
same with any number of them, knows none of their addresses, and is released without waiting for any (decisions.md 19).
Everything that is there because they are is an overlay of that text. The edge keeps the two apart and serves them as
one (``compose`` in edge_common.sh): a release carries on what stands of a burst, and a burst touches no release.

An overlay has the sections that it adds to, and in them

- lines that are added: servers on burst hosts, and whom of those the gateway lets in;
- ``weight SERVER WEIGHT``: what a server counts beside them. One that the configuration has no more is passed over.

``@mesh@`` stands for the certificates of the host, which a release may renew. Lines that begin with ``#:`` are for the
scripts, as in ``planning/hosts/edge.py``:

- ``#: host HOST`` whose it is; an overlay of nothing has no other line;
- ``#: burst DIGEST`` becomes part of what the edge answers as its digest;
- ``#: drain BACKEND/SERVER SECONDS`` how long requests to a burst host have when it goes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from planning.hosts.edge import HostConfig, render_host
from planning.hosts.gateway import Mesh
from planning.hosts.model import Fleet
from planning.hosts.plan import FleetPlan

_MESH = Mesh(authorities="authorities", certificate="certificate")
_UNKNOWN = "-"
_WEIGHT = re.compile(r" weight (\d+)")
_SECTION = ("frontend ", "backend ")


def without_burst(fleet: Fleet) -> Fleet:
    """The fleet as it is before and after every burst."""
    hosts = {host.name: host for host in fleet.permanent}
    groups = {name: tuple(one for one in members if one in hosts) for name, members in fleet.groups.items()}
    return replace(fleet, hosts=hosts, groups=groups)


def overlay(whole: FleetPlan, permanent: FleetPlan, host: str, addresses: Mapping[str, str]) -> str:
    """What ``whole`` has on a permanent ``host`` and ``permanent`` has not; ``addresses`` are those of burst hosts."""
    known = {**dict.fromkeys(whole.hosts, _UNKNOWN), **addresses}
    before, after = (_sections(_rendered(plan, host, known)) for plan in (permanent, whole))
    lines = [line for name, found in after.items() for line in _added(name, before.get(name), found)]
    head = f"#: host {host}\n"
    if not lines:
        return head
    drains = [
        f"#: drain {name.partition(' ')[2]}/{server} {_drain(whole, name)}"
        for name, found in after.items()
        if name.startswith("backend svc_")
        for server in _servers(found)
        if server not in _servers(before.get(name, ()))
    ]
    body = "\n".join([*drains, *lines, ""])
    return f"{head}#: burst {hashlib.sha256(body.encode()).hexdigest()[:16]}\n{body}"


def _rendered(plan: FleetPlan, host: str, addresses: Mapping[str, str]) -> str:
    # Containers change with every release, and nothing of an overlay is on this host.
    here = plan.hosts[host].services.values()
    containers = {slot.name: _UNKNOWN for service in here for slot in service.slots}
    return render_host(plan, host, HostConfig(), containers, {}, addresses, _MESH)


def _sections(text: str) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            lines = found.setdefault(line, []) if line.startswith(_SECTION) else []
        elif line.strip() and not line.strip().startswith("#"):
            lines.append(line)
    found.pop("frontend digest")
    return found


def _added(name: str, before: Sequence[str] | None, after: Sequence[str]) -> Iterator[str]:
    """Lines of one section, with its name before them."""
    if before is not None:
        lines = list(_more(before, after))
    elif name.startswith("backend up_"):
        lines = list(after)
    else:
        raise ValueError(f"{name} is there because of a burst, and would need containers of its own host")
    if lines:
        yield name
        yield from (line.replace(_MESH.options, "@mesh@") for line in lines)


def _more(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    servers, settings, default = _servers(before), "", ""
    for line in after:
        server = _server(line)
        if server is None:
            default = line if line.startswith("    default-server ") else default
            if line not in before and line != default:
                yield line
        elif server not in servers:
            if settings != default:
                # Said again, so that these servers are reached by TLS whatever else the section has by then.
                settings = default
                yield default
            yield line
        elif (weight := _weight(line)) is not None and weight != _weight(servers[server]):
            yield f"    weight {server} {weight}"


def _servers(lines: Iterable[str]) -> Mapping[str, str]:
    return {server: line for line in lines if (server := _server(line)) is not None}


def _server(line: str) -> str | None:
    words = line.split()
    return words[1] if words[:1] == ["server"] else None


def _weight(line: str) -> str | None:
    found = _WEIGHT.search(line)
    return found[1] if found is not None else None


def _drain(plan: FleetPlan, name: str) -> int:
    return plan.services[name.removeprefix("backend svc_")].settings.drain
