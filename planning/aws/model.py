"""What an AWS stack's plan is made of: plain values that decide which resources exist and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from planning.aws.capacity import Fit
from planning.aws.registry import InstanceRegistry
from planning.flows import Flow
from planning.rendering import RenderedFile
from settings.service import Service

S3 = "s3"
"""The target of a flow to S3's gateway endpoint: its prefix list, which counts as one rule."""

# --- network ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One availability zone and its two subnets, which follow from its letter alone."""

    letter: str
    name: str
    """Such as eu-central-1a."""
    public: str
    """Range of the subnet for balancers and NAT."""
    private: str
    """Range of the subnet for everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    range: str
    zones: Sequence[Zone]
    nat: Mapping[str, str]
    """Letter of a zone → letter of the zone whose NAT gateway it goes out through; empty for none."""
    endpoints: Sequence[str]
    """Interface endpoints, by the last part of their service's name (`ecr.api`); the S3 gateway is always there."""
    flow_logs: int | None
    """Days that they are kept."""


# --- balancers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGroup:
    """Where a balancer sends a service's requests: ECS registers the tasks."""

    name: str
    """Logical, and short enough for what Pulumi adds (32 characters in all)."""
    service: str
    role: Literal["primary", "alternate", "canary"]
    """`alternate` is the other colour of a native rollout, `canary` that of a declared canary."""
    target_type: Literal["ip", "instance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One listener rule: named by its first route, so that a route keeps its rule when it changes hands.

    That of a native rollout is named by its service, too, and has a number of its own kind: its actions are ECS's, and
    can be given neither another service's groups nor a second group.
    """

    name: str
    """Logical: balancer, host and path; of a native rollout the service as well."""
    priority: int
    hosts: Sequence[str]
    paths: Sequence[str]
    """ALB patterns, `/cart` and `/cart/*`; empty: every path."""
    service: str
    forward: Mapping[str, int]
    """Logical name of a target group → its weight."""
    native: bool
    """Whether ECS owns the weights: the rule is made before the service, and its actions are left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthRule:
    """Ties a target group to its balancer before any request can reach it.

    ECS starts tasks only for target groups that a balancer has, and a balancer checks only those. On a listener that no
    security rule opens, so that a release is gate, then switch, as on Docker hosts; and so that services without a
    route are asked for their health as well.
    """

    name: str
    priority: int
    """The hash of its target groups' names, on a listener of its own."""
    target_groups: Sequence[str]
    """Nearly always one. Those that share a number share the rule, so that none ever moves for another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One ACM certificate: one name, and what the same validation record covers."""

    name: str
    """Logical."""
    domain: str
    alternatives: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerPlan:
    number: int
    name: str
    """Logical: balancer-1."""
    target_groups: Sequence[TargetGroup]
    rules: Sequence[Rule]
    """Public, in the order of their priority."""
    health_rules: Sequence[HealthRule]
    certificates: Sequence[Certificate]
    """To be made, the default one first; empty where existing ones are given."""
    existing_certificates: Sequence[str]
    """ARNs."""
    hosts: Sequence[str]
    """Public names that lead here."""


# --- who reaches whom ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPlan:
    groups: Mapping[str, str]
    """Logical name of each security group → its description."""
    flows: Sequence[Flow]
    members: Mapping[str, Sequence[str]]
    """Service → the groups its tasks are in, in awsvpc mode; empty for services in the instances' own group."""


# --- services --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsImage:
    """Where an image comes from. One of `repository` and `reference` says it."""

    reference: str | None
    """A whole reference, used as it is."""
    repository: str | None
    """A repository of this stack's own registry, also one that a cache of it fills: without host."""
    digest: str | None
    cached: bool = False
    pull_from: str | None = None
    """ARN of an ECR repository elsewhere that the execution role must be let into."""
    login: str | None = None
    """Host under `registries` whose login the pull needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Service Connect: the names by which services reach each other."""

    port: int | None
    """The port others reach it at under its own name: 80 for HTTP. None where nobody uses it."""
    http: bool
    client: bool
    """Whether it reaches others by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Other bounds from a time on."""

    name: str
    cron: str
    """AWS's six fields, in `cron(…)`."""
    timezone: str
    min: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    min: int
    max: int
    cpu: int | None
    memory: int | None
    requests: int | None
    schedule: Sequence[Schedule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What one ECS service of a service runs: its own image, or its canary's."""

    name: str
    """Logical: web, or web-canary."""
    image: AwsImage
    env: Mapping[str, str]
    replicas: int
    """Tasks at first; where scaling owns the number, ECS keeps it."""
    target_group: str | None
    """Logical name of its (first) target group."""
    scaling: Scaling | None = None
    """What moves the number of its tasks; a canary's follows its service's, by its share."""
    canary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsService:
    """One service, with everything decided that its resources need."""

    name: str
    settings: Service
    variants: Sequence[Variant]
    """The service itself first; then its canary, if it has one."""
    files: Sequence[RenderedFile]
    balancer: int | None
    """The balancer that routes to it or asks for its health; None for workers and TCP services."""
    alternate: str | None
    """Logical name of the second target group of a native rollout."""
    rule: str | None
    """Logical name of the one rule that a native rollout moves."""
    connect: Connect | None
    network: Literal["awsvpc", "bridge", "host"]
    architecture: Literal["amd64", "arm64"]
    cpu: int
    """CPU units of a task: on Fargate one of its sizes, else what its containers ask for."""
    memory: int
    """MiB of a task, likewise."""
    providers: Mapping[str, int]
    """Capacity provider (`pool`, `FARGATE`, `FARGATE_SPOT`) → weight."""
    groups: Sequence[str]
    """Logical names of its security groups; empty in bridge and host mode."""
    uses: Mapping[str, str]
    """Service it uses → address it finds there; a change redeploys it, since running tasks learn no new names."""
    secrets: Mapping[str, str]
    """Environment name → key under the stack's secrets."""
    existing_secrets: Mapping[str, str]
    """Environment name → ARN of a secret or parameter."""
    urls: Sequence[str]

    @property
    def scaling(self) -> Scaling | None:
        return self.variants[0].scaling

    @property
    def stateful(self) -> bool:
        return self.settings.volume is not None

    @property
    def fargate(self) -> bool:
        return self.settings.on == "fargate"


# --- the whole -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The group of EC2 instances, where the stack has one."""

    types: Sequence[str]
    architecture: Literal["amd64", "arm64"]
    min: int
    max: int
    spot: int
    generation: int
    image: str | None
    disk: int
    """GiB."""
    trunking: bool
    registry: InstanceRegistry | None = None
    """What every instance runs on its localhost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsPlan:
    region: str
    network: NetworkPlan
    pool: Pool | None
    balancers: Sequence[BalancerPlan]
    security: SecurityPlan
    services: Mapping[str, AwsService]
    """In the order of creation: what a service uses, or comes after, stands before it."""
    secrets: Sequence[str]
    """Keys under the stack's secrets that some service names."""
    logins: Sequence[str]
    """Hosts under `registries` that some image comes from."""
    repositories: Sequence[str]
    fit: Fit | None
    """None without a pool."""
    notes: Sequence[str]
    """What is allowed and should be known."""
