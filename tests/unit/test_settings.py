# ruff: noqa: E501  # a message word for word is read on one line
"""What people write: every message word for word, and the documents of the design."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from settings.parse import parse
from settings.problems import ConfigError
from settings.service import Autoscale, Health, Service, Volume
from settings.stack import Stack
from settings.types import ImageReference, parse_image

DIGEST = f"sha256:{'a' * 64}"
LOCAL: dict[str, object] = {"cloud": "local"}
AWS: dict[str, object] = {
    "cloud": "aws",
    "domain": "example.com",
    "capacity": {"instances": {"types": ["m7g.large"], "max": 4}},
}
FLEET: dict[str, object] = {"cloud": "hetzner", "domain": "example.com"}


def read(services: str, config: dict[str, object] | None = None, secrets: tuple[str, ...] = ("stripe",)) -> Stack:
    name = "dev"
    return parse(
        project="quayside",
        stack=name,
        services=services,
        config={**LOCAL, **(config or {})},
        secrets=secrets,
        region="eu-central-1",
    )


def web(keys: str, config: dict[str, object] | None = None) -> Service:
    return read(f"services: {{web: {{image: x@{DIGEST}, {keys}}}}}", config).services["web"]


def problems(services: str, config: dict[str, object] | None = None, secrets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(services, config, secrets)
    return [str(problem) for problem in caught.value.problems]


# --- what is right ---------------------------------------------------------------------------------------------------

SERVICES = """
services:
  web:
    image: registry.example.com/acme/web
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
  cart: {image: registry.example.com/acme/cart, port: 8080, routes: ["{domain}/cart"], memory: 256MiB, replicas: 2, uses: [session]}
  session: {image: redis, port: 6379, protocol: tcp, memory: 256MiB, volume: /data}
