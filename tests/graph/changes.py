"""What a change of each setting touches on Docker hosts, for tests/graph/test_changes.py.

Each row is a setting, what it is changed from and to, and all that the engine would touch then on a fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.graph.test_hetzner import DIGEST, KEY, OFFICE

Values = dict[str, Any]

SERVICES: dict[str, Values] = {
    "web": {"image": f"web{DIGEST}", "port": 8000, "place": "a", "env": {"A": "1"}, "drain": "30s"},
    "worker": {"image": f"worker{DIGEST}", "place": "a", "health": {"command": ["true"]}},
    "db": {"image": f"redis{DIGEST}", "port": 6379, "protocol": "tcp", "volume": "/data", "place": "a"},
    "still": {"image": f"still{DIGEST}", "port": 8000, "place": "a", "uses": ["db"]},
}
"""`still` is changed by no row: what is touched of it is said as `others`."""
CONFIG: Values = {
    "cloud": "hetzner",
    "domain": "example.com",
    "capacity": {
        "existing": [
            {"name": name, "address": f"203.0.113.{number}", "cpu": 8, "memory": "32GiB", "host_key": KEY}
            for number, name in enumerate("a", 1)
        ],
    },
    "access": {"ssh": [OFFICE]},
}
SECRETS = {"one": "a", "two": "b"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Of one service, or of the stack (``on`` is empty)."""

    touches: str
    """Empty: nothing. `refused`: the key is refused by name."""
    to: Values
    on: str = "web"
    servers: int = 1
    hosts: bool = False
    """Machines come, go or are made otherwise: of the others alone is said what is touched."""
    of: Values = field(default_factory=dict[str, Any])
    """What the service, or the stack, has beforehand, beside the above."""


def _one(touches: str, to: Values, on: str = "web", **of: Any) -> Change:
    return Change(touches=touches, to=to, on=on, of=of)


def _stack(touches: str, to: Values, **of: Any) -> Change:
    return Change(touches=touches, to=to, on="", of=of)


_FILE = "/etc/web/a.conf"
_CANARY = {"image": f"web{DIGEST}", "share": 10, "env": {"A": "2"}}
_CHECK: Values = {"command": ["true"], "interval": "5s", "timeout": "2s"}
_PORT: Values = {"port": 25, "sources": [OFFICE]}
_SERVERS: list[Values] = CONFIG["capacity"]["existing"]
ANOTHER: Values = {**_SERVERS[0], "name": "b", "address": "203.0.113.2"}
_MADE: Values = {"location": "fsn1", "hosts": {"count": 2, "type": "cx33"}, **CONFIG["capacity"]}
_NAMED: Values = {**_MADE, "hosts": {"c": {"type": "cx33"}, "d": {"type": "cx33"}}}
_LOCAL: Values = {"bucket": "images", "endpoint": "s3.example.com", "access_key": "one", "secret_key": "one"}
_LOGIN: Values = {"registry.example.com": {"username": "a", "password": "one"}}
_JUMP: Values = {"ssh": [OFFICE], "jump": "ops@192.0.2.1", "jump_host_key": KEY}
_BURST: Values = {"services": ["web"]}
_FREE: Values = {"services": {"web": {"place": None, "replicas": 2}}}


def _server(**changed: Any) -> Values:
    return {"capacity": {"existing": [{**_SERVERS[0], **changed}]}}


def _made(**changed: Any) -> Values:
    return {"capacity": {**_MADE, **changed}}


def _hosts(touches: str, to: Values, **of: Any) -> Change:
    return Change(touches=touches, to=to, on="", hosts=True, of=of)


def _edge(**changed: Any) -> Values:
    return {"edge": changed}


def _local(**changed: Any) -> Values:
    return {"registry": {"local": {**_LOCAL, **changed}}}


