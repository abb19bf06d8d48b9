"""The door that a host's edge has for other edges: mutual TLS, and only what the plan lets through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from planning import haproxy
from planning.hosts.labels import Label, labels, probe
from planning.hosts.plan import MESH_PORT, FleetPlan
from planning.plan import ServicePlan

FILES = "/var/lib/haproxy/mesh"
"""The folder of certificates and keys in the edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Names of one host's files in `FILES`, each with its fingerprint: another content is another name."""

    authorities: str
    """Certificates of every authority that is trusted."""
    certificate: str
    """The host's certificate, with its key."""

    @property
    def options(self) -> str:
        """What both ends of a connection say. Both are ours, so nothing older than TLS 1.3 is spoken."""
        files = f"crt {FILES}/{self.certificate} ca-file {FILES}/{self.authorities}"
        return f"ssl {files} verify required ssl-min-ver TLSv1.3"


def probed(service: ServicePlan) -> bool:
    """Whether its replicas' health needs asking for: a stateful service is held on to, and HTTP answers for itself."""
    return service.settings.protocol == "tcp" and not service.stateful


def gateway(plan: FleetPlan, host: str, containers: Mapping[str, str], mesh: Mesh) -> Iterable[str]:
    """Sends to replicas of this host alone, so no request can go in circles.

    A release merges the lines of two configurations (``union`` in edge_common.sh): one a pair, one a label, and a first
    one that makes each list complete when it is empty.
    """
    lent = () if plan.hosts[host].host.burst else plan.lent
    senders: dict[str, list[str]] = {name: [] for name in lent if plan.slots(name, host)}
    for passage in plan.passages:
        if passage.receiver == host:
            senders.setdefault(passage.service, []).append(passage.sender)
    offered = {name: labels(plan.services[name], host, plan.slots(name, host)) for name in sorted(senders)}
    yield "frontend gateway"
    # TLS comes first, the protocol after it: the label says which one is spoken inside.
    yield "    mode tcp"
    yield "    option tcplog"
    yield f"    bind :{MESH_PORT} {mesh.options}"
    yield "    acl planned always_false"
    for name in offered:
        for asked in _names(plan.services[name], offered[name]):
            yield from (f"    acl planned var(sess.pair) -m str {sender}/{asked}" for sender in senders[name])
    yield "    acl speaks_http always_false"
    for name in offered:
        yield from (f"    acl speaks_http var(sess.label) -m str {asked}" for asked in _http(plan, name, offered[name]))
    yield haproxy.IDLE_CLOSE
    # No longer timeout for clients than anywhere: it is also that of a handshake, and that of TCP is the tunnel's.
    # A sender that died leaves no connection behind for the day that they may be idle.
    yield "    option clitcpka"
    yield "    clitcpka-idle 30s"
    yield "    clitcpka-intvl 5s"
    yield "    clitcpka-cnt 3"
    # A certificate names the host it was made for; its name and the label are what a passage is.
    yield "    tcp-request session set-var(sess.label) ssl_fc_sni,lower,field(1,.)"
    yield "    tcp-request session set-var(sess.pair) ssl_c_s_dn(cn),concat(/,sess.label)"
    yield "    tcp-request session reject unless planned"
    # As HTTP, requests on one connection are balanced one by one, and an old worker can end a connection between two.
    yield "    tcp-request content switch-mode http if speaks_http"
    for name in offered:
        for asked in _names(plan.services[name], offered[name]):
            yield f"    use_backend local_{asked} if {{ var(sess.label) -m str {asked} }}"
    yield "    default_backend not_planned"
    yield ""
    yield "backend not_planned"
    yield "    mode tcp"
    yield "    tcp-request content reject"
    yield ""
    for name in offered:
        yield from _backends(plan.services[name], offered[name], containers)


def _names(service: ServicePlan, offered: Iterable[Label]) -> Iterator[str]:
    yield from (label.name for label in offered)
    if probed(service):
        yield probe(service.name)


def _http(plan: FleetPlan, name: str, offered: Iterable[Label]) -> Iterator[str]:
    if plan.services[name].settings.protocol == "http":
        yield from (label.name for label in offered)
    elif probed(plan.services[name]):
        yield probe(name)


def _backends(service: ServicePlan, offered: Iterable[Label], containers: Mapping[str, str]) -> Iterable[str]:
    for label in offered:
        yield f"backend local_{label.name}"
        yield "    balance roundrobin"
        if service.settings.protocol == "tcp":
            yield from haproxy.TCP_BACKEND
        else:
            # No answer instead of an error of our own: the first edge then asks another host, where that is safe.
            yield "    errorfile 502 /dev/null"
            yield "    errorfile 503 /dev/null"
            if not service.stateful:
                # It has other hosts to ask as well, and waits for us.
                yield "    retries 1"
        yield from haproxy.health(service)
        # Who sends here has decided to: a host that gets nothing new still serves the sessions it has.
        weights = [max(1, slot.weight) if len(label.slots) > 1 else 1 for slot in label.slots]
        yield from haproxy.replicas(service, zip(label.slots, weights, strict=True), containers)
        yield ""
        if probed(service):
            yield f"backend local_{probe(service.name)}"
            # Not by `nbsrv`, which counts what is asked anyway.
            for slot in label.slots:
                yield f"    http-request return status 200 if {{ srv_is_up(local_{label.name}/{slot.name}) }}"
            yield "    http-request return status 503"
            yield ""
