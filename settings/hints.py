"""What to say of a key or a word that quayside does not know: what was meant, or what stands in its place.

Only a near misspelling is taken for a known key, and only for one that holds on this cloud.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from settings.problems import Problem
from settings.types import nearest

_AWS, _FLEETS, _DOCKER = frozenset({"aws"}), frozenset({"hetzner"}), frozenset({"local", "hetzner"})
CLOUDS: Mapping[str, Mapping[str, Collection[str]]] = {
    "Service": {
        **dict.fromkeys(
            (
                *("on", "balancer", "priority", "rollout", "slow_start", "architecture"),
                *("permissions", "egress", "exec"),
            ),
            _AWS,
        ),
        **dict.fromkeys(("place", "ports"), _FLEETS),
    },
    "Stack": {
        **dict.fromkeys(("network", "balancer", "protect", "logs", "kms_keys", "quotas"), _AWS),
        **dict.fromkeys(("burst", "access", "traffic"), _FLEETS),
        "edge": _DOCKER,
        "memory": frozenset({"local"}),
        "capacity": frozenset({"aws", "hetzner"}),
    },
}
"""Model → key → the clouds on which it holds, of keys that do not hold on all. The rules refuse them elsewhere."""


def unknown_key(path: str, key: object, known: Collection[str], *, of: str = "", cloud: str | None = None) -> Problem:
    """``known`` are the keys of the model that is called ``of``; without a ``cloud``, all of them may be meant."""
    only = CLOUDS.get(of, {})
    listed = [name for name in known if cloud is None or cloud in only.get(name, (cloud,))]
    instead = _INSTEAD.get(of, {}).get(key.lower()) if isinstance(key, str) else None
    if instead is not None:
        what, _, fix = instead.partition("\n")
        return Problem(path, f"unknown key; {what}", fix)
    if key == "true" and "on" in known:
        # YAML 1.1 reads `on` as true, and JSON made of it has "true".
        hint = 'did you mean "on"?' if "on" in listed else 'it was "on", which is for cloud aws'
        return Problem(path, f"unknown key; {hint}")
    close = misspelt(key, listed) if isinstance(key, str) else None
    if close:
        return Problem(path, f'unknown key; did you mean "{close}"?')
    return Problem(path, "unknown key", f"known keys: {', '.join(listed)}" if listed else "")


def misspelt(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` is but for a slip: one letter in three, or two that changed places."""
    close = nearest(word, known)
    return close if close is not None and _slips(word.lower(), close.lower()) <= max(1, len(word) // 3) else None


def _slips(one: str, other: str) -> int:
    """Letters to add, to take away, to change, and neighbours to exchange, until one word is the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        last, before, row = before, row, [number]
        for place, theirs in enumerate(other, 1):
            least = min(row[-1] + 1, before[place] + 1, before[place - 1] + (letter != theirs))
            if last and place > 1 and (letter, one[number - 2]) == (other[place - 2], theirs):
                least = min(least, last[place - 2] + 1)
            row.append(least)
    return row[-1]


def of_value(path: str, value: object, allowed: Iterable[str]) -> str:
    """How to mend a word that is none of those ``allowed``."""
    if not isinstance(value, str):
        return ""
    if path.endswith("/protocol") and value.lower() in {"grpc", "grpcs", "h2", "h2c", "http2"}:
        return GRPC
    close = nearest(value, allowed)
    return f"did you mean {close}?" if close else ""


GRPC = (
    "write protocol: tcp, which carries gRPC between services of the stack; it cannot have a public route yet, as the "
    "proxy in front asks replicas by HTTP/1.1 alone"
)

_NOT_YET = "there is no key for it yet"
_NO_KEY = "there is no key yet for"
_SERVICE = {
    # Of Compose, Kubernetes and ECS: what it is called here.
    "volumes": "a service has one volume\nwrite volume: /data; folders that need not last are writable: [/app/cache]",
    "mounts": "a service has one volume\nwrite volume: /data",
    "tmpfs": "it is writable here\nwrite writable: [/app/cache]",
    "environment": "it is env here\nwrite env: {NAME: value}",
    "env_file": "values are written down, secrets are not\nwrite env: {NAME: value}, and secrets: {NAME: key}",
    "secret_files": f"a secret arrives in the environment, and {_NO_KEY} one in a file\nwrite secrets: {{NAME: key}}",
    "configs": "it is files here\nwrite files: {/etc/app.conf: conf/app.conf}",
    "depends_on": "who may reach whom, and what is created first, are two keys\nwrite uses: [db], or after: [db]",
    "links": "it is uses here\nwrite uses: [db]",
    "entrypoint": "the image's own stays, and command follows it\nbuild an image with that ENTRYPOINT",
    "args": "it is command here\nwrite command: [serve, --port, 80]",
    "cmd": "it is command here\nwrite command: [serve, --port, 80]",
    "expose": "it is port here\nwrite port: 8080; a service has one",
    "container_port": "it is port here\nwrite port: 8080",
    "healthcheck": "it is health here\nwrite health: /healthz, or health: {command: [redis-cli, ping]}",
    "restart": "what ends is always started again\nremove it",
    "restart_policy": "what ends is always started again\nremove it",
    "deploy": "its keys stand in the service itself\nwrite replicas: 2, memory: 512MiB, cpu: 0.5",
    "resources": "its keys stand in the service itself\nwrite memory: 512MiB, cpu: 0.5",
    "mem_limit": "it is memory here\nwrite memory: 512MiB",
    "mem": "it is memory here\nwrite memory: 512MiB",
    "scale": "it is replicas here\nwrite replicas: 2",
    "instances": "it is replicas here\nwrite replicas: 2",
    "count": "it is replicas here\nwrite replicas: 2",
    "autoscaling": "it is replicas here\nwrite replicas: {min: 2, max: 8, cpu: 60}",
    "stop_grace_period": "it is drain here\nwrite drain: 30s",
    "cap_add": "it is capabilities here\nwrite capabilities: [NET_BIND_SERVICE]",
    "cap_drop": "all capabilities are dropped but those that capabilities names\nremove it",
    "network_mode": "it is network here\nwrite network: host, or remove it",
    "networks": "each service has a network of its own\nwrite uses: [db] for whom it may reach",
    "domain": "it is routes here\nwrite routes: [www.example.com]",
    "domains": "it is routes here\nwrite routes: [www.example.com]",
    "host": "it is routes here\nwrite routes: [www.example.com]",
    "path": "it is part of a route here\nwrite routes: ['{domain}/app']",
    "platform": "the image's own is taken\nremove it",
    "hostname": "it is the container's own; with a volume it is its replica's name, such as db-1\nremove it: others "
    "reach a service by its name",
    "container_name": "quayside names containers\nremove it: others reach a service by its name",
    # What there is no word for yet.
    "cron": f"{_NO_KEY} what runs at set times\nrun a cron daemon such as supercronic in a service",
    "schedule": f"{_NO_KEY} what runs at set times\nrun a cron daemon such as supercronic in a service",
    "jobs": f"{_NO_KEY} what runs once\nuse `quayside exec NAME -- COMMAND`",
    "migrate": f"{_NO_KEY} what runs before a release\nuse `quayside exec NAME -- COMMAND`",
    "auth": f"{_NO_KEY} logins before a route\nlet the application ask",
    "redirect": f"{_NO_KEY} redirects\nlet the application answer with one",
    "strip_prefix": "a request arrives with the path that the visitor asked for\nlet the application serve below it",
    "timeout": "every request has 60 s without a byte, whichever service it is for\nremove it",
    "build": "an image is built and pushed before, and named here\nwrite image: acme/web@sha256:…",
    "logging": "the logs of every service are kept and rotated\nremove it; `quayside logs NAME` shows them",
    "labels": "labels are quayside's own\nremove it",
    "privileged": f"{_NO_KEY} privileged containers\nname what it needs in capabilities",
    "init": "the first process of every container is an init that reaps and passes signals on\nremove it; images with "
    "s6-overlay, which must be the first themselves, do not run yet",
    **dict.fromkeys(
        (
            *("shm_size", "ulimits", "sysctls", "stop_signal", "extra_hosts", "dns", "devices", "gpus", "working_dir"),
            *("group_add", "pid", "ipc", "security_opt", "tty", "stdin_open", "profiles", "pull_policy"),
        ),
        f"{_NOT_YET}\nremove it",
    ),
}
_HEALTH = {
    "port": "health is asked of the service's own port\nremove it",
    "host": "it is the first route's host\nremove it",
    "expect": "an answer of 200 to 399 is healthy\nremove it, and name a path that needs no login",
    "retries": "three in a row, or two of the edge's, decide\nremove it",
    "start_period": "it is grace here\nwrite grace: 60s",
    "test": "it is command here\nwrite command: [redis-cli, ping]",
    "disable": "without a path or a command, running is healthy for a service without a port\nremove it",
    "url": "it is path here\nwrite path: /healthz",
}
_INSTEAD: Mapping[str, Mapping[str, str]] = {"Service": _SERVICE, "Health": _HEALTH}
"""Model → a key of other tools → what is said of it and, on a line of its own, what to write."""