SERVICE: Mapping[str, Change] = {
    "image": _one("container, memory check", {"image": f"web2{DIGEST}"}),
    "command": _one("container, memory check", {"command": ["run"]}),
    "user": _one("container, memory check", {"user": "nobody"}),
    "port": _one("routing", {"port": 9000}),
    "protocol": _one("routing", {"protocol": "tcp"}, routes=[]),
    "routes": _one("routing", {"routes": ["web.{domain}", "www.{domain}/shop"]}),
    "routes of a service with a volume": _one(
        "routing", {"routes": ["db.{domain}"]}, on="db", protocol="http", routes=[]
    ),
    "routes beside ports": _one(
        "routing", {"routes": ["web.{domain}", "a.{domain}"]}, routes=["web.{domain}"], ports=[_PORT]
    ),
    "cpu": _one("container in place", {"cpu": 0.5}),
    "memory": _one("container in place, memory check", {"memory": "300MiB"}),
    "replicas": _one("container added, memory check, routing", {"replicas": 2}),
    "replicas.min": _one(
        "container added, memory check, routing", {"replicas": {"min": 2, "max": 3}}, replicas={"min": 1, "max": 3}
    ),
    "replicas.max": _one("", {"replicas": {"min": 1, "max": 3}}, replicas={"min": 1, "max": 2}),
    "replicas.cpu": _one("", {"replicas": {"min": 1, "max": 3, "cpu": 50}}, replicas={"min": 1, "max": 3}),
    "replicas.memory": _one("", {"replicas": {"min": 1, "max": 3, "memory": 50}}, replicas={"min": 1, "max": 3}),
    "replicas.requests": _one("", {"replicas": {"min": 1, "max": 3, "requests": 50}}, replicas={"min": 1, "max": 3}),
    "replicas.schedule": _one(
        "",
        {"replicas": {"min": 1, "max": 3, "schedule": [{"cron": "0 18 * * FRI", "min": 2}]}},
        replicas={"min": 1, "max": 3},
    ),
    "health.path": _one("routing", {"health": {"path": "/healthz"}}),
    "health.command": _one("container, memory check", {"health": {**_CHECK, "command": ["false"]}}, on="worker"),
    "health.interval": _one("container, memory check", {"health": {**_CHECK, "interval": "9s"}}, on="worker"),
    "health.timeout": _one("routing", {"health": {"timeout": "3s"}}),
    "health.timeout of a command": _one(
        "container, memory check, routing", {"health": {**_CHECK, "timeout": "3s"}}, on="worker"
    ),
    "health.grace": _one("routing", {"health": {"grace": "2m"}}),
    "health.grace of a command": _one("routing", {"health": {**_CHECK, "grace": "2m"}}, on="worker"),
    "uses": _one("container, memory check, routing", {"uses": ["still"]}),
    "after": _one("", {"after": ["still"]}),
    "env": _one("container, memory check", {"env": {"A": "2"}}),
    "secrets": _one("container, memory check", {"secrets": {"B": "two"}}, secrets={"B": "one"}),
    "secrets, one more": _one("container, memory check", {"secrets": {"B": "one", "C": "one"}}, secrets={"B": "one"}),
    "files.content": _one(
        "container, files added, files removed, memory check, volume added, volume removed",
        {"files": {_FILE: {"content": "2"}}},
        files={_FILE: {"content": "1"}},
    ),
    "files.executable": _one(
        "container, files added, files removed, memory check, volume added, volume removed",
        {"files": {_FILE: {"content": "1", "executable": True}}},
        files={_FILE: {"content": "1"}},
    ),
    "files.source": _one(
        "container, files added, files removed, memory check, volume added, volume removed",
        {"files": {_FILE: {"source": "Pulumi.yaml"}}},
        files={_FILE: {"content": "1"}},
    ),
    "files.template": _one(
        "container, files added, files removed, memory check, volume added, volume removed",
        {"files": {_FILE: {"template": "Pulumi.yaml"}}},
        files={_FILE: {"content": "1"}},
    ),
    "volume.path": _one("container", {"volume": "/var/lib/db"}, on="db"),
    "volume.size": _one("", {"volume": {"path": "/data", "size": "20GiB"}}, on="db"),
    "sticky": _one("routing", {"sticky": "1h"}),
    "drain": _one("container in place, routing", {"drain": "2m"}),
    "drain of a worker": _one("container, memory check, routing", {"drain": "2m"}, on="worker"),
    "drain of a service with a volume": _one("container, routing", {"drain": "2m"}, on="db"),
    "canary": _one("container added, memory check, routing", {"canary": _CANARY}),
    "canary.image": _one("container, memory check", {"canary": {**_CANARY, "image": f"web2{DIGEST}"}}, canary=_CANARY),
    "canary.share": _one("routing", {"canary": {**_CANARY, "share": 20}}, canary=_CANARY),
    "canary.env": _one("container, memory check", {"canary": {**_CANARY, "env": {"A": "3"}}}, canary=_CANARY),
    "network": _one("container, memory check, network removed, routing", {"network": "host"}, on="worker"),
    "read_only": _one("container, memory check", {"read_only": False}),
    "place": Change(
        touches="container added, container removed, memory check, network added, network removed, routing",
        to={"place": "b"},
        servers=2,
    ),
    "writable": _one("container, memory check", {"writable": ["/var/cache"]}),
    "capabilities": _one("container, memory check", {"capabilities": ["NET_RAW"]}),
    "ports": _one("host prepared, memory check, ports proxy added", {"ports": [_PORT]}),
    "ports of a service with a volume": _one("container, host prepared", {"ports": [_PORT]}, on="db"),
    "ports.port": _one("host prepared, ports proxy", {"ports": [{**_PORT, "port": 26}]}, ports=[_PORT]),
    "ports.protocol": _one(
        "container, host prepared", {"ports": [{**_PORT, "protocol": "udp"}]}, on="db", ports=[_PORT]
    ),
    "ports.sources": _one("host prepared", {"ports": [{**_PORT, "sources": ["198.51.100.9/32"]}]}, ports=[_PORT]),
    "on": _one("refused", {"on": "fargate"}),
    "balancer": _one("refused", {"balancer": 2}),
    "priority": _one("refused", {"priority": {"web.{domain}": 5}}),
    "rollout": _one("refused", {"rollout": {"strategy": "rolling"}}),
    "slow_start": _one("refused", {"slow_start": "30s"}),
    "architecture": _one("refused", {"architecture": "arm64"}),
    "permissions": _one("refused", {"permissions": [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::a/*"]}]}),
    "egress": _one("refused", {"egress": []}),
    "exec": _one("refused", {"exec": True}),
}

STACK: Mapping[str, Change] = {
    "domain": _stack("routing", {"domain": "example.org"}),
    "edge.image": _stack("edge, image", _edge(image=f"haproxy{DIGEST}")),
    "edge.http": _stack("edge, host prepared, routing", _edge(http=8080)),
    "edge.https": _stack("edge, host prepared", _edge(https=8444)),
    "edge.address": _stack("edge", _edge(address="203.0.113.1")),
    "edge.extra": _stack("routing", _edge(extra=["http-response set-header A b"])),
    "edge.memory": _stack("edge in place, routing", _edge(memory="300MiB")),
    "edge.certificate": _stack("certificates, routing", _edge(certificate="one")),
    "edge.acme": _stack(
        "Certificate added, PrivateKey added, Registration added, acme added, certificates, routing",
        {**_edge(acme={"email": "a@b.org"})},
        dns={"provider": "digitalocean"},
    ),
    "subnets": _stack("container of others, memory check, network, routing", {"subnets": "10.64.0.0/10"}),
    "memory": _stack("refused", {"memory": "8GiB"}),
    "surge": _stack("", {"surge": "largest"}),
    "capacity.zones": _stack("refused", {"capacity": {"zones": 3}}),
    "capacity.instances": _stack("refused", {"capacity": {"instances": {"types": ["m7g.large"], "max": 2}}}),
    "capacity.fargate": _stack("refused", {"capacity": {"fargate": {"spot": 10}}}),
    "capacity.location": _hosts("host prepared", _made(location="nbg1"), **_made()),
    "capacity.hosts.count": _hosts(
        "Firewall, host prepared, routing",
        _made(hosts={"count": 3, "type": "cx33"}),
        **_made(),
    ),
    "capacity.hosts.type": _stack("host prepared", _made(hosts={"count": 2, "type": "cx43"}), **_made()),
    "capacity.hosts.skip": _hosts(
        "Firewall, host prepared, routing",
        _made(hosts={"count": 2, "type": "cx33", "skip": [2]}),
        **_made(),
    ),
    "capacity.hosts.location": _hosts(
        "host prepared",
        {"capacity": {**_NAMED, "hosts": {"c": {"type": "cx33", "location": "nbg1"}, "d": {"type": "cx33"}}}},
        capacity=_NAMED,
    ),
    "capacity.existing": _hosts(
        "host prepared, routing",
        {"capacity": {"existing": [*_SERVERS, ANOTHER]}},
    ),
    "capacity.existing.address": _stack(
        "certificates, docker, edge asked, host prepared, memory check, routing", _server(address="203.0.113.9")
    ),
    "capacity.existing.cpu": _stack("", _server(cpu=16)),
    "capacity.existing.memory": _stack("", _server(memory="64GiB")),
    "capacity.existing.host_key": _stack(
        "certificates, docker, edge asked, host prepared, memory check, routing", _server(host_key=KEY[:-1] + "O")
    ),
    "capacity.existing.user": _stack(
        "certificates, docker, edge asked, host prepared, memory check, routing", _server(user="admin")
    ),
    "capacity.existing.port": _stack(
        "certificates, docker, edge asked, host prepared, memory check, routing", _server(port=2222)
    ),
    "capacity.balancer": _hosts(
        "Firewall, edge asked, host prepared, routing",
        _made(balancer={}),
        **_made(),
    ),
    "capacity.balancer.type": _stack("LoadBalancer", _made(balancer={"type": "lb21"}), **_made(balancer={})),
    "capacity.groups": _stack("", {"capacity": {**CONFIG["capacity"], "groups": {"left": ["a"]}}}),
    "capacity.generation": _hosts("Server, host prepared", _made(generation={"host2": 1}), **_made()),
    "capacity.drain": _stack("routing", _made(drain=["host2"]), **_made()),
    "capacity.down": _stack("host prepared, memory check, routing", _made(down=["host2"]), **_made()),
    "capacity.image": _stack("", _made(image="debian-13"), **_made()),
    "burst.droplets": _hosts(
        "routing",
        {"burst": {**_BURST, "droplets": 1}},
        burst=_BURST,
        **_FREE,
    ),
    "burst.size": _stack("", {"burst": {**_BURST, "size": "s-8vcpu-16gb"}}, burst=_BURST, **_FREE),
    "burst.region": _stack("", {"burst": {**_BURST, "region": "ams3"}}, burst=_BURST, **_FREE),
    "burst.services": _stack("", {"burst": {"services": ["web"]}}, burst={"services": []}, **_FREE),
    "access.ssh": _stack("host prepared", {"access": {"ssh": [OFFICE, "192.0.2.0/24"]}}),
    "access.keys": _stack("host prepared", {"access": {"ssh": [OFFICE], "keys": [KEY]}}),
    "access.deploy_key": _stack("PrivateKey added, host prepared", {"access": {"ssh": [OFFICE], "deploy_key": 1}}),
    "access.jump": _stack("certificates, docker, edge asked, host prepared, memory check, routing", {"access": _JUMP}),
    "access.jump_host_key": _stack(
        "certificates, docker, edge asked, host prepared, memory check, routing",
        {"access": {**_JUMP, "jump_host_key": KEY[:-1] + "O"}},
        access=_JUMP,
    ),
    "registries.username": _stack(
        "docker", {"registries": {"registry.example.com": {"username": "b", "password": "one"}}}, registries=_LOGIN
    ),
    "registries.password": _stack(
        "docker", {"registries": {"registry.example.com": {"username": "a", "password": "two"}}}, registries=_LOGIN
    ),
    "registry.local": _stack(
        "image added, memory check, network added, registry added, registry asked added", _local()
    ),
    "registry.local.bucket": _stack("registry, registry asked", _local(bucket="other"), **_local()),
    "registry.local.endpoint": _stack("registry", _local(endpoint="s3.example.org"), **_local()),
    "registry.local.region": _stack("registry", _local(region="eu-central-1"), **_local()),
    "registry.local.access_key": _stack("registry", _local(access_key="two"), **_local()),
    "registry.local.secret_key": _stack("registry", _local(secret_key="two"), **_local()),
    "registry.local.image": _stack("image, registry", _local(image=f"registry{DIGEST}"), **_local()),
    "registry.local.memory": _stack("memory check, registry", _local(memory="200MiB"), **_local()),
    "dns.provider": _stack("DnsRecord added", {"dns": {"provider": "digitalocean"}}),
    "dns.zone": _stack(
        "", {"dns": {"provider": "digitalocean", "zone": "example.com"}}, dns={"provider": "digitalocean"}
    ),
    "dns.health": _stack(
        "HealthCheck added, Record added, Record removed",
        {"dns": {"provider": "route53", "health": True}},
        dns={"provider": "route53"},
    ),
    "protect": _stack("", {"protect": False}),
    "traffic": Change(touches="routing", to={"traffic": {"a": 3, "b": 1}}, on="", servers=2, of=_FREE),
}
AWS_ALONE = (
    "region",
    "network",
    "balancer",
    "logs",
    "kms_keys",
    "quotas",
    "tags",
    "registry.repositories",
    "registry.push",
    "registry.keep",
    "registry.cache",
)
"""Of the stack; tests/unit/test_settings_aws.py refuses each."""
OTHERWISE = {
    "project": "another project is another stack",
    "name": "another name is another stack",
    "cloud": "another cloud is another stack",
    "services": "the fields of a service",
    "capacity.existing.name": "another name is another server",
    "capacity.existing.burst": "tests/graph/test_burst.py",
    "edge.acme.email": "the account at the authority, no container",
    "edge.acme.server": "the account at the authority, no container",
}
