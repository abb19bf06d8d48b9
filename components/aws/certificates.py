"""The certificates of a stack's hosts, and the DNS records that prove whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.announce import announce
from planning.aws.model import BalancerPlan, Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificatesArgs:
    plans: Sequence[BalancerPlan]
    """All balancers of the stack: those that need one certificate share it."""
    zone_id: pulumi.Input[str] | None
    """Route 53 zone of the hosts; None where others hold their DNS."""
    tags: Mapping[str, str]


class Certificates(pulumi.ComponentResource):
    """ACM certificates, each made once for the whole stack and renewed by AWS as long as its record stays.

    With a Route 53 zone the stack makes the records. With other DNS they are logged as soon as they are known and are
    in `records`; creation waits for the certificates, at most 75 minutes, and a rerun resumes. Makes nothing where
    existing certificates are given.
    """

    arns: Mapping[str, pulumi.Output[str]]
    """Logical name → ARN, known once the certificate is issued."""
    records: Sequence[pulumi.Output[Mapping[str, str]]]
    """Where DNS is not the stack's: what to make there, each `{name, type, value}`."""

    def __init__(self, name: str, args: CertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:aws:Certificates", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        arns: dict[str, pulumi.Output[str]] = {}
        records: list[pulumi.Output[Mapping[str, str]]] = []
        for wanted in merged(args.plans):
            made = aws.acm.Certificate(
                wanted.name,
                domain_name=wanted.domain,
                subject_alternative_names=list(wanted.alternatives) or None,
                validation_method="DNS",
                tags=args.tags,
                opts=child,
            )
            # One record proves a name and its wildcard, and a certificate has no other names.
            proof = made.domain_validation_options[0]
            fqdns: list[pulumi.Input[str]] | None = None
            if args.zone_id is None:
                records.append(
                    announce(
                        self,
                        f"to have the certificate of {wanted.domain} issued",
                        proof.resource_record_name,
                        proof.resource_record_type,
                        proof.resource_record_value,
                    )
                )
            else:
                record = aws.route53.Record(
                    wanted.name,
                    zone_id=args.zone_id,
                    name=proof.resource_record_name,
                    type=proof.resource_record_type,
                    records=[proof.resource_record_value],
                    ttl=60,
                    # All certificates of one name in one account have the same record: another stack's may be there.
                    allow_overwrite=True,
                    # And so it may be another stack's that needs it to renew.
                    opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
                )
                fqdns = [record.fqdn]
            arns[wanted.name] = aws.acm.CertificateValidation(
                wanted.name, certificate_arn=made.arn, validation_record_fqdns=fqdns, opts=child
            ).certificate_arn
        self.arns = arns
        self.records = tuple(records)
        self.register_outputs({"arns": self.arns, "records": list(self.records)})


def merged(plans: Sequence[BalancerPlan]) -> Sequence[Certificate]:
    """What the balancers need, each certificate once; where two need other names of it, it has both."""
    names: dict[str, set[str]] = {}
    for plan in plans:
        for wanted in plan.certificates:
            names.setdefault(wanted.name, set()).update([wanted.domain, *wanted.alternatives])
    found = {name: sorted(domains, key=lambda domain: (len(domain), domain)) for name, domains in sorted(names.items())}
    return [
        Certificate(name=name, domain=domains[0], alternatives=tuple(domains[1:])) for name, domains in found.items()
    ]