"""
PROD: dict[str, object] = {
    "cloud": "aws",
    "domain": "example.com",
    "capacity": {
        "zones": 3,
        "instances": {"types": ["m7g.large", "m6g.large"], "min": 2, "max": 12, "spot": 70},
        "fargate": {"spot": 50},
    },
    "services": {
        "web": {
            "image": f"registry.example.com/acme/web@{DIGEST}",
            "sticky": None,  # not with a rollout of ECS's own
            "replicas": {"min": 3, "max": 30, "cpu": 60},
            "rollout": {"strategy": "canary", "percent": 10, "bake": "10m"},
        },
        "cart": {"image": f"registry.example.com/acme/cart@{DIGEST}"},
        "session": {"image": f"redis@{DIGEST}", "volume": None, "health": {"command": ["redis-cli", "ping"]}},
    },
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
STAGING: dict[str, object] = {
    "cloud": "hetzner",
    "domain": "staging.example.com",
    "capacity": {
        "location": "fsn1",
        "hosts": {"count": 3, "type": "cx33"},
        "existing": [{"name": "db1", "address": "203.0.113.7", "cpu": 16, "memory": "64GiB", "host_key": KEY}],
        "balancer": {"type": "lb11"},
    },
    "burst": {"droplets": 0, "size": "s-4vcpu-8gb", "region": "fra1", "services": ["web"]},
    "access": {"ssh": ["198.51.100.0/24"], "keys": [KEY]},
    "services": {
        "web": {"image": f"registry.example.com/acme/web@{DIGEST}"},
        "cart": {"image": f"registry.example.com/acme/cart@{DIGEST}"},
        "session": {"image": f"redis@{DIGEST}", "place": "db1"},
    },
}


def test_the_designs_services_parse() -> None:
    stack = read(SERVICES, {"edge": {"http": 8080}})
    service = stack.services["web"]
    assert stack.domain == "localhost"
    assert stack.edge.http == 8080
    assert list(stack.services) == ["web", "cart", "session"]
    assert (service.memory, service.sticky, service.drain) == (512 * 1024**2, 3600, 30)
    assert service.health == Health(path="/healthz")
    assert service.uses == ("cart", "session")
    assert stack.services["session"].volume == Volume(path="/data")


def test_a_stack_is_merged_over_the_services_and_null_removes() -> None:
    stack = read(SERVICES, PROD)
    assert stack.services["web"].replicas == Autoscale(min=3, max=30, cpu=60)
    assert stack.services["web"].routes == ("{domain}", "www.{domain}", "{domain}/app")
    assert stack.services["session"].volume is None
    assert "cart" not in read("services: {web: {image: x}, cart: {image: y}}", {"services": {"cart": None}}).services


def test_the_designs_fleet_parses() -> None:
    stack = read(SERVICES, STAGING)
    assert stack.services["session"].place == "db1"
    assert stack.burst is not None
    assert stack.burst.services == ("web",)


def test_named_hosts() -> None:
    assert read("services: {}", {**FLEET, "capacity": {"hosts": {"web1": {"type": "cx33"}}}}).capacity is not None


def test_short_and_long_forms_merge() -> None:
    services = "services: {web: {image: acme/web:1, port: 80, health: /a, env: {A: 1, B: 2}}}"
    changes = {"web": {"health": {"timeout": "3s"}, "image": {"digest": DIGEST}, "env": {"A": None, "C": True}}}
    service = read(services, {"services": changes}).services["web"]
    assert (service.health.path, service.health.timeout) == ("/a", 3)
    assert service.image == f"acme/web:1@{DIGEST}"
    assert service.env == {"B": "2", "C": "true"}


def test_config_arrives_as_pulumi_hands_it_over() -> None:
    stack = read(
        "services: {web: {image: x}}",
        {"memory": "2GiB", "edge": '{"http": "8080"}', "services": '{"web": {"cpu": "0.5"}}'},
    )
    assert (stack.edge.http, stack.services["web"].cpu, stack.memory) == (8080, 0.5, 2 * 1024**3)


@pytest.mark.parametrize(
    ("keys", "field", "expected"),
    [
        ("command: sh -c 'echo hi'", "command", ("sh", "-c", "echo hi")),
        ("command: [sleep, 1]", "command", ("sleep", "1")),
        ("env: {FAIL: 1, ON: true, PI: 3.5, EMPTY: ''}", "env", {"FAIL": "1", "ON": "true", "PI": "3.5", "EMPTY": ""}),
        ("user: 1000", "user", "1000"),
        ("drain: 0s", "drain", 0),
        ("drain: 1h30m", "drain", 5400),
        ("memory: 1.5GiB", "memory", 3 * 512 * 1024**2),
        ("memory: 256MB", "memory", 256 * 1000**2),
        ("on: ec2", "on", "ec2"),
        ("capabilities: [cap_net_raw]", "capabilities", ("NET_RAW",)),
        ("port: 80, routes: ['*.{domain}/a.b/c']", "routes", ("*.{domain}/a.b/c",)),
        ("routes: []", "routes", ()),
        ("port:", "port", None),
        ("replicas: 0", "replicas", 0),
    ],
)
def test_values(keys: str, field: str, expected: object) -> None:
    assert getattr(web(keys), field) == expected


def test_image_references() -> None:
    assert parse_image(f"host.example.com:5000/a/b:1.2@{DIGEST}") == ImageReference(
        "host.example.com:5000/a/b", "1.2", DIGEST
    )
    assert parse_image("redis") == ImageReference("redis", None, None)
    assert str(parse_image(f"a/b:c@{DIGEST}")) == f"a/b:c@{DIGEST}"
    with pytest.raises(ValueError, match="not an image"):
        parse_image("a b")


# --- what is wrong ---------------------------------------------------------------------------------------------------

BARE = "; units are required, got"
DURATION = "should be a length of time such as 30s, 10m or 1h"
MEMORY = "should be an amount such as 512MiB"
ROUTE = 'should be a route such as "{domain}", "www.{domain}" or "{domain}/app", got'
NAME = "a lowercase letter, then up to 39 lowercase letters, digits and inner hyphens"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("prot: 80", 'prot: unknown key; did you mean "port"?'),
        ("port: 0", "port: should be 1–65535, got 0"),
        ("port: http", 'port: should be a whole number, 1–65535, got "http"'),
        ("port: 80.5", "port: should be a whole number, 1–65535, got 80.5"),
        ("port: true", "port: should be a whole number, 1–65535, got true"),
        ("port: [80]", "port: should be a whole number, 1–65535, got a list"),
        ("memory: 512", f"memory: {MEMORY}{BARE} 512\n    write 512MiB, if that is meant"),
        ("memory: 2g", f'memory: {MEMORY}{BARE} "2g"\n    write 2GiB, if that is meant'),
        ("memory: 1MiB", 'memory: should be 6MiB–1024TiB, got "1MiB"'),
        ("memory: lots", f'memory: {MEMORY} or 2GiB, got "lots"\n    units are KiB, MiB, GiB, TiB, or kB, MB, GB, TB'),
        ("cpu: 0", "cpu: should be 0.01–256 (vCPU), got 0"),
        ("cpu: .nan", "cpu: should be 0.01–256 (vCPU), got .nan"),
        ("drain: 30", f"drain: {DURATION}{BARE} 30\n    write 30s, if that is meant"),
        ("drain: 2d", 'drain: should be 0s–1d, got "2d"'),
        ("drain: 500ms", f'drain: {DURATION}; whole seconds are the smallest step, got "500ms"\n    write 1s'),
        ("sticky: 0s", 'sticky: should be 1s–365d, got "0s"'),
        ("replicas: -1", "replicas: should be 0–1000, got -1"),
        ("replicas: many", 'replicas: should be a whole number, 0–1000, got "many"'),
        ("replicas: {min: 3, max: 2}", "replicas: min should be at most max, got min 3 and max 2"),
        ("replicas: {min: 3}", "replicas/max: is missing"),
        ("replicas: {min: 1, max: 2, cpo: 3}", 'replicas/cpo: unknown key; did you mean "cpu"?'),
        ("protocol: htp", 'protocol: should be http or tcp, got "htp"\n    did you mean http?'),
        ("read_only: maybe", 'read_only: should be true or false, got "maybe"'),
        ("uses: cart", 'uses: should be a list, got "cart"\n    write [cart]'),
        ("uses: [Cart]", f'uses/0: should be {NAME}, got "Cart"'),
        ("uses: [a, a]", 'uses: names "a" twice\n    leave one of them out'),
        ("health: 1", "health: should be a path such as /healthz, or a mapping with path or command, got 1"),
        ("env: [A]", "env: should be a mapping, got a list"),
        (
            "env: {A: [1]}",
            "env/A: should be text, a number, true or false, got a list\n    a list or mapping can be JSON in quotes",
        ),
        ("env: {A: }", 'env/A: should be text, a number, true or false, got nothing\n    write "" for an empty value'),
        ("env: {A: 1.10}", 'env/A: should be in quotes: as a number, 1.10 would arrive as 1.1\n    write "1.10"'),
        ("env: {A: 007}", 'env/A: should be in quotes: as a number, 007 would arrive as 7\n    write "007"'),
        (
            "env: {1A: x}",
            'env/1A: the name should be a variable\'s name: letters, digits and _, no digit first, got "1A"',
        ),
        ("env: {1: x}", 'env/1: a key should be text, got 1\n    write "1"'),
        (
            "command: 'echo \"'",
            "command: cannot be split as a shell would: no closing quotation\n    write it as a list",
        ),
        (
            "command: []",
            "command: should be a command, as text or as a list, got an empty list\n    leave it out to keep the image's own",
        ),
        (
            "routes: [https://a.b]",
            f'routes/0: {ROUTE} "https://a.b"\n    leave the scheme out: the edge speaks for both',
        ),
        ("routes: [/app]", f'routes/0: {ROUTE} "/app"\n    a host comes first: {{domain}}/app'),
        ("routes: [a.b/]", f'routes/0: {ROUTE} "a.b/"\n    write a.b; it matches everything below it'),
        (
            "routes: ['a.b:80']",
            f'routes/0: {ROUTE} "a.b:80"\n    leave the port out: the edge\'s own ports are set by quayside:edge',
        ),
        ("routes: ['a b']", f'routes/0: {ROUTE} "a b"'),
        ('routes: ["a\\nb"]', f'routes/0: {ROUTE} "a\\nb"'),
        ("routes: ['a.b/../c']", f'routes/0: {ROUTE} "a.b/../c"\n    browsers resolve . and .. before they ask'),
        (
            "volume: data",
            'volume/path: should be an absolute path such as /data: letters, digits and ._@+=- between slashes, got "data"',
        ),
        (
            "files: {/a: ../b}",
            'files/a/source: should be a path inside the folder of services.yaml, got "../b"\n    keep the file beside services.yaml',
        ),
        (
            "files: {/a: {source: b, content: c}}",
            "files/a: should have one of source, template and content, got source and content",
        ),
        (
            "capabilities: [NET_RAWW]",
            'capabilities/0: should be a Linux capability such as NET_BIND_SERVICE, got "NET_RAWW"\n    did you mean NET_RAW?',
        ),
        ("canary: {image: x}", "canary/share: is missing"),
        ("port: 80, canary: {image: x, share: 0}", "canary/share: should be 1–99, got 0"),
        # between keys
        ("sticky: 1h", "sticky: needs a port, for it is about requests\n    set port, or remove sticky"),
        ("routes: [a.b]", "routes: needs a port to send requests to\n    set port, or remove routes"),
        (
            "port: 1, protocol: tcp, routes: [a.b]",
            "routes: is for protocol http only\n    remove routes; services in its stack reach it by name",
        ),
        (
            "health: /x",
            "health/path: cannot be asked of a service with no port\n    use health: {command: …}, or remove it",
        ),
        (
            "port: 1, health: {command: x}",
            "health/command: is for services without a port or with protocol tcp\n    use health: /path",
        ),
        (
            "volume: /data, replicas: 2",
            "replicas: should be 1 for a service with a volume, got 2\n    two would corrupt the data",
        ),
        (
            "env: {A: 1}, secrets: {A: stripe}",
            "env/A: is also a secret, and there can be one\n    remove it from env or from services/web/secrets",
        ),
        (
            "secrets: {A: strip}",
            'secrets/A: no secret "strip" in this stack; did you mean "stripe"?\n    .venv/bin/quayside secret strip --stack dev',
        ),
        # on this cloud
        (
            "rollout: {}",
            "rollout: is for cloud aws; local stacks release create-first behind a gate\n    remove rollout",
        ),
        ("network: bridge", "network: should be own or host on local stacks, got bridge\n    remove network"),
        (
            "on: fargate",
            "on: is for cloud aws, and this stack is local\n    remove on, or set it in the aws stack's file",
        ),
        (
            "balancer: 2",
            "balancer: is for cloud aws, and this stack is local\n    remove balancer, or set it in the aws stack's file",
        ),
        ("place: db1", "place: is for fleets of hosts, and this stack is local\n    remove place"),
        (
            "network: host, port: 80",
            "port: cannot be had with network host, which the edge has no part in\n    remove port, or remove network: host",
        ),
    ],
)
def test_one_wrong_key_of_a_service(keys: str, expected: str) -> None:
    found = problems(f"services: {{web: {{image: x, {keys}}}}}", secrets=("stripe",))
    assert found == [f"services/web/{expected}"]


_AN_IMAGE = "should be an image such as registry.example.com/acme/web@sha256:…"
_UPPER = (
    f'the digest should be sha256: and 64 lower-case hexadecimal digits, got "{DIGEST.upper().replace("SHA", "sha")}"'
    f"\n    write {DIGEST}"
)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (
            "Acme/Web:x y",
            'should be an image such as registry.example.com/acme/web@sha256:…, got "Acme/Web:x y"\n    repositories are lowercase',
        ),
        (
            "web@sha256:1",
            'the digest should be sha256: and 64 lower-case hexadecimal digits, got "sha256:1"\n    it has 1 digits',
        ),
        (f"web@{DIGEST.upper().replace('SHA', 'sha')}", _UPPER),
        ("acme/Web", f'{_AN_IMAGE}, got "acme/Web"\n    repositories are lowercase: acme/web'),
        ("", f'{_AN_IMAGE}, got ""'),
        (
            "https://x/y",
            'should be an image such as registry.example.com/acme/web@sha256:…, got "https://x/y"\n    leave the scheme out',
        ),
    ],
)
def test_wrong_images(image: str, expected: str) -> None:
    assert problems(f'services: {{web: {{image: "{image}"}}}}') == [f"services/web/image: {expected}"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"srge": "all"}, 'quayside:srge: unknown key; did you mean "surge"?'),
        ({"surge": "al"}, 'quayside:surge: should be all or largest, got "al"\n    did you mean all?'),
        ({"cloud": "gcp"}, 'quayside:cloud: should be aws, hetzner or local, got "gcp"'),
        (
            {"cloud": None},
            "quayside:cloud: is missing; it is one of aws, hetzner, local\n    pulumi config set quayside:cloud local --stack dev",
        ),
        (
            {"access": "on"},
            'quayside:access: should be a mapping, got "on"\n    known keys: ssh, keys, deploy_key, jump, jump_host_key',
        ),
        ({"edge": '{"htp": 1}'}, 'quayside:edge/htp: unknown key; did you mean "http"?'),
        (
            {"edge": {"extra": ["a\nb"]}},
            'quayside:edge/extra/0: should be one line of a HAProxy frontend, without control characters, got "a\\nb"\n    write one list item for each line',
        ),
        (
            {"edge": {"extra": ["backend x"]}},
            'quayside:edge/extra/0: "backend" would end the public frontend\n    give only lines that belong in a frontend',
        ),
        (
            {"edge": {"acme": {"email": "ops"}}},
            'quayside:edge/acme/email: should be an address such as ops@example.com, got "ops"',
        ),
        (
            {"edge": {"acme": {"email": "a@b.org", "server": "http://acme.example.com"}}},
            'quayside:edge/acme/server: should be a URL such as https://acme.example.com/directory, got "http://acme.example.com"',
        ),
        (
            {"edge": {"acme": {"email": "a@b.org"}}},
            "quayside:edge/acme: is for fleets of hosts, and this stack is local\n    remove it",
        ),
        (
            {"edge": {"address": "here"}},
            'quayside:edge/address: should be an IP address such as 203.0.113.7, got "here"',
        ),
        (
            {"domain": "Shop.localhost"},
            'quayside:domain: should be a domain such as example.com, got "Shop.localhost"\n    write shop.localhost',
        ),
        (
            {"subnets": "10.0.0.1/8"},
            'quayside:subnets: should be a range of addresses whose bits past the prefix are zero, got "10.0.0.1/8"\n    write 10.0.0.0/8',
        ),
        (
            {"subnets": "8.0.0.0/8"},
            'quayside:subnets: should be a private IPv4 range of /8 to /22, such as 10.128.0.0/9, got "8.0.0.0/8"',
        ),
        (
            {"capacity": {}},
            "quayside:capacity: is not for local stacks, which run on this machine\n    remove it; quayside:memory bounds a plan",
        ),
        (
            {"burst": {"droplets": 1}},
            "quayside:burst: is for fleets of hosts, and this stack is local\n    remove quayside:burst",
        ),
        (
            {**FLEET, "domain": None},
            "quayside:domain: is missing\n    pulumi config set quayside:domain example.com --stack dev",
        ),
        (
            {**FLEET, "burst": {"services": ["wbe"]}},
            'quayside:burst/services/0: there is no service "wbe"\n    did you mean "web"?',
        ),
        (
            {**FLEET, "capacity": {"hosts": {"web1": "cx33"}}},
            'quayside:capacity/hosts/web1: should be a mapping, got "cx33"\n    known keys: type, location',
        ),
        (
            {**FLEET, "capacity": {"hosts": 2}},
            "quayside:capacity/hosts: should be a mapping, got 2\n    known keys: count, type, skip",
        ),
        (
            {**FLEET, "capacity": {"hosts": {"count": 1, "type": "a", "skp": [1]}}},
            'quayside:capacity/hosts/skp: unknown key; did you mean "skip"?',
        ),
        (
            {**AWS, "capacity": {"instances": {"types": [], "max": 1}}},
            "quayside:capacity/instances/types: should be a list with at least one item, got an empty list",
        ),
        (
            {"services": {"wbe": None}},
            'services/wbe: services.yaml has no such service to remove\n    did you mean "web"?',
        ),
        ({"services": "{"}, 'quayside:services: should be a mapping of services, got "{"'),
        ({"services": {"web": {"prot": None}}}, 'services/web/prot: unknown key; did you mean "port"?'),
        (
            {"registry": {"local": {"bucket": "images"}}},
            "quayside:registry/local: is for fleets and for AWS, and this stack is local\n"
            "    remove it; to pull from the bucket, run a registry on localhost:5000 yourself (docs/hosts.md)",
        ),
        (
            {**FLEET, "services": {"web": {"image": f"localhost:5000/web@{DIGEST}"}}},
            "services/web/image: comes from localhost:5000, and no registry runs on the hosts\n"
            "    set quayside:registry: {local: {bucket: …, endpoint: …}}, or name another registry",
        ),
        (
            {**AWS, "services": {"web": {"image": f"localhost:5000/web@{DIGEST}"}}},
            "services/web/image: comes from localhost:5000, and no registry runs on the instances\n"
            "    set quayside:registry: {local: {bucket: …}}, or name another registry",
        ),
        (
            {"registries": {"registry.example.com": {"username": "a", "password": "b"}}},
            'quayside:registries/registry.example.com/password: no secret "b" in this stack\n    .venv/bin/quayside secret b --stack dev',
        ),
    ],
)
def test_one_wrong_key_of_a_stack(config: dict[str, object], expected: str) -> None:
    assert problems(f"services: {{web: {{image: x@{DIGEST}}}}}", config) == [expected]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"host_key": KEY[:60]},
            f'host_key: should be a whole SSH public key, got "{KEY[:60]}"\n'
            "    copy its line again, to the end: a part of it is missing or changed",
        ),
        (
            {"host_key": KEY.replace("AAAAC3", "AAAAC4")},
            f'host_key: should be a whole SSH public key, got "{KEY[:59].replace("AAAAC3", "AAAAC4")}…"\n'
            "    copy its line again, to the end: a part of it is missing or changed",
        ),
        (
            {"host_key": f"203.0.113.7 {KEY}"},
            f'host_key: should be an SSH public key: `ssh-ed25519 AAAA…`, got "203.0.113.7 {KEY[:47]}…"\n'
            "    give the one line of a .pub file, or of `ssh-keyscan -t ed25519 ADDRESS` without the address it begins "
            "with",
        ),
        (
            {"host_key": None},
            "host_key: is missing\n"
            "    `ssh-keyscan -t ed25519 ADDRESS` prints it, after the address; compare it with what the server itself has",
        ),
        (
            {"address": "2001:db8::7"},
            'address: should be an IPv4 address such as 203.0.113.7, got "2001:db8::7"\n'
            "    edges and containers are published on IPv4 alone, and the host is given an A record; write no name here",
        ),
        (
            {"address": "db1.example.com"},
            'address: should be an IPv4 address such as 203.0.113.7, got "db1.example.com"\n'
            "    edges and containers are published on IPv4 alone, and the host is given an A record; write no name here",
        ),
    ],
)
def test_an_existing_server_that_nobody_could_reach(change: dict[str, object], expected: str) -> None:
    server = {"name": "db1", "address": "203.0.113.7", "cpu": 16, "memory": "64GiB", "host_key": KEY, **change}
    capacity = {"existing": [{key: value for key, value in server.items() if value is not None}]}
    found = problems(f"services: {{web: {{image: x@{DIGEST}}}}}", {**FLEET, "capacity": capacity})
    assert found == [f"quayside:capacity/existing/0/{expected}"]


def test_one_server_is_a_list_of_one() -> None:
    server = {"name": "db1", "address": "203.0.113.7", "cpu": 16, "memory": "64GiB", "host_key": KEY}
    found = problems(f"services: {{web: {{image: x@{DIGEST}}}}}", {**FLEET, "capacity": {"existing": server}})
    assert found == ["quayside:capacity/existing: should be a list, got a mapping\n    begin each item with `- `"]


def test_a_service_with_a_mistake_of_its_own_is_not_said_to_be_absent() -> None:
    config = {**FLEET, "burst": {"services": ["web"]}}
    assert problems(f"services: {{web: {{image: x@{DIGEST}, prt: 80}}}}", config) == [
        'services/web/prt: unknown key; did you mean "port"?'
    ]


@pytest.mark.parametrize("image", [123456, "123456", "debian-12"])
def test_an_image_of_hosts_may_be_a_number_as_pulumi_writes_it(image: object) -> None:
    capacity = {"location": "fsn1", "hosts": {"count": 1, "type": "cx33"}, "image": image}
    stack = read(f"services: {{web: {{image: x@{DIGEST}}}}}", {**FLEET, "capacity": capacity})
    assert stack.capacity.image == str(image)  # type: ignore[union-attr]


def test_visitors_of_a_fleet_are_shown_one_certificate() -> None:
    both = {"acme": {"email": "a@b.org"}, "certificate": "site"}
    assert problems(f"services: {{web: {{image: x@{DIGEST}}}}}", {**FLEET, "edge": both}, ("site",)) == [
        "quayside:edge/acme: cannot be combined with certificate\n    remove one of the two: visitors are shown one"
    ]


def test_a_laptop_may_have_its_owners_registry() -> None:
    assert (
        read(f"services: {{web: {{image: localhost:5000/x@{DIGEST}}}}}").services["web"].image.startswith("localhost")
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "services.yaml: is empty\n    begin with `services:`, then a service's name, then its image"),
        (
            "[]",
            "services.yaml: should be a mapping with `services`, got an empty list\n    begin with `services:`, then a service's name, then its image",
        ),
        ("service: {}", 'service: unknown key; did you mean "services"?'),
        (
            "services:",
            "services: should be a mapping of services, got nothing\n    begin with `services:`, then a service's name, then its image",
        ),
        (
            "services:\n  a: {image: x}\n  a: {image: y}",
            'services.yaml:3: the key "a" is given twice\n    keep one of them; YAML would take the last and drop the other in silence',
        ),
        (
            "services: {a: {env: {URL: x@${db.address}/y}}}",
            "services.yaml:1: is not valid YAML: expected ',' or '}', but got '{'\n    put text that holds ${…} in quotes",
        ),
        (
            "services: {a: {image: x, port: 80, routes: [{domain}]}}",
            f"services/a/routes/0: {ROUTE} a mapping\n    put it in quotes",
        ),
        ("services: {a: b", "services.yaml:1: is not valid YAML: expected ',' or '}', but got '<stream end>'"),
        (
            "a: !!python/object:os.system {}",
            "services.yaml:1: uses a YAML tag (!…), which has no meaning here\n    leave the tag out",
        ),
        ("a: \x00", "services.yaml:1: holds a character that YAML does not allow"),
        ("services: {Web: {image: x}}", f'services/Web: the name should be {NAME}, got "Web"\n    rename the service'),
        (
            "services: {edge: {image: x}}",
            "services/edge: is a reserved name\n    rename it: the proxy in front of every service has this name",
        ),
        (
            "services: {web: {}}",
            "services/web/image: is missing\n    set it in services.yaml, or in the stack's file under quayside:services",
        ),
        ("services: {web: nginx}", 'services/web: should be a mapping, got "nginx"\n    write {image: nginx}'),
        ("services: {web: [nginx]}", "services/web: should be a mapping, got a list\n    write {image: …}"),
        ("[" * 5000, "services.yaml: is nested deeper than 32 levels"),
        ("services: &a {b: *a}", "services.yaml: is nested deeper than 32 levels"),
    ],
)
def test_wrong_documents(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_an_alias_bomb_is_refused_at_once() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    assert problems(f"a0: &a0 [x]\n{levels}") == [
        "services.yaml: holds more than 100,000 values\n    use fewer aliases (*name)"
    ]


def test_a_bomb_of_merge_keys_is_refused_at_once() -> None:
    levels = "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12))
    assert problems(f"a0: &a0 {{x: 1}}\n{levels}")[0].endswith("too much is merged with <<")


def test_images_need_digests_outside_local() -> None:
    assert problems("services: {web: {image: acme/web:1}}", AWS) == [
        'services/web/image: needs a digest outside local stacks, got "acme/web:1"\n'
        "    write acme/web@sha256:…, as `docker buildx imagetools inspect acme/web:1` prints it; "
        "a tag can move, a digest cannot"
    ]


def test_nobody_uses_a_service_on_the_hosts_network() -> None:
    services = "services: {a: {image: x, network: host}, b: {image: x, uses: [a]}}"
    assert problems(services) == [
        "services/b/uses/0: a is on network host, where nobody can use it\n    remove network: host from a"
    ]


def test_names_of_project_and_stack() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(project="My Shop", stack="Dev", services="services: {}", config=LOCAL, secrets=())
    assert [problem.path for problem in caught.value.problems] == ["project", "stack"]


def test_everything_at_once() -> None:
    services = "services: {web: {image: x, prot: 1, port: 0, memory: 5}, db: {imag: y}, 9: {image: z}}"
    found = problems(services, {"srge": 1, "edge": {"http": 0}})
    assert [text.split(": ")[0] for text in found] == [
        "services/9",
        "quayside:srge",
        "quayside:edge/http",
        "services/web/port",
        "services/web/memory",
        "services/web/prot",
        "services/db/image",
        "services/db/imag",
    ]


def test_the_documented_errors_are_the_real_ones() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    shown = re.search(r"<!-- errors -->\n```\n(.*?)\n```", docs, re.DOTALL)
    assert shown is not None
    with pytest.raises(ConfigError) as caught:
        parse(
            project="quayside",
            stack="local",
            services="services: {web: {image: x, port: 0, memory: 512}, cart: {image: x, secrets: {STRIPE_KEY: stripe}}}",
            config=LOCAL,
            secrets=(),
        )
    assert str(caught.value) == shown[1]


# --- what a first user wrote -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["no", "off", "0", '"no"', '"False"', "n"])
def test_only_true_and_false_are_booleans(written: str) -> None:
    (found,) = problems(f"services: {{web: {{image: x, read_only: {written}}}}}")
    assert found.startswith("services/web/read_only: should be true or false, got ")
    assert found.endswith("\n    write false")


def test_true_and_false_as_pulumi_stores_them() -> None:
    assert read("services: {}", {**AWS, "protect": "false"}).protect is False
    assert read("services: {}", {**AWS, "protect": "true"}).protect is True
    assert web("read_only: false").read_only is False


def test_null_is_no_access_logs() -> None:
    assert read("services: {}", {**AWS, "balancer": {"logs": None}}).balancer.logs is None
    assert read("services: {}", {**AWS, "balancer": {"idle": None}}).balancer.idle == 60
    (found,) = problems("services: {}", {**AWS, "balancer": {"logs": "none"}})
    assert found.endswith('got "none"\n    write null for no logs')


@pytest.mark.parametrize(
    ("zone", "fix"),
    [
        ("Europe/Belrin", "\n    did you mean Europe/Berlin?"),
        ("europe/berlin", "\n    did you mean Europe/Berlin?"),
        ("Berlin", "\n    did you mean Europe/Berlin?"),
        ("Nowhere/Atall/Xyz", ""),
    ],
)
def test_time_zones_exist(zone: str, fix: str) -> None:
    at = "services/web/replicas/schedule/0/timezone"
    keys = f'replicas: {{min: 1, max: 2, schedule: [{{cron: "0 8 * * *", min: 1, timezone: {zone}}}]}}'
    assert problems(f"services: {{web: {{image: x, {keys}}}}}") == [
        f'{at}: should be a time zone such as Europe/Berlin, got "{zone}"{fix}'
    ]


def test_every_wrong_time_of_a_list_is_told() -> None:
    wrong = ["60 8 * * *", "0 24 * * *", "0 8 32 * *", "0 8 * 13 *", "0 8 * * 8", "0 8 * * XXX", "daily", "0 8 * *"]
    right = ["*/90 8 * * MON-FRI", "0 8 ? * 1,3-5", "0 8 L * ? *", "59 23 31 12 7"]
    entries = [{"cron": cron, "min": 1} for cron in [*wrong, *right]]
    found = problems(f"services: {{web: {{image: x, replicas: {{min: 1, max: 2, schedule: {json.dumps(entries)}}}}}}}")
    assert [line.partition(":")[0] for line in found] == [
        f"services/web/replicas/schedule/{number}/cron" for number in range(len(wrong))
    ]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"capacity": {"zones": ["a"]}},
            ["quayside:capacity/zones: should be 2 or 3 zones, got 1\n    name them by letter: [a, b]"],
        ),
        (
            {"balancer": {"allow": ["nowhere"]}},
            ['quayside:balancer/allow/0: should be a range of addresses such as 198.51.100.0/24, got "nowhere"'],
        ),
        (
            {"balancer": {"allow": []}},
            ["quayside:balancer/allow: should be a list with at least one item, got an empty list"],
        ),
    ],
)
def test_lists_with_too_few(config: dict[str, object], expected: list[str]) -> None:
    assert problems("services: {}", {**AWS, **config}) == expected


@pytest.mark.parametrize(("length", "bound"), [(4, "at least 10"), (201, "at most 200")])
def test_text_that_is_too_short_or_too_long(length: int, bound: str) -> None:
    keys = f'permissions: [{{actions: ["s3:GetObject"], reason: {"x" * length}}}]'
    (found,) = problems(f"services: {{web: {{image: x@{DIGEST}, {keys}}}}}", AWS)
    assert found.startswith(f"services/web/permissions/0/reason: should be {bound} characters, got {length}: ")


@pytest.mark.parametrize("image", ["acme/Web", ""])
def test_a_wrong_image_is_told_beside_a_stacks_digest(image: str) -> None:
    found = problems(f'services: {{web: {{image: "{image}"}}}}', {"services": {"web": {"image": {"digest": DIGEST}}}})
    assert [line.partition(" such")[0] for line in found] == ["services/web/image: should be an image"]


def test_a_stacks_misspelt_service_is_no_new_one() -> None:
    services = "services: {cache: {image: x}}"
    stack = {"services": {"cachee": {"replicas": 2}, "other": {"image": {"digest": DIGEST}}, "own": {"image": "y"}}}
    assert problems(services, stack) == [
        "quayside:services/cachee: no such service; did you mean cache?",
        "quayside:services/other: no such service\n    name it as services.yaml does, or give it an image, for a service "
        "of this stack only",
    ]


def test_a_broken_services_file_adds_no_echoes() -> None:
    stack = {"services": {"web": {"replicas": 2}}, "edge": {"http": 0}}
    for text in ("servicez: {web: {image: x}}", "services: [", ""):
        found = problems(text, stack)
        assert len(found) == 2, found
        assert found[1] == "quayside:edge/http: should be 1–65535, got 0"


@pytest.mark.parametrize(
    ("arn", "said"),
    [
        ("arn:aws:s3:eu-central-1:123456789012:secret:x", "the service should be secretsmanager or ssm"),
        ("arn:aws:ssm:eu-central-1:12345:parameter/x", "the account should be 12 digits"),
        (
            "arn:aws:ssm:eu-central-1",
            "the account should be 12 digits; it should end with secret:NAME or parameter/NAME",
        ),
    ],
)
def test_a_wrong_arn_of_a_secret_says_which_part(arn: str, said: str) -> None:
    (found,) = problems(f"services: {{web: {{image: x, secrets: {{A: '{arn}'}}}}}}")
    assert found.endswith(f"\n    {said}")


def test_a_wrong_secret_says_the_command_for_this_stack() -> None:
    (found,) = problems("services: {web: {image: x, secrets: {A: 'sk live'}}}")
    assert "quayside:secrets.KEY --stack dev`" in found


def test_ipv6_is_refused_where_the_network_has_none() -> None:
    (found,) = problems(f"services: {{web: {{image: x@{DIGEST}, egress: [{{to: '::/0'}}]}}}}", AWS)
    assert found.startswith("services/web/egress/0/to: should be a range of IPv4 addresses such as 0.0.0.0/0, got ")


def test_true_as_a_key_was_on() -> None:
    (found,) = problems("services: {web: {image: x}}", {"services": {"web": {True: "fargate"}}})
    assert found.endswith("write on, if that is meant: YAML 1.1 reads it as true")
    (found,) = problems("services: {web: {image: x}}", {"services": '{"web": {"true": "fargate"}}'})
    assert found == 'services/web/true: unknown key; it was "on", which is for cloud aws'
    (found,) = problems(
        f"services: {{web: {{image: x@{DIGEST}}}}}", {**AWS, "services": '{"web": {"true": "fargate"}}'}
    )
    assert found == 'services/web/true: unknown key; did you mean "on"?'


def test_a_missing_secret_is_one_problem_for_all_who_name_it() -> None:
    services = "services: {a: {image: x, secrets: {K: strip}}, b: {image: x, secrets: {L: strip, M: stripe}}, "
    services += "c: {image: x, secrets: {L: strip}}}"
    assert problems(services, secrets=("stripe",)) == [
        'services/a/secrets/K: no secret "strip" in this stack; did you mean "stripe"? (services/b/secrets/L '
        "and services/c/secrets/L name it, too)\n"
        "    .venv/bin/quayside secret strip --stack dev"
    ]


def test_one_time_twice_is_told_at_the_settings_path() -> None:
    entries = [{"cron": cron, "min": 1} for cron in ("0 18 * * FRI", "0 8 * * *", "0 18 * * fri")]
    found = problems(f"services: {{web: {{image: x, replicas: {{min: 1, max: 2, schedule: {json.dumps(entries)}}}}}}}")
    assert found == [
        'services/web/replicas/schedule/2/cron: "0 18 * * fri" (Etc/UTC) is the time of '
        "services/web/replicas/schedule/0 already\n    keep one of the two"
    ]


def test_rules_between_the_keys_that_are_right_are_told_beside_those_that_are_wrong() -> None:
    keys = "port: 0, memory: 512, routes: [x.test], sticky: 30d, canary: {image: y, share: 5}, rollout: {}"
    found = problems(f"services: {{web: {{image: x@{DIGEST}, {keys}}}}}", AWS)
    assert [line.partition(":")[0] for line in found] == [
        "services/web/port",
        "services/web/memory",
        "services/web/canary",
        "services/web/canary/image",
        "services/web/sticky",
    ]


@pytest.mark.parametrize("wrong", ["port: 0, routes: ['{domain}']", "volume: data, user: root", "exec: 3", "sticky: 5"])
def test_a_wrong_key_makes_no_other_one_wrong(wrong: str) -> None:
    assert len(problems(f"services: {{web: {{image: x@{DIGEST}, {wrong}}}}}", AWS)) == 1
