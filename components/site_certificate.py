"""The visitors' certificate, issued by an ACME authority such as Let's Encrypt for a proof in the DNS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi
import pulumi_tls as tls
import pulumiverse_acme as acme

from planning.hosts.site import MOST_NAMES

PROVIDERS = ("hetzner", "route53", "digitalocean")
"""Who may hold the DNS. The acme provider has them by the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCertificateArgs:
    server: str
    """URL of the authority's directory."""
    email: str
    names: Sequence[str]
    """What it is for, `*.` at the front at will: 1–100, and none that a wildcard among them covers."""
    dns: str
    """One of `PROVIDERS`."""
    credentials: Mapping[str, pulumi.Input[str]]
    """Variable of the acme provider's own → value; secrets among them. What is not here comes from its environment."""


class SiteCertificate(pulumi.ComponentResource):
    """An account at the authority, and one certificate for all names, with an ECDSA P-256 key.

    The proof (DNS-01) is a TXT record `_acme-challenge.NAME`, which the provider lays down and takes away; nothing has
    to answer at the names yet. Any `up` in the last third of its life renews it in place. Other names make a new
    certificate, which is in use before the old one goes; that one is not revoked, since a host that is down still shows
    it. Another `server` makes everything anew, but for the account's key.

    Refuses a DNS that the provider is not told to write to, and a list of names that no authority takes.
    """

    pem: pulumi.Output[str]
    """Certificate, chain and private key. A secret."""

    def __init__(self, name: str, args: SiteCertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:acme:SiteCertificate", name, None, opts)
        _check(args)
        child = pulumi.ResourceOptions(parent=self)
        # By the authority's name: what has another provider is made anew, where a changed one would keep the account.
        provider = acme.Provider(
            f"{name}-{urlsplit(args.server).hostname}", acme.ProviderArgs(server_url=args.server), child
        )
        at_authority = pulumi.ResourceOptions(parent=self, provider=provider)
        key = tls.PrivateKey(f"{name}-account", algorithm="ECDSA", ecdsa_curve="P256", opts=child)
        account = acme.Registration(
            f"{name}-account", account_key_pem=key.private_key_pem, email_address=args.email, opts=at_authority
        )
        certificate = acme.Certificate(
            name,
            account_key_pem=account.account_key_pem,
            # No common name, which has room for 64 characters.
            subject_alternative_names=list(args.names),
            key_type="P256",
            dns_challenges=[
                acme.CertificateDnsChallengeArgs(
                    provider=args.dns,
                    config={variable: pulumi.Output.secret(value) for variable, value in args.credentials.items()},
                )
            ],
            # A third of its life, whatever that is: authorities are about to halve it.
            min_days_dynamic=True,
            revoke_certificate_on_destroy=False,
            opts=at_authority,
        )
        self.pem = pulumi.Output.secret(
            pulumi.Output.concat(certificate.certificate_pem, certificate.issuer_pem, certificate.private_key_pem)
        )
        self.register_outputs({"not_after": certificate.certificate_not_after})


def _check(args: SiteCertificateArgs) -> None:
    if args.dns not in PROVIDERS:
        raise ValueError(f"dns should be one of {', '.join(PROVIDERS)}, got {args.dns}")
    if not 1 <= len(args.names) <= MOST_NAMES:
        raise ValueError(f"names should be 1–{MOST_NAMES}, got {len(args.names)}")
