"""The certificates that a fleet's edges know each other by: made in the stack, renewed by any `up`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from planning.hosts.certificates import (
    AUTHORITY_HOURS,
    LEAF_HOURS,
    LEAF_RENEW_HOURS,
    Authority,
    Certificates,
    Leaf,
    bundle,
    file_name,
)
from planning.hosts.gateway import Mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshCertificatesArgs:
    certificates: Certificates
    """`planning.hosts.certificates.certificates(naming, hosts, today)`."""


class MeshCertificates(pulumi.ComponentResource):
    """An authority a term, and a certificate a host. Keys are ECDSA P-256, and secrets of the stack's state.

    Names of files are made of certificates alone, so that a configuration that names them can be read in a preview.
    Refuses nothing: the plan has.
    """

    authorities: pulumi.Output[str]
    """The bundle of every authority that is trusted."""
    hosts: Mapping[str, pulumi.Output[str]]
    """Host → its certificate and its key. A secret."""
    names: Mapping[str, pulumi.Output[Mesh]]
    """Host → names of its files."""

    def __init__(self, name: str, args: MeshCertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:MeshCertificates", name, None, opts)
        signers = {authority.name: self._authority(authority) for authority in args.certificates.authorities}
        pems: pulumi.Output[list[str]] = pulumi.Output.all(*(signer.cert_pem for _, signer in signers.values()))  # pyright: ignore[reportAssignmentType]
        self.authorities = pulumi.Output.unsecret(pems.apply(bundle))
        known = self.authorities.apply(lambda pem: file_name("ca", pem))
        hosts: dict[str, pulumi.Output[str]] = {}
        names: dict[str, pulumi.Output[Mesh]] = {}
        for leaf in args.certificates.leaves:
            key, certificate = self._leaf(leaf, *signers[leaf.authority])
            hosts[leaf.host] = pulumi.Output.secret(pulumi.Output.concat(certificate.cert_pem, key.private_key_pem))
            names[leaf.host] = _names(leaf.host, known, pulumi.Output.unsecret(certificate.cert_pem))
        self.hosts = hosts
        self.names = names
        self.register_outputs({"authorities": self.authorities})

    def files(self, host: str) -> pulumi.Output[Mapping[str, str]]:
        """Name → content of a host's files, as `HostRoutingArgs` takes them. A secret."""
        parts: pulumi.Output[list[str]] = pulumi.Output.all(self.authorities, self.hosts[host])  # pyright: ignore[reportAssignmentType]
        return pulumi.Output.all(self.names[host].apply(lambda n: [n.authorities, n.certificate]), parts).apply(
            lambda known: dict(zip(known[0], known[1], strict=True))
        )

    def _authority(self, authority: Authority) -> tuple[tls.PrivateKey, tls.SelfSignedCert]:
        key = self._key(authority.name)
        certificate = tls.SelfSignedCert(
            authority.name,
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            subject=tls.SelfSignedCertSubjectArgs(
                common_name=authority.common_name, organization=authority.organization
            ),
            allowed_uses=list(authority.uses),
            validity_period_hours=AUTHORITY_HOURS,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return key, certificate

    def _leaf(
        self, leaf: Leaf, signer_key: tls.PrivateKey, signer: tls.SelfSignedCert
    ) -> tuple[tls.PrivateKey, tls.LocallySignedCert]:
        key = self._key(leaf.name)
        request = tls.CertRequest(
            leaf.name,
            private_key_pem=key.private_key_pem,
            subject=tls.CertRequestSubjectArgs(common_name=leaf.common_name),
            dns_names=list(leaf.dns_names),
            opts=pulumi.ResourceOptions(parent=self),
        )
        certificate = tls.LocallySignedCert(
            leaf.name,
            cert_request_pem=request.cert_request_pem,
            ca_private_key_pem=signer_key.private_key_pem,
            ca_cert_pem=signer.cert_pem,
            allowed_uses=list(leaf.uses),
            validity_period_hours=LEAF_HOURS,
            early_renewal_hours=LEAF_RENEW_HOURS,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return key, certificate

    def _key(self, name: str) -> tls.PrivateKey:
        return tls.PrivateKey(name, algorithm="ECDSA", ecdsa_curve="P256", opts=pulumi.ResourceOptions(parent=self))


def _names(host: str, authorities: pulumi.Output[str], certificate: pulumi.Output[str]) -> pulumi.Output[Mesh]:
    return pulumi.Output.all(authorities, certificate).apply(
        lambda known: Mesh(authorities=known[0], certificate=file_name(f"host_{host}", known[1]))
    )
