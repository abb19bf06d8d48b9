"""The table of a fleet: what runs on every host, and what its owner should know of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID
from rich.console import Console
from rich.table import Table

from planning.hosts.gateway import FILES
from planning.hosts.slots import service_of
from quayside import host_state, status
from quayside.containers import Container, ask_edge, of_stack, parse_stat, parse_state
from quayside.fleet import Fleet, Host, Reached, side_by_side, tunnels
from quayside.shell import CommandError, run
from settings.units import GIB, MIB

MESH_DAYS = 90
"""Edges' own certificates are renewed a year before they end by any `up`; one so near its end has seen none."""
VISITORS_DAYS = 30
"""The visitors' certificate is somebody's to renew by hand."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_CONFIGURED = (
    # Only what is public leaves the host, and only of files that the running configuration names.
    f"for f in $(grep -o '{FILES}/[^ ]*[.]pem' /var/lib/haproxy/haproxy.cfg | sort -u); do "
    'echo "file ${f##*/}"; sed -n "/BEGIN CERTIFICATE/,/END CERTIFICATE/p" "$f"; done'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service on one host."""

    host: str
    service: str
    healthy: int
    declared: int
    restarts: int
    memory: int
    """Bytes a replica; 0 is no limit."""
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one host said."""

    rows: Sequence[Row]
    trouble: Sequence[str]
    unseen: Sequence[tuple[str, str]]
    """(service, other host) that this host's edge finds down."""
    free: int = 0
    """Bytes of disk for Docker; 0 where nobody knows."""
    size: int = 0


