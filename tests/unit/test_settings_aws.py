# ruff: noqa: E501  # a message word for word is read on one line
"""What an AWS stack cannot have, word for word, and that a good one passes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from rehearsal.aws_models import regions
from settings.capacity import AwsCapacity, Instances
from settings.document import read_yaml
from settings.parse import parse
from settings.problems import ConfigError
from settings.service import Rollout
from settings.stack import Stack
from settings.types import REGIONS

DIGEST = f"sha256:{'a' * 64}"
ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ci"
OWN = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/acme/web"
POOL: dict[str, Any] = {"instances": {"types": ["m7g.large"], "max": 4}}
AWS: dict[str, Any] = {"cloud": "aws", "domain": "example.com", "capacity": POOL}
LOCAL: dict[str, Any] = {"cloud": "local"}
IMAGES: dict[str, Any] = {"bucket": "images"}
HERE = f"localhost:5000/acme/web@{DIGEST}"


def read(
    services: dict[str, Any],
    config: dict[str, Any] | None = None,
    *,
    region: str | None = "eu-central-1",
    secrets: tuple[str, ...] = ("stripe",),
) -> Stack:
    stack = {**AWS, **(config or {})}
    text = yaml.safe_dump({"services": services}, allow_unicode=True)
    return parse(project="quayside", stack="prod", services=text, config=stack, secrets=secrets, region=region)


def problems(services: dict[str, Any], config: dict[str, Any] | None = None, **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(services, config, **more)
    return [str(problem) for problem in caught.value.problems]


def web(keys: str) -> dict[str, Any]:
    # Not YAML 1.1, which reads `on` as true.
    return {"web": read_yaml(f"{{image: acme/web@{DIGEST}, {keys}}}", "web")}


# --- what is right ---------------------------------------------------------------------------------------------------

SERVICES = """
web:
  image: ghcr.io/acme/web
  port: 8080
  routes: ["{domain}", "www.{domain}", "{domain}/app"]
  cpu: 0.25
  memory: 512MiB
  replicas: 2
  health: /healthz
  uses: [cart, session]
  env: {CART: "${cart.url}", REDIS: "${session.address}"}
  secrets: {STRIPE_KEY: stripe}
  sticky: 1h
  drain: 30s
