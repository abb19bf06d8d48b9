"""The host's own packet filter, as a shell script that can run any number of times.

Docker publishes ports by rewriting addresses before a host's input rules are asked, so there are two chains: one that
INPUT begins with, for the host itself, and one that DOCKER-USER begins with, for what goes to containers. Both are
replaced in one transaction, so there is no moment without them, and both end with DROP.

What a burst adds is not in it: addresses of burst hosts that may reach the edge are in files of their own (``opened``),
which the script reads, so that a burst does not touch the host's preparation, nor this what a burst opened.

IPv6 is closed but for SSH of admins and what IPv6 cannot do without: Docker 20.10 has no rules of its own for it, and
its proxy would listen there all the same (decisions.md 18).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from planning.hosts.hostfiles import FIREWALL
from planning.hosts.model import FleetSecurity
from planning.hosts.security import MESH_PORT, Addresses, Admitted, admitted

INPUT = "QUAYSIDE-INPUT"
CONTAINERS = "QUAYSIDE-DOCKER"
OUTPUT = "QUAYSIDE-OUTPUT"
METADATA = "169.254.169.254"
"""Where Hetzner and DigitalOcean hand out user data and more; EC2 its role's keys, there by IPv6 as well."""
METADATA6 = "fd00:ec2::254"
NO_METADATA = 61691
"""Group of processes that share the host's network and are not the host's own: their containers are given it. The
host's root, cloud-init and its like, keeps the way there, which it needs at every boot."""


OPENED = "/etc/quayside/opened"
"""The folder of files with an address a line: who reaches the edge beside the plan."""


def opened(addresses: Sequence[str], machine: str) -> tuple[str, str]:
    """Scripts for a host's root that let addresses reach its edge, and that take it back.

    Each has a file of its own by what is in it, so that one who comes is let in beside one who has not left yet.
    ``machine`` is told apart as well: taken back on a machine that is no more, it would be on its successor.
    """
    text = "\n".join(sorted(addresses))
    file = f"{OPENED}/{hashlib.sha256(f'{machine} {text}'.encode()).hexdigest()[:16]}"
    put = f"mkdir -p {OPENED}\ncat >{file}.new <<'END'\n{text}\nEND\nmv {file}.new {file}\n"
    return f"set -eu\n{put}{FIREWALL}\n", f"set -eu\nrm -f {file}\n{FIREWALL}\n"


def host_filter(plan: FleetSecurity, host: str, addresses: Addresses) -> str:
    """The script for one host."""
    rules = admitted(plan, host, addresses)
    heads = [f":{chain} - [0:0]" for chain in (INPUT, OUTPUT, CONTAINERS)]
    four = "\n".join(["*filter", *heads, *_four(rules), *_out(METADATA), "COMMIT"])
    six = "\n".join(["*filter", *heads, *_six(rules), *_out(METADATA6), "COMMIT"])
    chains = {"input": INPUT, "output": OUTPUT, "containers": CONTAINERS}
    return _SCRIPT.format(host=host, four=four, six=six, opened=OPENED, **chains)


def _four(rules: Sequence[Admitted]) -> Iterator[str]:
    yield f"-A {INPUT} -i lo -j ACCEPT"
    yield f"-A {INPUT} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    for one, source in _pairs(rules, 4):
        ports = "" if one.protocol == "icmp" else f" --dport {_colon(one)}"
        yield f"-A {INPUT}{_from(source)} -p {one.protocol}{ports} -j ACCEPT"
    yield f'$(opened "-A {INPUT}" "-p tcp --dport {MESH_PORT} -j ACCEPT" "-p icmp -j ACCEPT")'
    yield f"-A {INPUT} -j DROP"
    yield f"-A {CONTAINERS} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    yield f"-A {CONTAINERS} -d {METADATA} -j DROP"
    # The port that was asked for, before Docker rewrote it; and only what Docker did rewrite.
    for one, source in _pairs(rules, 4):
        if one.protocol in {"tcp", "udp"} and one.first != 22:
            match = f"-p {one.protocol} -m conntrack --ctstate DNAT --ctorigdstport {_colon(one)}"
            yield f"-A {CONTAINERS}{_from(source)} {match} -j RETURN"
    dnat = f"-p tcp -m conntrack --ctstate DNAT --ctorigdstport {MESH_PORT} -j RETURN"
    yield f'$(opened "-A {CONTAINERS}" "{dnat}")'
    # Also what a container of this host sends to a published port: Docker 29 rewrites that as well, where it came to
    # INPUT before.
    yield f"-A {CONTAINERS} -m conntrack --ctstate DNAT -j DROP"
    # What containers send, to wherever else: by the bridge that it comes from, since an address can be made up.
    yield f"-A {CONTAINERS} -i br-+ -j RETURN"
    yield f"-A {CONTAINERS} -i docker0 -j RETURN"
    yield f"-A {CONTAINERS} -j DROP"