def show(fleet: Fleet, console: Console) -> None:
    """Ask every host at once, and print the table. A host that does not answer is a line of it."""
    answers, unreachable = gather(fleet, lambda reached: _ask(fleet, reached))
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("host", "service", "healthy", "restarts", "memory", "image"):
        table.add_column(column, no_wrap=column != "image", overflow="fold")
    for name, host in fleet.hosts.items():
        answer = answers.get(name)
        if answer is None:
            table.add_row(name, "–", "down" if host.down else "[red]unreachable[/red]", "", "", "")
            continue
        for row in answer.rows:
            colour = "green" if row.healthy == row.declared else "red"
            memory = f"{row.memory // MIB} MiB" if row.memory else "no limit"
            health = f"[{colour}]{row.healthy}/{row.declared}[/{colour}]"
            table.add_row(row.host, row.service, health, str(row.restarts), memory, short(row.image))
        if not answer.rows:
            table.add_row(name, "–", "", "", "", "")
    console.print(table)
    for url in fleet.urls:
        console.print(f"  {url}", markup=False, highlight=False)
    for name, one in answers.items():
        if one.size:
            told = f"{name}: {one.free / GIB:.1f} of {one.size / GIB:.1f} GiB of disk free"
            console.print(f"  {told}", markup=False, highlight=False)
    lines = [f"{name}: {said}" for name, said in unreachable.items() if not fleet.hosts[name].down]
    lines += [f"{name}: {said}" for name, answer in answers.items() for said in answer.trouble]
    for line in [*lines, *_not_seen(answers)]:
        console.print(f"  {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def gather(fleet: Fleet, ask: Callable[[Reached], Answer]) -> tuple[Mapping[str, Answer], Mapping[str, str]]:
    """What every host says, and why some say nothing. One that is dead costs its own ten seconds and delays no other:
    each is connected to and asked by itself."""
    with tunnels(fleet) as opened:

        def one(name: str) -> tuple[Sequence[Answer], Mapping[str, str]]:
            reached, trouble = opened.reach([name])
            return [ask(each) for each in reached], trouble

        names = list(fleet.hosts)
        told = dict(zip(names, side_by_side(one, names), strict=True))
    answers = {name: answer for name, (found, _) in told.items() for answer in found}
    return answers, {name: why for _, trouble in told.values() for name, why in trouble.items()}


def short(image: str) -> str:
    """An image with as much of its digest as tells two apart."""
    name, at, digest = image.partition("@sha256:")
    return f"{name}{at}{digest[:12]}"


def _ask(fleet: Fleet, reached: Reached) -> Answer:
    try:
        containers = of_stack(fleet.stack, reached.docker)
    except CommandError as error:
        return Answer(rows=[], trouble=[reached.tunnel.trouble() or str(error)], unseen=[])
    edge = next((container for container in containers if container.role == "edge"), None)
    stat, state = ask_edge(edge, reached.docker)
    status_of = parse_stat(stat)
    trouble: list[str] = []
    if edge is not None and edge.running and not stat:
        trouble.append("its edge does not answer, so nobody reaches what runs there")
    pems = run([*reached.docker, "exec", edge.id, "sh", "-c", _CONFIGURED], timeout=15).stdout if edge and stat else ""
    system = host_state.ask(fleet, reached.host)
    said = answer(
        reached.host,
        containers,
        parse_state(state, status_of),
        [*trouble, *system.trouble, *ending(pems, datetime.now(UTC))],
        list(unseen(status_of, fleet.hosts)),
    )
    return replace(said, free=system.free, size=system.size)


def answer(
    host: Host,
    containers: Sequence[Container],
    servers: Mapping[str, Mapping[str, str]],
    trouble: Sequence[str],
    found_down: Sequence[tuple[str, str]],
) -> Answer:
    """What one host's containers come to, beside what the plan has there."""
    rows: list[Row] = []
    said: list[str] = list(trouble)
    found = {container.slot for container in containers}
    planned: dict[str, int] = defaultdict(int)
    for slot in host.slots:
        if slot not in found:
            planned[service_of(slot)] += 1
            said.append(f"{slot} should run here, and is not there; the next `up` makes it")
    if not any(container.role == "edge" for container in containers):
        said.append("it has no edge; the next `up` makes one")
    for row in status.rows(containers, servers):
        members = [container for container in containers if container.service == row.service]
        said += row.trouble
        rows.append(
            Row(
                host=host.name,
                service=row.service,
                healthy=row.healthy,
                declared=row.declared + planned.pop(row.service, 0),
                restarts=sum(container.restarts for container in members),
                memory=row.memory,
                image=row.image,
            )
        )
    rows += [
        Row(host=host.name, service=service, healthy=0, declared=count, restarts=0, memory=0, image="–")
        for service, count in planned.items()
    ]
    return Answer(rows=rows, trouble=said, unseen=found_down)


def unseen(stat: Mapping[tuple[str, str], str], hosts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Services on other hosts that this edge's checks do not reach."""
    known = set(hosts)
    for (backend, server), said in sorted(stat.items()):
        _, dot, other = server.rpartition(".")
        if dot and other in known and backend.startswith("svc_") and said.startswith("DOWN"):
            yield backend.removeprefix("svc_"), other


def _not_seen(answers: Mapping[str, Answer]) -> Iterator[str]:
    senders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, found in answers.items():
        for pair in dict.fromkeys(found.unseen):
            senders[pair].append(name)
    for (service, host), who in sorted(senders.items()):
        yield f"{host}: {service} there is down for the {'edge' if len(who) == 1 else 'edges'} of {', '.join(who)}"


# --- certificates ----------------------------------------------------------------------------------------------------


def ending(text: str, now: datetime) -> Iterator[str]:
    """What to say of certificates that end soon, of an edge's files with their names."""
    leaves: list[tuple[str, x509.Certificate]] = []
    authorities: dict[bytes, x509.Certificate] = {}
    for part in text.split("file ")[1:]:
        file, _, body = part.partition("\n")
        found = [x509.load_pem_x509_certificate(pem.encode()) for pem in _PEM.findall(body)]
        if file.startswith("ca_"):
            authorities |= {one.subject.public_bytes(): one for one in found}
        elif found:
            leaves.append((file, found[0]))
    for file, leaf in leaves:
        if file.startswith("site_"):
            yield from _soon(
                "the visitors' certificate",
                leaf,
                VISITORS_DAYS,
                now,
                "`up` renews one that it has issued; else give a new one",
            )
            continue
        yield from _soon("the certificate of its edge", leaf, MESH_DAYS, now, "any `up` renews it")
        signer = authorities.get(leaf.issuer.public_bytes())
        if signer is not None:
            names = signer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            what = f"the authority {names[0].value if names else ''} of its edge"
            yield from _soon(what, signer, MESH_DAYS, now, "any `up` changes to the next")


def _soon(what: str, certificate: x509.Certificate, days: int, now: datetime, fix: str) -> Iterator[str]:
    end = certificate.not_valid_after_utc
    left = (end - now).days
    if end <= now:
        yield f"{what} ended on {end:%Y-%m-%d}: {fix}"
    elif left < days:
        yield f"{what} ends on {end:%Y-%m-%d}, in {left} days: {fix}"
