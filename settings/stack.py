"""One stack: the services with this stack's values merged in, and where they run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from settings.aws import Balancer, Network, Quotas, Repositories
from settings.base import Settings
from settings.capacity import Access, AwsCapacity, Burst, HostCapacity
from settings.service import Service
from settings.tags import Tags
from settings.types import (
    Address,
    Bucket,
    BucketRegion,
    Days,
    Distinct,
    Domain,
    EdgeLine,
    EdgeMemory,
    Email,
    Endpoint,
    Flag,
    HttpsUrl,
    Image,
    KmsArn,
    Memory,
    Name,
    Port,
    PrivateRange,
    Region,
    RegistryHost,
    SecretKey,
    Text,
    Weight,
)


class Acme(Settings):
    """An authority that issues certificates by ACME, such as Let's Encrypt. The proof is laid into the DNS."""

    email: Email
    """Where the authority writes to."""
    server: HttpsUrl = "https://acme-v02.api.letsencrypt.org/directory"
    """Its directory. Let's Encrypt's for trials is `https://acme-staging-v02.api.letsencrypt.org/directory`."""


class Edge(Settings):
    """The proxy on every Docker host: its only published container."""

    image: Image | None = None
    """HAProxy 2.6 or later, best with its digest: `haproxy:3.2.24-alpine@sha256:…`. Unset: the official image of
    3.2.24, by its digest; on a `local` stack by its tag."""
    http: Port = 80
    """Port for HTTP."""
    https: Port = 443
    """Port for HTTPS, where the stack has a certificate."""
    address: Address = "0.0.0.0"  # noqa: S104  # an edge is there to be reached
    """Address of the host the edge listens on. `127.0.0.1` keeps a laptop's stack to the laptop."""
    extra: tuple[EdgeLine, ...] = ()
    """HAProxy lines added to the public frontend as they are: headers, rate limits, compression."""
    memory: EdgeMemory = 256 * 1024**2
    """Hard limit, at least 96MiB. How many connections of visitors the edge takes at once follows from it: 732 with
    256MiB, 1634 with 512MiB. More wait, or are refused."""
    certificate: SecretKey | None = None
    """Fleets: key under `secrets` of the visitors' certificate: PEM, with its chain and its private key. Unset: the one
    of `acme`; else the one that Hetzner manages, where `capacity.balancer` is set and `dns.provider` is `hetzner`;
    elsewhere HTTP alone."""
    acme: Acme | None = None
    """Fleets: have the visitors' certificate issued, for the hosts of all routes; not with `dns.provider: manual`."""


class Registry(Settings):
    """How to log in to a registry of images."""

    username: Text
    password: SecretKey
    """Key under `secrets`."""


class LocalRegistry(Settings):
    """A read-only registry on localhost:5000 of every host or instance, all backed by one S3-compatible bucket."""

    bucket: Bucket
    endpoint: Endpoint | None = None
    """Fleets: host of the S3-compatible service, by HTTPS unless it says http://; unset: AWS's own."""
    region: BucketRegion | None = None
    """The bucket's region. On AWS unset: the stack's own. On fleets required without `endpoint`; with one unset:
    us-east-1, which most such services take."""
    access_key: SecretKey | None = None
    """Fleets: key under `secrets` of the id of a key that may list and read the bucket, and nothing else. On AWS, the
    instances' role may, and there is no key."""
    secret_key: SecretKey | None = None
    """Fleets: key under `secrets`."""
    image: Image | None = None
    """The distribution registry, from any registry but this one; pin it by adding its digest. On AWS of version 3, and
    from where instances can pull without a login. Unset: `registry:3.1.1` of Docker Hub by its digest; on AWS
    ECR's public copy of `registry:3`."""
    memory: Memory = 128 * 1024**2
    """Hard limit on every host or instance; placement keeps it from services."""


class RunRegistry(Repositories):
    """Registries that the stack itself runs: ECR's repositories on AWS, or one on every host or instance."""

    local: LocalRegistry | None = None
    """Fleets and AWS: a registry on localhost:5000 of every host, or of every instance of the pool."""


class Dns(Settings):
    """Who holds the domain's records."""

    provider: Literal["hetzner", "route53", "digitalocean", "manual"] = "manual"
    """`manual`: the records to make are printed."""
    zone: Domain | None = None
    """The zone; unset: the stack's `domain`."""
    health: Flag = False
    """Fleets without a balancer, with `route53`: Route 53 asks every host for its health and leaves a dead one out of
    its answers. It costs per host."""


class Stack(Settings):
    """Everything one `pulumi up` needs to know."""

    project: Name
    name: Name
    cloud: Literal["aws", "hetzner", "local"]
    """Where the stack runs: AWS, a fleet of Docker hosts, or this machine's Docker."""
    domain: Domain = "localhost"
    """What `{domain}` in routes stands for. Required outside `local`."""
    services: dict[Name, Service] = Field(default_factory=dict[str, Service])
    """What this stack changes of services.yaml: merged over it, null removes."""
    edge: Edge = Edge()
    """The proxy on every Docker host."""
    subnets: PrivateRange = "10.128.0.0/9"
    """The range that the services' Docker networks are taken from, a /26 each."""
    memory: Memory | None = None
    """Memory the services of a `local` stack may plan with; unset: not checked at preview."""
    surge: Literal["all", "largest"] = "all"
    """Room kept for a release: two of every stateless service, or two of the largest one only."""
    capacity: AwsCapacity | HostCapacity | None = None
    """How much there is to run on; its keys depend on `cloud`."""
    burst: Burst | None = None
    """Fleets: droplets that join for a peak."""
    access: Access = Access()
    """Fleets: who may administer the hosts."""
    registries: dict[RegistryHost, Registry] = Field(default_factory=dict[str, Registry])
    """Registry host → how to log in to it."""
    registry: RunRegistry | None = None
    """Registries that the stack itself runs."""
    dns: Dns = Dns()
    """Who holds the domain's records."""
    region: Region | None = None
    """AWS: the region, from the stack's `aws:region`."""
    network: Network = Network()
    """AWS: the VPC."""
    balancer: Balancer = Balancer()
    """AWS: the load balancers."""
    protect: Flag = True
    """Data of services with a volume, balancers and AWS's registries cannot be destroyed until this is false and was
    applied."""
    logs: Days = 30 * 86400
    """AWS: how long the services' logs are kept."""
    kms_keys: Annotated[tuple[KmsArn, ...], Distinct] = ()
    """AWS: keys that existing secrets, named by ARN, are encrypted with."""
    tags: Tags = Field(default_factory=dict[str, str])
    """AWS: tags on every resource and task: `{team: shop}`. A change rolls tasks and instances, which carry them."""
    quotas: Quotas = Quotas()
    """AWS: quotas of the account that were raised."""
    traffic: dict[Name, Weight] = Field(default_factory=dict[str, int])
    """Fleets: host or group → weight, 0–256, to move traffic between providers."""