def _six(rules: Sequence[Admitted]) -> Iterator[str]:
    yield f"-A {INPUT} -i lo -j ACCEPT"
    yield f"-A {INPUT} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    # Neighbours, routers and path MTU: without these there is no IPv6 at all.
    yield f"-A {INPUT} -p ipv6-icmp -j ACCEPT"
    for one, source in _pairs(rules, 6):
        if one.protocol in {"tcp", "udp"}:
            yield f"-A {INPUT}{_from(source)} -p {one.protocol} --dport {_colon(one)} -j ACCEPT"
    yield f"-A {INPUT} -j DROP"
    yield f"-A {CONTAINERS} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    yield f"-A {CONTAINERS} -i br-+ -j RETURN"
    yield f"-A {CONTAINERS} -i docker0 -j RETURN"
    yield f"-A {CONTAINERS} -j DROP"


def _out(metadata: str) -> Iterator[str]:
    # What shares the host's network gets there neither as somebody else than root, nor as a container's root.
    yield f"-A {OUTPUT} -d {metadata} -m owner ! --uid-owner 0 -j REJECT"
    yield f"-A {OUTPUT} -d {metadata} -m owner --gid-owner {NO_METADATA} --suppl-groups -j REJECT"


def _pairs(rules: Sequence[Admitted], version: int) -> Iterator[tuple[Admitted, str]]:
    for one in rules:
        for source in one.sources:
            if (":" in source) == (version == 6):
                yield one, source


def _from(source: str) -> str:
    return "" if source in {"0.0.0.0/0", "::/0"} else f" -s {source}"


def _colon(one: Admitted) -> str:
    return one.ports.replace("-", ":")


_SCRIPT = """\
#!/bin/sh
# The packet filter of {host}, made by quayside from its plan of who reaches whom. Changes here do not last.
set -eu

# $1 iptables or ip6tables, $2 a chain of the system's, $3 ours, which it shall begin with.
first() {{
    [ "$("$1" -w 10 -S "$2" 1 2>/dev/null)" = "-A $2 -j $3" ] || "$1" -w 10 -I "$2" 1 -j "$3"
}}

# $1 iptables or ip6tables; the rules come by stdin and are changed all at once.
filter() {{
    # Docker makes this chain, too, but only when it starts, and keeps what is in it.
    "$1" -w 10 -N DOCKER-USER 2>/dev/null || true
    "$1-restore" -w 10 --noflush
    first "$1" INPUT {input}
    first "$1" OUTPUT {output}
    first "$1" DOCKER-USER {containers}
    # Docker 20.10 leads no IPv6 there; with none it is a jump more, which changes nothing.
    "$1" -w 10 -C FORWARD -j DOCKER-USER 2>/dev/null || "$1" -w 10 -I FORWARD 1 -j DOCKER-USER
}}

# Burst hosts, which come and go by files of their own. $1 and the address and each of the rest is a rule.
opened() {{
    chain=$1
    shift
    for file in {opened}/*; do
        case $file in *.new | *\\*) continue ;; esac
        while read -r address; do
            case $address in "" | *[!0-9.]*) continue ;; esac
            for what in "$@"; do echo "$chain -s $address/32 $what"; done
        done <"$file"
    done | sort -u
}}

filter iptables <<RULES
{four}
RULES

if [ -e /proc/net/if_inet6 ]; then
    filter ip6tables <<'RULES'
{six}
RULES
fi
"""
