"""One service of ``services.yaml``, after the stack's own values were merged over it."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from settings.base import Settings, refused, should_be
from settings.commands import Command
from settings.types import (
    AbsolutePath,
    AlarmName,
    Arn,
    AtLeastOne,
    Bake,
    BalancerNumber,
    Capability,
    Cidr,
    Count,
    Cpu,
    Cron,
    Distinct,
    DrainDuration,
    Duration,
    EnvName,
    EnvValue,
    Flag,
    HealthPath,
    IamAction,
    Image,
    Ipv4Range,
    Memory,
    Name,
    Percent,
    Port,
    PortOrAll,
    Priority,
    Rate,
    RoutePattern,
    SecretRef,
    ShortDuration,
    SourcePath,
    Timezone,
    User,
    WarmUp,
)


class Health(Settings):
    """How a replica says that it can serve. Written short as ``health: /healthz``."""

    path: HealthPath | None = None
    """HTTP path that answers 2xx or 3xx when healthy. Services with `protocol: http` only; unset: `/`. It is asked with
    the host of the first route (for `*.example.com`, `NAME.example.com`); without routes, with the service's name; on
    AWS, where a balancer asks, with the task's address."""
    command: Command | None = None
    """Runs inside the container; exit code 0 is healthy. For services without a port, or with `protocol: tcp`. No shell
    reads it, as with `command`. The image's own HEALTHCHECK counts nowhere."""
    interval: ShortDuration = 5
    """Time between two runs of `command`. (The edge asks `path` every half second, whatever this says.) On AWS also
    between two requests for `path`; a task that fails for about 45 seconds, 3–10 times in a row, is replaced there."""
    timeout: ShortDuration = 2
    """Time one probe may take."""
    grace: ShortDuration = 60
    """Time a new replica has to become healthy before its release is given up."""


class ScheduledReplicas(Settings):
    """Bounds that hold from a time on, for known peaks."""

    cron: Cron
    """When they begin to hold: `0 18 * * FRI`."""
    min: Count
    max: AtLeastOne | None = None
    timezone: Timezone = "Etc/UTC"

    @model_validator(mode="after")
    def _bounds(self) -> ScheduledReplicas:
        if self.max is not None and self.min > self.max:
            raise refused(f"min should be at most max, got min {self.min} and max {self.max}")
        return self


class Autoscale(Settings):
    """Replicas between two bounds. Docker hosts run `min`; only AWS scales between them."""

    min: AtLeastOne
    max: AtLeastOne
    cpu: Percent | None = None
    """Percent of the reserved vCPU that is aimed at."""
    memory: Percent | None = None
    """Percent of the memory that is aimed at."""
    requests: Rate | None = None
    """Requests a replica and minute that are aimed at."""
    schedule: tuple[ScheduledReplicas, ...] = ()
    """Other bounds at known times."""

    @model_validator(mode="after")
    def _bounds(self) -> Autoscale:
        if self.min > self.max:
            raise refused(f"min should be at most max, got min {self.min} and max {self.max}")
        return self


class Volume(Settings):
    """Data that outlives its container. Written short as ``volume: /data``. Makes a service stateful and stop-first."""

    path: AbsolutePath
    """Where the container finds it."""
    size: Memory | None = None
    """Size of the disk that is made for it, on hosts that the stack creates: 10GiB–10240GiB. Unset: 10GiB."""


