"""What AWS forbids, or cannot give the meaning that it has elsewhere; and AWS's own keys on other clouds.

Beside each rule stands where AWS says so. `API` is the documentation in botocore's models, which is the API reference
in another form; `ECS`, `ECR` and `ELB` are the developer and user guides on docs.aws.amazon.com.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from settings import rules_registry
from settings.capacity import AwsCapacity
from settings.problems import Problem
from settings.service import Autoscale, Rollout, Service
from settings.stack import Stack
from settings.types import amount, nearest, parse_image, registry_host, span

HOUR = 3600
WEEK = 7 * 24 * HOUR
LEAST_DISK = 30 * 1024**3
FARGATE_STOP = 120
"""Seconds. API ecs ContainerDefinition.stopTimeout: "the max stop timeout value is 120 seconds"."""
_STACK_KEYS = ("network", "balancer", "logs", "kms_keys", "quotas", "tags")
"""Keys of a stack that only AWS has."""
# API ecs KernelCapabilities.add: "Tasks launched on Fargate only support adding the SYS_PTRACE kernel capability"; and
# its valid values leave these out, on any capacity.
_FARGATE_CAPABILITIES = frozenset({"SYS_PTRACE"})
_UNKNOWN_CAPABILITIES = frozenset({"AUDIT_READ", "BPF", "CHECKPOINT_RESTORE", "PERFMON"})
# API ecr CreatePullThroughCacheRule.upstreamRegistryUrl, and ECR pull-through-cache.html for which need a login.
_OPEN_UPSTREAMS = frozenset({"public.ecr.aws", "quay.io", "registry.k8s.io"})
_LOGIN_UPSTREAMS = frozenset({"registry-1.docker.io", "ghcr.io", "registry.gitlab.com"})
_AZURE = ".azurecr.io"
_ECR = re.compile(r"[0-9]{12}\.dkr[.-]ecr\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)")


def is_public(service: Service) -> bool:
    """Whether it has a public route, be it the one that every HTTP service has unless it says otherwise."""
    return service.port is not None and service.protocol == "http" and service.routes != ()


def elsewhere(stack: Stack, services: Mapping[str, Service], cloud: str) -> Iterator[Problem]:
    """What only AWS has, on a cloud that is not AWS: refused, for it would be left out in silence."""
    what = f"is for cloud aws, and this stack is {cloud}"
    for name, service in services.items():
        for key, given in (
            ("slow_start", service.slow_start is not None),
            ("architecture", service.architecture is not None),
            ("permissions", bool(service.permissions)),
            ("egress", service.egress is not None),
            ("exec", service.exec),
        ):
            if given:
                fix = f"remove {key}, or set it in the aws stack's file"
                yield Problem(f"services/{name}/{key}", what, fix)
    for key in _STACK_KEYS:
        if key in stack.model_fields_set:
            yield Problem(f"quayside:{key}", what, f"remove quayside:{key}")
    if stack.registry is not None:
        for key in ("repositories", "push", "keep", "cache"):
            if key in stack.registry.model_fields_set:
                yield Problem(f"quayside:registry/{key}", what, f"remove quayside:registry/{key}")


def on_aws(stack: Stack, services: Mapping[str, Service]) -> Iterator[Problem]:
    """Everything about an AWS stack."""
    if stack.region is None:
        fix = f"pulumi config set aws:region eu-central-1 --stack {stack.name}"
        yield Problem("aws:region", "is missing", fix)
    yield from _regions(stack)
    yield from _registry(stack)
    yield from _dns(stack)
    users = {used: caller for caller, service in services.items() for used in service.uses}
    instances = stack.capacity.instances if isinstance(stack.capacity, AwsCapacity) else None
    pool = instances is not None
    # The snapshot of the ECS-optimized Amazon Linux 2023 image is 30 GiB, and a volume cannot be smaller than that.
    if instances is not None and instances.disk < LEAST_DISK:
        at = "quayside:capacity/instances/disk"
        yield Problem(at, f"should be at least 30GiB, got {amount(instances.disk)}", "write 40GiB")
    yield from _pool(services, pool=pool)
    yield from _images(stack, services)
    for name, service in services.items():
        at = f"services/{name}"
        yield from _placed(at, service)
        yield from _network(at, service, services)
        yield from _routed(at, service)
        if service.rollout is not None:
            yield from _rollout(at, service, service.rollout)
        if service.canary is not None:
            yield from _canary(at, service, users.get(name))
        yield from _health(at, service)
        yield from _storage(at, service)
        yield from _outside(at, service, stack)
        yield from _hosts(at, service, stack)


# --- where it runs ---------------------------------------------------------------------------------------------------


def _pool(services: Mapping[str, Service], *, pool: bool) -> Iterator[Problem]:
    """One problem for the pool that is missing, however many services would run there."""
    if pool or not (placed := [name for name, service in services.items() if service.on == "ec2"]):
        return
    capacity = "set quayside:capacity: {instances: {types: [m7g.large], max: 4}}"
    if len(placed) == 1:
        said = "should be fargate, for this stack has no pool of instances; got ec2"
        yield Problem(f"services/{placed[0]}/on", said, f"{capacity}, or on: fargate")
        return
    listed = ", ".join(placed) if len(placed) <= 8 else f"{', '.join(placed[:7])} and {len(placed) - 7} more"
    yield Problem(
        "quayside:capacity/instances",
        f"is missing, and these services run on: ec2: {listed}",
        f"{capacity}, or set on: fargate in each",
    )


def _images(stack: Stack, services: Mapping[str, Service]) -> Iterator[Problem]:
    """A misspelt repository of our own would be looked for on Docker Hub."""
    known = stack.registry.repositories if stack.registry else ()
    for name, service in services.items():
        images = [("image", service.image), *([("canary/image", service.canary.image)] if service.canary else [])]
        for key, image in images:
            repository = parse_image(image).repository
            close = nearest(repository, known, 0.85)
            if repository not in known and close is not None and registry_host(repository) is None:
                yield Problem(
                    f"services/{name}/{key}",
                    f"{repository} is none of quayside:registry/repositories; did you mean {close}?",
                    f"name it there, or write docker.io/{repository} if Docker Hub's is meant",
                )


def _placed(at: str, service: Service) -> Iterator[Problem]:
    if service.place is not None:
        yield Problem(f"{at}/place", "is for fleets of hosts; ECS places tasks itself", "remove place")
    if service.ports:
        yield Problem(f"{at}/ports", "is for fleets of hosts", "remove ports; on aws use routes")
    for number, capability in enumerate(service.capabilities):
        here = f"{at}/capabilities/{number}"
        if capability in _UNKNOWN_CAPABILITIES:
            fix = f"remove {capability}; it cannot be had on aws"
            yield Problem(here, f"names {capability}, which ECS cannot add", fix)
        elif service.on == "fargate" and capability not in _FARGATE_CAPABILITIES:
            fix = f"remove {capability}, or on: fargate"
            yield Problem(here, f"should be none or SYS_PTRACE on fargate, got {capability}", fix)
    if service.on == "fargate" and service.drain > FARGATE_STOP and not is_public(service):
        # Behind a balancer the drain is the target group's; without one it is how long the container has to stop.
        yield Problem(
            f"{at}/drain",
            f"should be at most {FARGATE_STOP}s on fargate for a service without a route, got {span(service.drain)}",
            "shorten it, or remove on: fargate: instances wait as long as it says",
        )
    if service.exec and service.read_only:
        # ECS ecs-exec.html: the SSM agent writes into the container, and "making the root file system read-only"
        # is not supported; aws/containers-roadmap#1359 is open.
        yield Problem(
            f"{at}/exec",
            "needs a writable root: the agent that aws puts into the container writes to it",
            "set read_only: false for as long as exec is true",
        )


def _network(at: str, service: Service, services: Mapping[str, Service]) -> Iterator[Problem]:
    shared = service.network in {"bridge", "host"}
    if service.on == "fargate" and shared:
        # ECS task-networking.html: tasks on Fargate have the awsvpc mode and no other.
        yield Problem(f"{at}/network", f"cannot be {service.network} on fargate", "remove network, or on: fargate")
    if service.uses and shared:
        # ECS task-networking.html: in the awsvpc mode alone a task has an interface, and so a group, of its own.
        yield Problem(
            f"{at}/uses",
            f"cannot be kept to with network {service.network}: its tasks share the instance's group",
            "remove network",
        )
    for number, used in enumerate(service.uses):
        other = services.get(used)
        if other is not None and other.network in {"bridge", "host"}:
            yield Problem(
                f"{at}/uses/{number}",
                f"{used} is on network {other.network}, where it cannot tell its callers apart",
                f"remove network from {used}",
            )


# --- requests --------------------------------------------------------------------------------------------------------


def _routed(at: str, service: Service) -> Iterator[Problem]:
    public = is_public(service)
    if public and service.drain > HOUR:
        # API elbv2 TargetGroupAttribute deregistration_delay.timeout_seconds: "The range is 0-3600 seconds."
        got = f"got {span(service.drain)}"
        yield Problem(f"{at}/drain", f"should be at most 1h on aws for a service with a route, {got}", "write 1h")
    if service.sticky is not None and service.sticky > WEEK:
        # API elbv2 TargetGroupAttribute stickiness.lb_cookie.duration_seconds: "1 second to 1 week (604800 seconds)".
        yield Problem(f"{at}/sticky", f"should be at most 7d on aws, got {span(service.sticky)}", "write 7d")
    if public:
        return
    for key, given in (("sticky", service.sticky is not None and _http(service)), ("slow_start", service.slow_start)):
        if given:
            # Both are the target group's; between services there is Service Connect, which has neither.
            fix = f"add a route, or remove {key}"
            yield Problem(f"{at}/{key}", "needs a public route on aws: the balancer does it", fix)
    if isinstance(service.replicas, Autoscale) and service.replicas.requests is not None:
        # API application-autoscaling PredefinedMetricSpecification: requests are a target group's.
        yield Problem(
            f"{at}/replicas/requests",
            "needs a public route on aws: the balancer counts them",
            "add a route, or scale by cpu",
        )


def _rollout(at: str, service: Service, rollout: Rollout) -> Iterator[Problem]:
    at = f"{at}/rollout"
    strategy = rollout.strategy
    given = rollout.model_fields_set
    if strategy == "rolling":
        if "bake" in given:
            # API ecs DeploymentConfiguration.bakeTimeInMinutes: the time after the requests have shifted.
            fix = "remove bake, or set strategy: blue_green"
            yield Problem(f"{at}/bake", "is for rollouts that bake, and rolling does not", fix)
        if "errors" in given and not is_public(service):
            fix = "remove errors; existing alarms may be named in alarms"
            yield Problem(f"{at}/errors", "needs a public route on aws: the balancer counts them", fix)
    elif not is_public(service):
        # ECS blue-green-deployment-implementation.html: without a balancer or Service Connect there is no traffic that
        # is shifted. Our rollouts shift a listener rule.
        yield Problem(
            f"{at}/strategy", f"should be rolling for a service without a route, got {strategy}", "remove rollout"
        )
    elif service.network in {"bridge", "host"}:
        # ECS alb-resources-for-blue-green.html: "Target type: IP (for Fargate or EC2 with awsvpc network mode)".
        yield Problem(
            f"{at}/strategy",
            f"should be rolling for a service with network {service.network}, got {strategy}",
            "remove rollout, or network",
        )
    elif service.volume is not None:
        yield Problem(
            f"{at}/strategy",
            f"should be rolling for a service with a volume, got {strategy}",
            "remove rollout: the new task would share the volume with the old one",
        )
    if strategy in {"canary", "linear"}:
        if rollout.percent is None:
            yield Problem(f"{at}/percent", f"is missing: {strategy} moves a share of the requests", "write percent: 10")
        elif strategy == "linear" and rollout.percent < 3:
            # API ecs LinearConfiguration.stepPercent: 3.0 to 100.0; CanaryConfiguration.canaryPercent: 0.1 to 100.0.
            yield Problem(f"{at}/percent", f"should be 3–99 for linear, got {rollout.percent}", "write percent: 3")
    elif rollout.percent is not None:
        fix = "remove percent, or set strategy: canary"
        yield Problem(f"{at}/percent", f"is for canary and linear; {strategy} moves all requests at once", fix)


def _canary(at: str, service: Service, caller: str | None) -> Iterator[Problem]:
    if not is_public(service):
        yield Problem(f"{at}/canary", "needs a public route on aws: the balancer deals out the share", "remove canary")
    elif caller is not None:
        # A second ECS service cannot have the first one's Service Connect name: callers would never meet the canary.
        yield Problem(
            f"{at}/canary",
            f"would never be reached by {caller}, which uses this service by its name",
            f"remove canary, or let {caller} use the public route",
        )


def _http(service: Service) -> bool:
    return service.port is not None and service.protocol == "http"


def _health(at: str, service: Service) -> Iterator[Problem]:
    health = service.health
    at = f"{at}/health"
    if _http(service):
        # API elbv2 CreateTargetGroup: HealthCheckIntervalSeconds 5–300, HealthCheckTimeoutSeconds 2–120; and it
        # answers "Health check timeout must be smaller than the interval" to any other.
        yield from _between(f"{at}/interval", health.interval, 5, 300)
        yield from _between(f"{at}/timeout", health.timeout, 2, 120)
        if 2 <= health.timeout <= 120 and 5 <= health.interval <= 300 and health.timeout >= health.interval:
            yield Problem(
                f"{at}/timeout",
                f"should be below interval, {span(health.interval)}, on aws; got {span(health.timeout)}",
                f"write interval: {health.timeout + 1}s" if health.timeout < 300 else "",
            )
    elif health.command is not None:
        # API ecs HealthCheck: interval 5–300, timeout 2–60, startPeriod 0–300.
        yield from _between(f"{at}/interval", health.interval, 5, 300)
        yield from _between(f"{at}/timeout", health.timeout, 2, 60)
        yield from _between(f"{at}/grace", health.grace, 0, 300)


def _between(path: str, value: int, low: int, high: int) -> Iterator[Problem]:
    if not low <= value <= high:
        near = low if value < low else high
        yield Problem(
            path, f"should be {low}s–{high}s on aws, got {span(value)}", f"write {near}s in the aws stack's file"
        )


# --- what it keeps and reaches ---------------------------------------------------------------------------------------


def _storage(at: str, service: Service) -> Iterator[Problem]:
    if service.volume is None:
        return
    if service.volume.size is not None:
        # EFS how-it-works.html: a file system grows and shrinks with its files.
        yield Problem(f"{at}/volume/size", "is for hosts: on aws a volume grows with its files", "remove size")
    if service.user is None or not re.fullmatch("0*[1-9][0-9]*(:[0-9]+)?", service.user):
        # API efs PosixUser: an access point's Uid and Gid are numbers, and what it makes belongs to them. EFS lets root
        # write only with elasticfilesystem:ClientRootAccess, which no role of ours has.
        got = "is missing" if service.user is None else f'should be a number above 0, got "{service.user}"'
        yield Problem(
            f"{at}/user",
            f"{got}: on aws the volume's folder belongs to it",
            'write the uid and gid that the process runs as: "999:999"',
        )
    if "rabbitmq" in parse_image(service.image).repository.split("/") and "RABBITMQ_NODENAME" not in service.env:
        # API ecs ContainerDefinition.hostname: "not supported if you're using the awsvpc network mode".
        yield Problem(
            f"{at}/volume",
            "RabbitMQ keeps its data under the name of its host, which on aws is another with each task",
            f"set {at}/env: {{RABBITMQ_NODENAME: rabbit@localhost}}",
        )


def _outside(at: str, service: Service, stack: Stack) -> Iterator[Problem]:
    region = stack.region
    for env, reference in service.secrets.items():
        if reference.startswith("arn:") and region and reference.split(":")[3] != region:
            # ECS would read it across regions (API ecs Secret.valueFrom, with the full ARN). But then no task starts
            # while that region is away, and endpoints (network/nat: none) lead to this region alone.
            yield Problem(
                f"{at}/secrets/{env}",
                f"is in {reference.split(':')[3]}, and this stack is in {region}",
                f"replicate it to {region}, and name that ARN",
            )
    if stack.network.nat != "none":
        return
    images = [("image", service.image), *([("canary/image", service.canary.image)] if service.canary else [])]
    for key, image in images:
        yield from _unreachable(f"{at}/{key}", image, stack)
    for number, egress in enumerate(service.egress or ()):
        if not _within(egress.to, stack.network.range):
            yield Problem(
                f"{at}/egress/{number}/to",
                f"{egress.to} cannot be reached with nat: none, which leaves no way out of the network",
                "set quayside:network: {nat: one}, or remove it",
            )


def _unreachable(path: str, image: str, stack: Stack) -> Iterator[Problem]:
    if rules_registry.is_local(image):
        return  # whether there is such a registry is asked there
    repository = parse_image(image).repository
    host = registry_host(repository)
    found = _ECR.fullmatch(host) if host else None
    if found is not None and (not stack.region or found[1] == stack.region):
        return
    own = stack.registry
    if own is not None and host is None and repository in own.repositories:
        return
    if own is not None and host is None and repository.partition("/")[0] in own.cache:
        return  # told once, of the cache itself
    yield Problem(
        path,
        f"cannot be pulled with nat: none, got {repository}",
        "push it to a repository of quayside:registry, or to ECR in this region; or set quayside:network: {nat: one}",
    )


def _within(inner: str, outer: str) -> bool:
    # A range with the other version of IP is no subnet, and asking raises.
    first, second = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    return (
        isinstance(first, ipaddress.IPv4Network)
        and isinstance(second, ipaddress.IPv4Network)
        and first.subnet_of(second)
    )


# --- the stack -------------------------------------------------------------------------------------------------------


def _regions(stack: Stack) -> Iterator[Problem]:
    given = [
        # ELB https-listener-certificates.html: "You must create or import the certificate in the same Region".
        *((f"quayside:balancer/certificates/{n}", arn) for n, arn in enumerate(stack.balancer.certificates)),
        # A secret's key is in the secret's region, and secrets of other regions are refused.
        *((f"quayside:kms_keys/{n}", arn) for n, arn in enumerate(stack.kms_keys)),
    ]
    for path, arn in given:
        region = arn.split(":")[3]
        if stack.region and region != stack.region:
            yield Problem(path, f"{arn} is in {region}, and this stack is in {stack.region}", "name one of this region")
    for number, allowed in enumerate(stack.balancer.allow):
        if ":" in allowed:
            # The balancers and the network have IPv4 addresses only.
            yield Problem(f"quayside:balancer/allow/{number}", f"should be a range of IPv4, got {allowed}", "remove it")


def _registry(stack: Stack) -> Iterator[Problem]:
    registry = stack.registry
    if registry is None:
        return
    at = "quayside:registry"
    if registry.repositories and not registry.push:
        fix = "name CI's role: push: [arn:aws:iam::123456789012:role/ci]"
        yield Problem(f"{at}/push", "is missing: nobody could push into the repositories", fix)
    if registry.push and not registry.repositories:
        fix = "name the repositories, or remove push"
        yield Problem(f"{at}/repositories", "is missing, and push says who may push into them", fix)
    for prefix, cache in registry.cache.items():
        here = f"{at}/cache/{prefix}"
        upstream = cache.upstream
        known = upstream in _OPEN_UPSTREAMS | _LOGIN_UPSTREAMS or upstream.endswith(_AZURE) or _ECR.fullmatch(upstream)
        if not known:
            listed = ", ".join([*sorted(_OPEN_UPSTREAMS | _LOGIN_UPSTREAMS), f"NAME{_AZURE}"])
            fix = "write registry-1.docker.io" if upstream in {"docker.io", "index.docker.io"} else ""
            yield Problem(f"{here}/upstream", f"should be one of {listed}, or ECR elsewhere; got {upstream}", fix)
        login = (cache.username is not None, cache.password is not None)
        if login == (True, False):
            yield Problem(f"{here}/password", "is missing beside username", "name a key under the stack's secrets")
        elif login == (False, True):
            yield Problem(f"{here}/username", "is missing beside password")
        elif login == (False, False) and (upstream in _LOGIN_UPSTREAMS or upstream.endswith(_AZURE)):
            fix = "set username and password; the password is a key under the stack's secrets"
            yield Problem(here, f"needs a login: ECR pulls from {upstream} with one only", fix)
        if stack.network.nat == "none":
            # ECR vpc-endpoints.html: the first pull through a cache needs a NAT gateway and a route to the internet.
            yield Problem(
                here,
                "cannot be filled with nat: none: the first pull of an image needs the internet",
                "set quayside:network: {nat: one}, or push the images into repositories",
            )


def _dns(stack: Stack) -> Iterator[Problem]:
    dns = stack.dns
    if dns.provider in {"hetzner", "digitalocean"}:
        fix = "set manual: the records to make are printed"
        yield Problem("quayside:dns/provider", f"should be route53 or manual on aws, got {dns.provider}", fix)
    if dns.provider == "route53" and dns.zone is not None and not _below(stack.domain, dns.zone):
        yield Problem(
            "quayside:dns/zone",
            f"should be {stack.domain} or a parent of it, got {dns.zone}",
            "name the hosted zone that holds the domain's records",
        )


def _hosts(at: str, service: Service, stack: Stack) -> Iterator[Problem]:
    """Hosts that no record can be made for, and so no certificate either."""
    zone = stack.dns.zone or stack.domain
    if stack.dns.provider != "route53" or stack.balancer.certificates or not is_public(service):
        return
    for number, route in enumerate(service.routes or ()):
        host = route.partition("/")[0].replace("{domain}", stack.domain).removeprefix("*.")
        if not _below(host, zone):
            yield Problem(
                f"{at}/routes/{number}",
                f"{host} is outside the zone {zone}, where its certificate cannot be proven",
                "set quayside:dns: {provider: manual}, or name a certificate in quayside:balancer/certificates",
            )


def _below(host: str, zone: str) -> bool:
    return host == zone or host.endswith(f".{zone}")