cart: {image: ghcr.io/acme/cart, port: 8080, routes: ["{domain}/cart"], memory: 256MiB, replicas: 2, uses: [session]}
session: {image: redis, port: 6379, protocol: tcp, memory: 256MiB, volume: /data}
"""
PROD: dict[str, Any] = {
    "cloud": "aws",
    "domain": "example.com",
    "capacity": {
        "zones": 3,
        "instances": {"types": ["m7g.large", "m6g.large"], "min": 2, "max": 12, "spot": 70},
        "fargate": {"spot": 50},
    },
    "services": {
        "web": {
            "image": f"ghcr.io/acme/web@{DIGEST}",
            "replicas": {"min": 3, "max": 30, "cpu": 60, "requests": 800},
            "rollout": {"strategy": "canary", "percent": 10, "bake": "10m"},
        },
        "cart": {"image": f"ghcr.io/acme/cart@{DIGEST}"},
        "session": {"image": f"redis@{DIGEST}", "volume": None},
    },
}


def test_the_designs_stack_on_aws_is_right() -> None:
    stack = read(yaml.safe_load(SERVICES), PROD)
    assert stack.services["web"].rollout == Rollout(strategy="canary", percent=10, bake=600)
    assert isinstance(stack.capacity, AwsCapacity)
    assert stack.capacity.instances == Instances(types=("m7g.large", "m6g.large"), min=2, max=12, spot=70)
    assert stack.capacity.fargate.spot == 50
    assert stack.services["session"].volume is None


LEAST = {"image": f"acme/web@{DIGEST}"}


def test_an_instance_has_room_for_its_machine_image() -> None:
    capacity = {"instances": {"types": ["m7g.large"], "max": 4, "disk": "20GiB"}}
    assert problems({"web": LEAST}, {"capacity": capacity}) == [
        "quayside:capacity/instances/disk: should be at least 30GiB, got 20GiB\n    write 40GiB"
    ]


@pytest.mark.parametrize(
    "keys",
    [
        "port: 80, sticky: 1h, rollout: {strategy: blue_green}",
        "port: 80, protocol: tcp",
        "on: fargate, capabilities: [SYS_PTRACE]",
        "capabilities: [NET_RAW]",
        "on: fargate, drain: 2m",
        "drain: 1d",
        "on: fargate, port: 80, drain: 1h",
        "on: fargate, network: awsvpc",
        "port: 80, rollout: {strategy: blue_green, bake: 15m, alarms: [errors]}",
        "port: 80, sticky: 7d, canary: {image: 'acme/web@DIGEST', share: 10}",
        "port: 80, rollout: {strategy: linear, percent: 3}",
        "rollout: {alarms: [queue is long]}",
        "port: 80, rollout: {errors: 2}",
        "port: 80, health: {path: /x, interval: 300s, timeout: 120s, grace: 1h}",
        "health: {command: x, interval: 5s, timeout: 2s, grace: 300s}",
        "volume: /data, user: 999",
        "volume: /data, user: '999:1000', files: {/etc/x/y: {content: z}}",
        "exec: true, read_only: false",
        "port: 80, slow_start: 30s, replicas: {min: 1, max: 9, requests: 100}",
        "secrets: {A: 'arn:aws:ssm:eu-central-1:123456789012:parameter/a'}",
    ],
)
def test_what_aws_can_have(keys: str) -> None:
    assert read(web(keys.replace("DIGEST", DIGEST))).services["web"]


# --- a service -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # where it runs
        ("place: db1", "place: is for fleets of hosts; ECS places tasks itself\n    remove place"),
        ("ports: [{port: 22}]", "ports: is for fleets of hosts\n    remove ports; on aws use routes"),
        (
            "on: fargate, capabilities: [NET_RAW]",
            "capabilities/0: should be none or SYS_PTRACE on fargate, got NET_RAW\n    remove NET_RAW, or on: fargate",
        ),
        (
            "capabilities: [BPF]",
            "capabilities/0: names BPF, which ECS cannot add\n    remove BPF; it cannot be had on aws",
        ),
        (
            "on: fargate, drain: 3m",
            "drain: should be at most 120s on fargate for a service without a route, got 3m\n    shorten it, or remove on: fargate: instances wait as long as it says",
        ),
        ("on: fargate, network: host", "network: cannot be host on fargate\n    remove network, or on: fargate"),
        ("on: fargate, network: bridge", "network: cannot be bridge on fargate\n    remove network, or on: fargate"),
        (
            "exec: true",
            "exec: needs a writable root: the agent that aws puts into the container writes to it\n    set read_only: false for as long as exec is true",
        ),
        # requests
        (
            "port: 80, drain: 2h",
            "drain: should be at most 1h on aws for a service with a route, got 2h\n    write 1h",
        ),
        ("port: 80, sticky: 8d", "sticky: should be at most 7d on aws, got 8d\n    write 7d"),
        (
            "port: 80, routes: [], sticky: 1h",
            "sticky: needs a public route on aws: the balancer does it\n    add a route, or remove sticky",
        ),
        (
            "port: 80, routes: [], slow_start: 1m",
            "slow_start: needs a public route on aws: the balancer does it\n    add a route, or remove slow_start",
        ),
        (
            "replicas: {min: 1, max: 2, requests: 60}",
            "replicas/requests: needs a public route on aws: the balancer counts them\n    add a route, or scale by cpu",
        ),
        # rollouts
        (
            "rollout: {bake: 5m}",
            "rollout/bake: is for rollouts that bake, and rolling does not\n    remove bake, or set strategy: blue_green",
        ),
        (
            "rollout: {errors: 5}",
            "rollout/errors: needs a public route on aws: the balancer counts them\n    remove errors; existing alarms may be named in alarms",
        ),
        (
            "rollout: {percent: 5}",
            "rollout/percent: is for canary and linear; rolling moves all requests at once\n    remove percent, or set strategy: canary",
        ),
        (
            "port: 80, rollout: {strategy: blue_green, percent: 5}",
            "rollout/percent: is for canary and linear; blue_green moves all requests at once\n    remove percent, or set strategy: canary",
        ),
        (
            "port: 80, rollout: {strategy: canary}",
            "rollout/percent: is missing: canary moves a share of the requests\n    write percent: 10",
        ),
        (
            "port: 80, rollout: {strategy: linear, percent: 2}",
            "rollout/percent: should be 3–99 for linear, got 2\n    write percent: 3",
        ),
        (
            "rollout: {strategy: blue_green}",
            "rollout/strategy: should be rolling for a service without a route, got blue_green\n    remove rollout",
        ),
        (
            "port: 80, network: bridge, rollout: {strategy: blue_green}",
            "rollout/strategy: should be rolling for a service with network bridge, got blue_green\n    remove rollout, or network",
        ),
        (
            "port: 80, user: 1, volume: /data, rollout: {strategy: blue_green}",
            "rollout/strategy: should be rolling for a service with a volume, got blue_green\n    remove rollout: the new task would share the volume with the old one",
        ),
        (
            "port: 80, rollout: {strategy: blue_green, bake: 90s}",
            'rollout/bake: should be whole minutes, up to 1440m, got "90s"\n    write 2m',
        ),
        (
            "port: 80, rollout: {strategy: blue_green, bake: 25h}",
            'rollout/bake: should be 0s–1d, got "25h"',
        ),
        (
            "port: 80, canary: {image: 'acme/web@DIGEST', share: 9}, rollout: {}",
            "canary: cannot be combined with rollout\n    remove one of the two: both would own the weights",
        ),
        (
            "port: 80, routes: [], canary: {image: 'acme/web@DIGEST', share: 9}",
            "canary: needs a public route on aws: the balancer deals out the share\n    remove canary",
        ),
        # health
        (
            "port: 80, health: {interval: 4s}",
            "health/interval: should be 5s–300s on aws, got 4s\n    write 5s in the aws stack's file",
        ),
        (
            "port: 80, health: {timeout: 121s, interval: 200s, grace: 10m}",
            "health/timeout: should be 2s–120s on aws, got 121s\n    write 120s in the aws stack's file",
        ),
        (
            "port: 80, health: {timeout: 5s}",
            "health/timeout: should be below interval, 5s, on aws; got 5s\n    write interval: 6s",
        ),
        (
            "health: {command: x, interval: 301s}",
            "health/interval: should be 5s–300s on aws, got 301s\n    write 300s in the aws stack's file",
        ),
        (
            "health: {command: x, timeout: 1s}",
            "health/timeout: should be 2s–60s on aws, got 1s\n    write 2s in the aws stack's file",
        ),
        (
            "health: {command: x, grace: 6m}",
            "health/grace: should be 0s–300s on aws, got 6m\n    write 300s in the aws stack's file",
        ),
        # what it keeps and reaches
        (
            "volume: {path: /data, size: 10GiB}, user: 1",
            "volume/size: is for hosts: on aws a volume grows with its files\n    remove size",
        ),
        (
            "volume: /data",
            'user: is missing: on aws the volume\'s folder belongs to it\n    write the uid and gid that the process runs as: "999:999"',
        ),
        (
            "volume: /data, user: redis",
            'user: should be a number above 0, got "redis": on aws the volume\'s folder belongs to it\n    write the uid and gid that the process runs as: "999:999"',
        ),
        (
            "volume: /data, user: '0:0'",
            'user: should be a number above 0, got "0:0": on aws the volume\'s folder belongs to it\n    write the uid and gid that the process runs as: "999:999"',
        ),
        (
            "volume: /data, user: 1, files: {/data/x: {content: y}}",
            "files/data/x: its folder /data is the volume\n    put the file into another folder",
        ),
        (
            f"secrets: {{A: 'arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:a'}}",
            "secrets/A: is in us-east-1, and this stack is in eu-central-1\n    replicate it to eu-central-1, and name that ARN",
        ),
        (
            "permissions: [{actions: ['s3:GetObject', '*'], resources: ['arn:aws:s3:::a']}]",
            'permissions/0/actions/1: should be an action such as s3:GetObject, or s3:Get*, got "*"',
        ),
    ],
)
def test_one_wrong_key_of_a_service(keys: str, expected: str) -> None:
    assert problems(web(keys.replace("DIGEST", DIGEST))) == [f"services/web/{expected}"]


def test_ec2_needs_a_pool() -> None:
    expected = "services/web/on: should be fargate, for this stack has no pool of instances; got ec2\n    set quayside:capacity: {instances: {types: [m7g.large], max: 4}}, or on: fargate"
    assert problems(web(""), {"capacity": None}) == [expected]
    assert problems(web(""), {"capacity": {"zones": 3}}) == [expected]
    assert read(web("on: fargate"), {"capacity": None}).capacity is None


def test_nobody_uses_or_is_used_where_tasks_share_a_group() -> None:
    services = {**web("uses: [db]"), "db": {"image": f"x@{DIGEST}", "network": "bridge"}}
    assert problems(services) == [
        "services/web/uses/0: db is on network bridge, where it cannot tell its callers apart\n    remove network from db"
    ]
    services = {**web("uses: [db], network: host"), "db": {"image": f"x@{DIGEST}"}}
    assert problems(services) == [
        "services/web/uses: cannot be kept to with network host: its tasks share the instance's group\n    remove network"
    ]


def test_a_canary_is_not_met_by_those_who_use_its_service() -> None:
    services = {
        **web(f"port: 80, canary: {{image: 'acme/web@{DIGEST}', share: 10}}"),
        "shop": {"image": f"x@{DIGEST}", "uses": ["web"]},
    }
    assert problems(services) == [
        "services/web/canary: would never be reached by shop, which uses this service by its name\n    remove canary, or let shop use the public route"
    ]


# --- without a way out -----------------------------------------------------------------------------------------------

NO_NAT: dict[str, Any] = {"network": {"nat": "none"}}
CLOSED: dict[str, Any] = {**NO_NAT, "registry": {"repositories": ["acme/web"], "push": [ROLE]}}


@pytest.mark.parametrize("image", ["acme/web", OWN, OWN.replace(".amazonaws.com", ".amazonaws.com")])
def test_images_that_can_be_pulled_without_a_way_out(image: str) -> None:
    assert read({"web": {"image": f"{image}@{DIGEST}"}}, CLOSED)


@pytest.mark.parametrize(
    "image", ["redis", "ghcr.io/acme/web", "public.ecr.aws/a/b", OWN.replace("central-1", "west-1")]
)
def test_images_that_cannot(image: str) -> None:
    assert problems({"web": {"image": f"{image}@{DIGEST}"}}, CLOSED) == [
        f"services/web/image: cannot be pulled with nat: none, got {image}\n"
        "    push it to a repository of quayside:registry, or to ECR in this region; or set quayside:network: {nat: one}"
    ]


def test_the_canarys_image_is_pulled_as_well() -> None:
    found = problems(web(f"port: 80, canary: {{image: 'x@{DIGEST}', share: 1}}"), CLOSED)
    assert [text.split(":")[0] for text in found] == ["services/web/canary/image"]


def test_egress_without_a_way_out() -> None:
    assert problems(web("egress: [{to: 198.51.100.0/24}]"), CLOSED) == [
        "services/web/egress/0/to: 198.51.100.0/24 cannot be reached with nat: none, which leaves no way out of the network\n    set quayside:network: {nat: one}, or remove it"
    ]
    assert read(web("egress: [{to: 10.0.3.0/24}]"), CLOSED)
    assert problems(web("egress: [{to: '2001:db8::/32'}]"), CLOSED)


# --- the stack -------------------------------------------------------------------------------------------------------


def test_the_region() -> None:
    assert problems(web(""), region=None) == [
        "aws:region: is missing\n    pulumi config set aws:region eu-central-1 --stack prod"
    ]


CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/a"
KMS = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/a"
HUB = {"upstream": "registry-1.docker.io", "username": "acme", "password": "stripe"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"balancer": {"certificates": [CERTIFICATE]}},
            f"balancer/certificates/0: {CERTIFICATE} is in us-east-1, and this stack is in eu-central-1\n    name one of this region",
        ),
        (
            {"kms_keys": [KMS]},
            f"kms_keys/0: {KMS} is in us-east-1, and this stack is in eu-central-1\n    name one of this region",
        ),
        (
            {"balancer": {"allow": ["192.0.2.0/24", "2001:db8::/32"]}},
            "balancer/allow/1: should be a range of IPv4, got 2001:db8::/32\n    remove it",
        ),
        (
            {"registry": {"local": {**IMAGES, "endpoint": "fsn1.your-objectstorage.com"}}},
            "registry/local/endpoint: is for fleets of hosts: instances read a bucket of S3, with the role that they have\n    remove endpoint",
        ),
        (
            {"registry": {"local": {**IMAGES, "access_key": "stripe"}}},
            "registry/local/access_key: is for fleets of hosts: instances read a bucket of S3, with the role that they have\n    remove access_key",
        ),
        (
            {"registry": {"local": {**IMAGES, "image": "localhost:5000/registry:3"}}},
            "registry/local/image: cannot come from the registry that it is to run\n    remove it: unset, it is public.ecr.aws/docker/library/registry:3",
        ),
        (
            {"registry": {"local": {**IMAGES, "image": f"{OWN}:3"}}},
            f"registry/local/image: cannot be pulled: ECR asks for a login, which instances have none of; got {OWN}\n"
            "    name it in a public registry, or remove it: unset, it is public.ecr.aws/docker/library/registry:3",
        ),
        (
            {
                "registry": {
                    "local": {**IMAGES, "image": "acme/registry:3"},
                    "repositories": ["acme/registry"],
                    "push": [ROLE],
                }
            },
            "registry/local/image: cannot be pulled: ECR asks for a login, which instances have none of; got acme/registry\n"
            "    name it in a public registry, or remove it: unset, it is public.ecr.aws/docker/library/registry:3",
        ),
        *(
            (
                {"registry": {"local": {**IMAGES, "image": image}}},
                f"registry/local/image: should be of version 3, got {image}: version 2 cannot take on the role of an instance\n"
                "    remove it: unset, it is public.ecr.aws/docker/library/registry:3",
            )
            for image in ("registry:2", "docker.io/library/registry:2.8.3", f"registry:2@{DIGEST}")
        ),
        (
            {"registry": {"repositories": ["acme/web"]}},
            "registry/push: is missing: nobody could push into the repositories\n    name CI's role: push: [arn:aws:iam::123456789012:role/ci]",
        ),
        (
            {"registry": {"push": [ROLE]}},
            "registry/repositories: is missing, and push says who may push into them\n    name the repositories, or remove push",
        ),
        (
            {"registry": {"cache": {"hub": {**HUB, "username": None}}}},
            "registry/cache/hub/username: is missing beside password",
        ),
        (
            {"registry": {"cache": {"hub": {**HUB, "password": None}}}},
            "registry/cache/hub/password: is missing beside username\n    name a key under the stack's secrets",
        ),
        (
            {"registry": {"cache": {"hub": {**HUB, "password": "strip"}}}},
            'registry/cache/hub/password: no secret "strip" in this stack; did you mean "stripe"?\n    pulumi config set --secret --path quayside:secrets.strip --stack prod',
        ),
        (
            {"registry": {"cache": {"hub": {"upstream": "ghcr.io"}}}},
            "registry/cache/hub: needs a login: ECR pulls from ghcr.io with one only\n    set username and password; the password is a key under the stack's secrets",
        ),
        (
            {"registry": {"cache": {"hub": {**HUB, "upstream": "docker.io"}}}},
            "registry/cache/hub/upstream: should be one of ghcr.io, public.ecr.aws, quay.io, registry-1.docker.io, registry.gitlab.com, registry.k8s.io, NAME.azurecr.io, or ECR elsewhere; got docker.io\n    write registry-1.docker.io",
        ),
        (
            {"dns": {"provider": "hetzner"}},
            "dns/provider: should be route53 or manual on aws, got hetzner\n    set manual: the records to make are printed",
        ),
        (
            {"dns": {"provider": "route53", "zone": "example.org"}},
            "dns/zone: should be example.com or a parent of it, got example.org\n    name the hosted zone that holds the domain's records",
        ),
    ],
)
def test_one_wrong_key_of_a_stack(config: dict[str, Any], expected: str) -> None:
    assert problems(web(""), config) == [f"quayside:{expected}"]


def test_a_cache_cannot_be_filled_without_a_way_out() -> None:
    config = {**NO_NAT, "registry": {"cache": {"hub": HUB}}}
    assert problems({"web": {"image": f"hub/library/redis@{DIGEST}"}}, config) == [
        "quayside:registry/cache/hub: cannot be filled with nat: none: the first pull of an image needs the internet\n    set quayside:network: {nat: one}, or push the images into repositories"
    ]


def test_hosts_outside_the_zone() -> None:
    config: dict[str, Any] = {"dns": {"provider": "route53"}}
    routes = "port: 80, routes: ['{domain}', '*.{domain}/a', 'shop.example.org/b']"
    assert problems(web(routes), config) == [
        "services/web/routes/2: shop.example.org is outside the zone example.com, where its certificate cannot be proven\n    set quayside:dns: {provider: manual}, or name a certificate in quayside:balancer/certificates"
    ]
    certificate = CERTIFICATE.replace("us-east-1", "eu-central-1")
    assert read(web(routes), {**config, "balancer": {"certificates": [certificate]}})
    assert read(web(routes), {"dns": {"provider": "manual"}})
    assert read(web("port: 80"), {"domain": "a.example.com", "dns": {"provider": "route53", "zone": "example.com"}})


# --- elsewhere -------------------------------------------------------------------------------------------------------

ELSEWHERE = "is for cloud aws, and this stack is local"


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("slow_start", "port: 80, slow_start: 1m"),
        ("architecture", "architecture: arm64"),
        ("permissions", "permissions: [{actions: ['s3:GetObject'], resources: ['arn:aws:s3:::a/*']}]"),
        ("egress", "egress: []"),
        ("exec", "exec: true"),
    ],
)
def test_a_services_keys_that_only_aws_has(key: str, keys: str) -> None:
    expected = f"services/web/{key}: {ELSEWHERE}\n    remove {key}, or set it in the aws stack's file"
    assert problems(web(keys), {"capacity": None, **LOCAL}) == [expected]


@pytest.mark.parametrize(
    ("key", "config"),
    [
        ("network", {"network": {}}),
        ("balancer", {"balancer": {"idle": "5m"}}),
        ("logs", {"logs": "7d"}),
        ("kms_keys", {"kms_keys": [KMS]}),
        ("quotas", {"quotas": {}}),
        ("registry/repositories", {"registry": {"repositories": ["a"]}}),
        ("registry/push", {"registry": {"push": [ROLE]}}),
        ("registry/keep", {"registry": {"keep": 3}}),
        ("registry/cache", {"registry": {"cache": {"hub": HUB}}}),
    ],
)
def test_a_stacks_keys_that_only_aws_has(key: str, config: dict[str, Any]) -> None:
    expected = f"quayside:{key}: {ELSEWHERE}\n    remove quayside:{key}"
    assert problems(web(""), {"capacity": None, **LOCAL, **config}) == [expected]


@pytest.mark.parametrize(
    ("region", "fix"),
    [
        ("eu-central-9", "\n    did you mean eu-central-2 or eu-central-1?"),
        ("eu-central-1a", "\n    write eu-central-1"),
        ("frankfurt", ""),
    ],
)
def test_an_unknown_region_is_one_problem(region: str, fix: str) -> None:
    arn = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:x"
    found = problems(
        web(f"secrets: {{A: '{arn}', B: '{arn}'}}"),
        {"kms_keys": [f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/x"], "network": {"nat": "none"}},
        region=region,
    )
    zone = ", not a zone" if region.endswith("a") else ""
    at_region = [line for line in found if line.startswith("aws:region")]
    assert at_region == [f'aws:region: should be a region of AWS such as eu-central-1{zone}, got "{region}"{fix}']
    assert not [line for line in found if "stack is in" in line]


def test_the_known_regions_are_botocores() -> None:
    assert {region for region in regions() if "-iso" not in region} - {"eu-isoe-west-1"} == set(REGIONS)


def test_a_missing_pool_is_one_problem() -> None:
    image = f"acme/web@{DIGEST}"
    found = problems({name: {"image": image} for name in "abc"}, {"capacity": None})
    assert found == [
        "quayside:capacity/instances: is missing, and these services run on: ec2: a, b, c\n"
        "    set quayside:capacity: {instances: {types: [m7g.large], max: 4}}, or set on: fargate in each"
    ]


def test_a_misspelt_repository_of_our_own_is_asked_about() -> None:
    registry = {"registry": {"repositories": ["acme/web"], "push": [ROLE]}}
    service = {"web": {"image": f"acme/wbe@{DIGEST}"}}
    assert problems(service, registry) == [
        "services/web/image: acme/wbe is none of quayside:registry/repositories; did you mean acme/web?\n"
        "    name it there, or write docker.io/acme/wbe if Docker Hub's is meant"
    ]
    read({"web": {"image": f"docker.io/acme/wbe@{DIGEST}"}, "db": {"image": f"redis@{DIGEST}"}}, registry)


# --- the registry of every instance ----------------------------------------------------------------------------------


def test_images_of_an_instances_own_registry_are_for_tasks_on_instances() -> None:
    config = {"registry": {"local": IMAGES}}
    assert read({"web": {"image": HERE}}, config).services["web"].image == HERE
    fargate = "and a task on Fargate has no instance that runs one\n    set on: ec2, or name it under quayside:registry/repositories or in a registry that it can reach"
    assert problems({"web": {"image": HERE, "on": "fargate"}}, config) == [
        f"services/web/image: comes from localhost:5000, {fargate}"
    ]
    web = {"image": f"acme/web@{DIGEST}", "port": 80, "on": "fargate", "canary": {"image": HERE, "share": 10}}
    assert problems({"web": web}, config) == [f"services/web/canary/image: comes from localhost:5000, {fargate}"]
    # Whether one is declared or not: declaring it would be the wrong advice.
    assert problems({"web": {"image": HERE, "on": "fargate"}}) == [
        f"services/web/image: comes from localhost:5000, {fargate}"
    ]
    assert problems({"web": {"image": f"127.0.0.1:5000/web@{DIGEST}"}}, config) == [
        "services/web/image: comes from 127.0.0.1:5000, and instances have their registry on localhost:5000\n    write that"
    ]


def test_a_registry_of_instances_needs_instances() -> None:
    assert problems(
        {"web": {"image": f"acme/web@{DIGEST}", "on": "fargate"}}, {"registry": {"local": IMAGES}, "capacity": {}}
    ) == [
        "quayside:registry/local: is for instances, and this stack has no pool of them\n"
        "    set quayside:capacity: {instances: {types: [m7g.large], max: 4}}, or remove it"
    ]


def test_its_port_is_taken_in_the_instances_own_network_only() -> None:
    config = {"registry": {"local": IMAGES}}
    service = {"image": HERE, "port": 5000, "protocol": "tcp"}
    assert problems({"web": {**service, "network": "host"}}, config) == [
        "services/web/port: 5000 is the port of quayside:registry/local on every instance\n    choose another"
    ]
    assert read({"web": service}, config)
    assert read({"web": {**service, "image": f"acme/web@{DIGEST}", "network": "host"}})


def test_without_nat_its_image_is_baked_and_its_bucket_near() -> None:
    """The images of services come out of the bucket, to which the endpoint of S3 leads."""
    baked = {"instances": {**POOL["instances"], "image": "ami-0123456789abcdef0"}}
    config = {"network": {"nat": "none"}, "registry": {"local": {**IMAGES, "region": "us-east-1"}}}
    services = {"web": {"image": HERE, "port": 80}}
    far = (
        "quayside:registry/local/region: us-east-1 cannot be reached with nat: none, whose way to S3 is that of eu-central-1 alone\n"
        "    name a bucket of this region, or set quayside:network: {nat: one}"
    )
    assert problems(services, config) == [
        far,
        "quayside:registry/local/image: cannot be pulled with nat: none, got public.ecr.aws/docker/library/registry\n"
        "    bake it into a machine image and name that in quayside:capacity/instances/image (docs/aws.md), or set quayside:network: {nat: one}",
    ]
    assert problems(services, {**config, "capacity": baked}) == [far]
    assert read(services, {**config, "capacity": baked, "registry": {"local": IMAGES}})