class File(Settings):
    """A file in the container, rendered at deploy. Written short as `/etc/app.conf: conf/app.conf`, with its source."""

    source: SourcePath | None = None
    """Path of the file, relative to services.yaml, copied as it is."""
    template: SourcePath | None = None
    """Path of a Jinja template, relative to services.yaml, rendered with the same names as `${…}`."""
    content: EnvValue | None = None
    """The text itself, in which `${…}` is replaced."""
    executable: Flag = False

    @model_validator(mode="after")
    def _one_origin(self) -> File:
        given = [key for key in ("source", "template", "content") if getattr(self, key) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise refused(f"should have one of source, template and content, got {got}")
        return self


class Canary(Settings):
    """A second image that gets an exact share of the requests until someone removes it."""

    image: Image
    share: Percent
    """Percent of the requests, 1–99."""
    env: dict[EnvName, EnvValue] = Field(default_factory=dict[str, str])
    """Values that differ from the service's own."""


class Rollout(Settings):
    """How ECS replaces tasks. Docker hosts always release create-first behind a gate, and refuse this."""

    strategy: Literal["rolling", "blue_green", "canary", "linear"] = "rolling"
    percent: Percent | None = None
    """Share of the requests that the first (canary) or every (linear) step moves."""
    bake: Bake | None = None
    """Time each step has to hold, in whole minutes. Unset: 10m."""
    errors: Percent = 5
    """Percent of failed requests that takes the release back while it bakes: answers with a 5xx status, and what the
    balancer answers with 502 or 504 since the task refused, broke off, or said nothing for `balancer.idle`."""
    alarms: Annotated[tuple[AlarmName, ...], Distinct] = ()
    """Existing CloudWatch alarms that take the release back as well."""


class Permission(Settings):
    """What a service may do to AWS itself, beside what its other settings imply."""

    actions: Annotated[tuple[IamAction, ...], Distinct] = Field(min_length=1)
    resources: Annotated[tuple[Arn, ...], Distinct] = ()
    """ARNs, in which `*` may stand for a part. Unset, every resource is meant, and `reason` says why."""
    reason: Annotated[str, Field(min_length=10, max_length=200)] | None = None
    """Why no narrower form exists; required without `resources`."""

    @model_validator(mode="after")
    def _narrow(self) -> Permission:
        if not self.resources and self.reason is None:
            raise refused(
                "should name resources", "name ARNs; where AWS has no narrower form than all, say why in `reason`"
            )
        return self


class Egress(Settings):
    """Somewhere outside that a service may reach."""

    to: Ipv4Range
    """Range of IPv4 addresses."""
    port: PortOrAll = 0
    """0: every port."""
    protocol: Literal["tcp", "udp"] = "tcp"


class PublishedPort(Settings):
    """A port opened beside the edge (hosts only)."""

    port: Port
    protocol: Literal["tcp", "udp"] = "tcp"
    sources: tuple[Cidr, ...] = ()
    """Who may reach it; nobody, when empty."""


def _health(value: object) -> object:
    if isinstance(value, str):
        return {"path": value}
    if not isinstance(value, (dict, Health)):
        raise should_be("a path such as /healthz, or a mapping with path or command")
    return cast("object", value)


def _volume(value: object) -> object:
    if isinstance(value, str):
        return {"path": value}
    if not isinstance(value, (dict, Volume)):
        raise should_be("a path such as /data, or a mapping with path and size")
    return cast("object", value)


def _file(value: object) -> object:
    if isinstance(value, str):
        return {"source": value}
    if not isinstance(value, (dict, File)):
        raise should_be("the path of a file, or a mapping with source, template or content")
    return cast("object", value)


def _replicas_kind(value: object) -> str:
    return "\0range" if isinstance(value, (dict, Autoscale)) else "\0count"


ShortHealth = Annotated[Health, BeforeValidator(_health, json_schema_input_type=HealthPath | Health)]
ShortVolume = Annotated[Volume, BeforeValidator(_volume, json_schema_input_type=AbsolutePath | Volume)]
ShortFile = Annotated[File, BeforeValidator(_file, json_schema_input_type=SourcePath | File)]
Replicas = Annotated[
    Annotated[Count, Tag("\0count")] | Annotated[Autoscale, Tag("\0range")],
    Discriminator(_replicas_kind),
]


class Service(Settings):
    """One service: what runs, how it is reached, whom it may reach, and what it may use."""

    image: Image
    """`repository[:tag][@sha256:…]`. Outside stack `local` the digest is required; there, an image that was built anew
    under its tag is released by the next `up`."""
    command: Command | None = None
    """Replaces the image's command. Text is split into words, and no shell reads it: for `&&`, `|`, `>` or `$NAME`,
    write `[sh, -c, '…']`. `${cart.address}` and the like are replaced as in `env`."""
    user: User | None = None
    """User the process runs as; unset: the image's own."""
    port: Port | None = None
    """The port the process listens on. Unset: a worker, which nothing can reach."""
    protocol: Literal["http", "tcp"] = "http"
    """`tcp` for what does not speak HTTP: reached by name inside the stack, never by a route."""
    routes: Annotated[tuple[RoutePattern, ...], Distinct] | None = None
    """Public `host/path` patterns; `{domain}` is the stack's domain. Unset: `<name>.{domain}`. `[]`: not public."""
    cpu: Cpu = 0.25
    """vCPU the scheduler keeps for one replica: a share under contention, not a ceiling."""
    memory: Memory = 256 * 1024**2
    """Hard limit of one replica, in bytes. Units are required: `512MiB`. On Fargate it may use more: all that its task
    has."""
    replicas: Replicas = 1
    """How many run: a number, or bounds to scale between."""
    health: ShortHealth = Health()
    """When a replica counts as able to serve: a path, or a mapping."""
    uses: Annotated[tuple[Name, ...], Distinct] = ()
    """Services this one may reach, at `http://<name>` or `<name>:<port>`; the only ones its `${…}` may name."""
    after: Annotated[tuple[Name, ...], Distinct] = ()
    """Services whose containers are created before this one's."""
    env: dict[EnvName, EnvValue] = Field(default_factory=dict[str, str])
    """Environment; `${cart.url}`, `${session.address}` and the like name services in `uses`, `${hosts.db1.address}` a
    server that was there before the stack."""
    secrets: dict[EnvName, SecretRef] = Field(default_factory=dict[str, str])
    """Environment name → key under the stack's `secrets`, or (AWS) the ARN of an existing secret."""
    files: dict[AbsolutePath, ShortFile] = Field(default_factory=dict[str, File])
    """Path in the container → the file that is put there."""
    volume: ShortVolume | None = None
    """Where the container keeps data that outlives it. One replica, replaced stop-first, whose hostname stays `NAME-1`
    (on AWS it is each task's own)."""
    sticky: Duration | None = None
    """Time without a request after which a visitor may land on another replica. Unset: any replica, always."""
    drain: DrainDuration = 30
    """Time that requests and connections in flight get to end when a replica goes."""
    canary: Canary | None = None
    """A second image beside this one, with a share of the requests."""
    network: Literal["own", "host", "bridge", "awsvpc"] = "own"
    """`own`: isolated, the default. `host`: the host's network, for services nobody `uses`. Others are AWS modes."""
    read_only: Flag = True
    """Whether the root filesystem is read-only. `/tmp` is writable either way."""
    writable: Annotated[tuple[AbsolutePath, ...], Distinct] = ()
    """More folders that are writable, empty, and gone with the container."""
    capabilities: Annotated[tuple[Capability, ...], Distinct] = ()
    """Linux capabilities kept; all others are dropped."""
    place: Name | None = None
    """The host, or group of hosts, it must run on (fleets only)."""
    on: Literal["ec2", "fargate"] = "ec2"
    """AWS: the pool of instances, or Fargate."""
    balancer: BalancerNumber = 1
    """AWS: which load balancer serves its routes, for stacks that outgrow one."""
    priority: dict[RoutePattern, Priority] = Field(default_factory=dict[str, int])
    """AWS: route → listener priority, to settle a collision that the preview reports."""
    rollout: Rollout | None = None
    """AWS: how ECS replaces tasks."""
    ports: tuple[PublishedPort, ...] = ()
    """Fleets: ports opened beside the edge, to named ranges."""
    slow_start: WarmUp | None = None
    """AWS: time in which a new replica's share of the requests grows to the full one."""
    architecture: Literal["amd64", "arm64"] | None = None
    """AWS: what the image is built for. Unset: what the pool is, also on Fargate, and amd64 without a pool."""
    permissions: tuple[Permission, ...] = ()
    """AWS: what the service's own role may do."""
    egress: tuple[Egress, ...] | None = None
    """AWS: what it may reach outside the stack. Unset: anything, as on Docker; `[]`: nothing."""
    exec: Flag = False
    """AWS: lets `aws ecs execute-command` into its tasks, recorded. On Docker `quayside exec` needs no permission."""
