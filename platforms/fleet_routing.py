"""How the edges of a fleet get their certificates and configuration. The one place that knows those components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pulumi
import pulumi_command as command
import pulumi_tls as tls

from components.docker.edge import Edge
from planning.hosts.certificates import (
    AUTHORITY_HOURS,
    LEAF_HOURS,
    LEAF_RENEW_HOURS,
    bundle,
    certificates,
    file_name,
)
from planning.hosts.edge import HostConfig, render_host
from planning.hosts.gateway import Mesh
from planning.hosts.plan import FleetPlan
from platforms.machines import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSide:
    """What the program has of one host."""

    machine: Machine
    component: pulumi.Resource
    """Parent of all that is on the host."""
    edge: Edge
    containers: Mapping[str, pulumi.Output[str]]
    """Slot → container name, of this host."""
    ids: Mapping[str, pulumi.Output[str]]
    """Slot → id, of those that keep their name."""
    resources: Sequence[pulumi.Resource]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingArgs:
    plan: FleetPlan
    config: HostConfig
    sides: Mapping[str, HostSide]
    addresses: pulumi.Output[Mapping[str, str]]
    """Host → where others reach it; `balancer` → where its requests come from."""
    certificate: pulumi.Output[str] | None
    """The visitors' certificate with its key, as PEM."""


@dataclass(frozen=True, slots=True)
class _Files:
    mesh: pulumi.Output[Mesh]
    site: pulumi.Output[str] | None
    contents: pulumi.Output[Mapping[str, str]]


def route_fleet(args: RoutingArgs, child: pulumi.ResourceOptions) -> None:
    """Certificates; then on every host the files, accept on all, route on all, forget on all (decisions.md 3)."""
    files = _certificates(args, child)
    configs = {name: _config(args, name, files[name]) for name in args.sides}
    alive = [name for name, side in args.sides.items() if not side.machine.host.down]
    laid = {
        name: _run(args.sides[name], "files", files[name].contents.apply(_listed), [args.sides[name].edge.resource])
        for name in args.sides
    }
    accepted = {
        name: _run(side, "accept", configs[name], [laid[name], side.edge.resource, *side.resources])
        for name, side in args.sides.items()
    }
    all_accepted = [accepted[name] for name in alive]
    routed = {
        name: _run(side, "route", configs[name], [accepted[name], *all_accepted]) for name, side in args.sides.items()
    }
    all_routed = [routed[name] for name in alive]
    for name, side in args.sides.items():
        _run(side, "forget", configs[name], [routed[name], *all_routed])


def _listed(files: Mapping[str, str]) -> str:
    return "".join(f"#: file {name}\n{text}" for name, text in sorted(files.items()))


def _run(side: HostSide, step: str, stdin: pulumi.Input[str], after: Sequence[pulumi.Resource]) -> pulumi.Resource:
    name = f"{side.machine.host.name}-{step}"
    return command.local.Command(
        name,
        create=f"echo 'the {step} step of a fleet is not built yet' >&2; exit 1",
        stdin="" if side.machine.host.down else stdin,
        interpreter=["/bin/sh", "-c"],
        environment={"QUAYSIDE_EDGE": side.edge.container_name, "QUAYSIDE_EDGE_ID": side.edge.container_id},
        opts=pulumi.ResourceOptions(parent=side.component, depends_on=list(after)),
    )


def _config(args: RoutingArgs, name: str, files: _Files) -> pulumi.Output[str]:
    if args.sides[name].machine.host.down:
        return pulumi.Output.from_input("")
    side = args.sides[name]

    def rendered(known: Mapping[str, object]) -> str:
        config, addresses = args.config, known["addresses"]
        assert isinstance(addresses, dict)  # noqa: S101  # as `args.addresses` says
        if "balancer" in addresses:
            config = replace(config, balancers=(str(addresses["balancer"]),))
        if known["site"]:
            config = replace(config, certificate=str(known["site"]))
        return render_host(
            args.plan,
            name,
            config,
            known["containers"],
            known["ids"],
            addresses,
            Mesh(**known["mesh"]),  # type: ignore[arg-type]
        )

    return pulumi.Output.all(
        containers=pulumi.Output.from_input(dict(side.containers)),
        ids=pulumi.Output.from_input(dict(side.ids)),
        addresses=args.addresses,
        mesh=files.mesh.apply(lambda mesh: {"authorities": mesh.authorities, "certificate": mesh.certificate}),
        site=files.site if files.site is not None else "",
    ).apply(rendered)


def site_file(pem: str) -> str:
    """The name of the visitors' certificate, by what is public in it."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    blocks = [begin + part.partition(end)[0] + end for part in pem.split(begin)[1:]]
    return file_name("site", "\n".join(blocks))


def _certificates(args: RoutingArgs, child: pulumi.ResourceOptions) -> Mapping[str, _Files]:
    wanted = certificates(args.plan.naming, args.sides, date.today())  # a day more or less is nothing
    keys: dict[str, tls.PrivateKey] = {}
    certs: dict[str, tls.SelfSignedCert] = {}
    for one in wanted.authorities:
        keys[one.name] = tls.PrivateKey(one.name, algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        certs[one.name] = tls.SelfSignedCert(
            one.name,
            private_key_pem=keys[one.name].private_key_pem,
            allowed_uses=list(one.uses),
            is_ca_certificate=True,
            validity_period_hours=AUTHORITY_HOURS,
            subject=tls.SelfSignedCertSubjectArgs(common_name=one.common_name, organization=one.organization),
            opts=child,
        )
    trusted = pulumi.Output.all(*(cert.cert_pem for cert in certs.values())).apply(lambda pems: bundle(map(str, pems)))
    found: dict[str, _Files] = {}
    for leaf in wanted.leaves:
        key = tls.PrivateKey(leaf.name, algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        request = tls.CertRequest(
            leaf.name,
            private_key_pem=key.private_key_pem,
            dns_names=list(leaf.dns_names),
            subject=tls.CertRequestSubjectArgs(common_name=leaf.common_name),
            opts=child,
        )
        signed = tls.LocallySignedCert(
            leaf.name,
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=keys[leaf.authority].private_key_pem,
            ca_cert_pem=certs[leaf.authority].cert_pem,
            allowed_uses=list(leaf.uses),
            validity_period_hours=LEAF_HOURS,
            early_renewal_hours=LEAF_RENEW_HOURS,
            opts=child,
        )
        site = None if args.certificate is None else pulumi.Output.unsecret(args.certificate.apply(site_file))
        names = pulumi.Output.all(trusted, signed.cert_pem).apply(
            lambda pems: Mesh(authorities=file_name("ca", str(pems[0])), certificate=file_name("host", str(pems[1])))
        )
        contents = pulumi.Output.all(trusted, signed.cert_pem, key.private_key_pem, args.certificate or "").apply(_laid)
        found[leaf.host] = _Files(names, site, pulumi.Output.secret(contents))
    return found


def _laid(parts: Sequence[object]) -> Mapping[str, str]:
    trusted, cert, key, site = map(str, parts)
    files = {file_name("ca", trusted): trusted, file_name("host", cert): f"{cert.strip()}\n{key.strip()}\n"}
    return {**files, **({site_file(site): site} if site else {})}
