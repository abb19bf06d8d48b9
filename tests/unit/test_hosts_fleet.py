"""The hosts of a fleet: exact values, and messages word for word."""

from typing import Any

import pytest

from planning.hosts.fleet import fleet, usable_memory
from planning.hosts.model import Fleet
from planning.hosts.servers import SERVER_TYPES, droplet_size, server_type
from settings.problems import Problem
from settings.stack import Stack
from settings.units import GIB, MIB

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
EDGE = 256 * MIB


def server(name: str, **values: Any) -> dict[str, Any]:
    last = sum(map(ord, name)) % 250 + 1
    return {
        "name": name,
        "address": f"203.0.113.{last}",
        "cpu": 4,
        "memory": 8 * GIB,
        "host_key": KEY,
        **values,
    }


def stack(**values: Any) -> Stack:
    defaults: dict[str, Any] = {
        "project": "shop",
        "name": "staging",
        "cloud": "hetzner",
        "domain": "example.com",
        "capacity": {"location": "fsn1", "hosts": {"count": 3, "type": "cx33"}},
        "access": {"ssh": ["198.51.100.0/24"]},
    }
    return Stack.model_validate({**defaults, **values})


def made(**values: Any) -> Fleet:
    found, problems = fleet(stack(**values))
    assert not problems, problems
    return found


def wrong(**values: Any) -> list[str]:
    found = fleet(stack(**values))[1]
    assert all(isinstance(problem, Problem) and problem.path for problem in found)
    return [str(problem) for problem in found]


# --- which hosts -----------------------------------------------------------------------------------------------------


def test_a_pool_is_numbered_and_one_in_the_middle_can_go() -> None:
    assert list(made().hosts) == ["host1", "host2", "host3"]
    skipped = made(capacity={"location": "fsn1", "hosts": {"count": 3, "type": "cx33", "skip": [2]}})
    assert list(skipped.hosts) == ["host1", "host3"]
    assert skipped.hosts["host3"] == made().hosts["host3"]


def test_a_host_says_what_it_gives() -> None:
    host = made(capacity={"location": "fsn1", "hosts": {"web1": {"type": "ccx13", "location": "nbg1"}}}).hosts["web1"]
    assert (host.kind, host.cpu, host.total, host.architecture) == ("created", 2, 8 * GIB, "amd64")
    assert (host.type, host.location, host.address) == ("ccx13", "nbg1", None)
    assert host.memory == usable_memory(8 * GIB, EDGE) == 8 * GIB - 8 * GIB // 20 - 512 * MIB - EDGE


def test_existing_servers_and_droplets_join() -> None:
    found = made(
        capacity={"existing": [server("db1"), server("spare", burst=True, port=2222, user="admin")]},
        burst={"droplets": 2, "size": "s-4vcpu-8gb", "services": ["web"]},
        services={"web": {"image": "web"}},
    )
    assert [(host.name, host.kind, host.burst) for host in found.hosts.values()] == [
        ("db1", "existing", False),
        ("spare", "existing", True),
        ("burst1", "droplet", True),
        ("burst2", "droplet", True),
    ]
    assert found.hosts["burst1"].location == "fra1"
    assert (found.hosts["spare"].ssh_port, found.hosts["spare"].user) == (2222, "admin")
    assert [host.name for host in found.entries] == ["db1"]


def test_a_balancer_sends_to_created_hosts_alone() -> None:
    capacity = {"location": "fsn1", "hosts": {"count": 1, "type": "cx33"}, "existing": [server("db1")], "balancer": {}}
    assert [host.name for host in made(capacity=capacity).entries] == ["host1"]


def test_what_is_said_of_hosts_by_name() -> None:
    found = made(
        capacity={
            "location": "fsn1",
            "hosts": {"count": 3, "type": "cx33"},
            "groups": {"old": ["host1", "host2"], "new": ["host3"]},
            "generation": {"host2": 4},
            "drain": ["host2"],
            "down": ["host3"],
        },
        traffic={"old": 10, "host1": 20},
    )
    one, two, three = found.hosts.values()
    assert (one.groups, one.usable, one.traffic, one.generation) == (("old",), True, 20, 0)
    assert (two.draining, two.usable, two.traffic, two.generation) == (True, False, 10, 4)
    assert (three.down, three.usable, three.traffic, three.groups) == (True, False, 20, ("new",))


# --- server types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cpu", "gib", "architecture"),
    [
        *[("cx22", 2, 4, "amd64"), ("cx52", 16, 32, "amd64"), ("cpx21", 3, 4, "amd64"), ("cpx51", 16, 32, "amd64")],
        *[("cax11", 2, 4, "arm64"), ("cax41", 16, 32, "arm64"), ("ccx13", 2, 8, "amd64"), ("ccx63", 48, 192, "amd64")],
    ],
)
def test_server_types(name: str, cpu: int, gib: int, architecture: str) -> None:
    found = server_type(name)
    assert found is not None
    assert (found.cpu, found.memory, found.architecture) == (cpu, gib * GIB, architecture)


def test_no_server_type_has_odd_numbers() -> None:
    assert all(1 <= kind.memory / GIB / kind.cpu <= 4 for kind in SERVER_TYPES.values())


@pytest.mark.parametrize(
    ("name", "cpu", "mib"),
    [
        *[("s-4vcpu-8gb", 4, 8192), ("s-1vcpu-512mb-10gb", 1, 512), ("s-2vcpu-8gb-160gb-intel", 2, 8192)],
        *[("c-4", 4, 8192), ("c-32-intel", 32, 65536), ("c2-4vcpu-8gb", 4, 8192), ("c2-4vpcu-8gb", 4, 8192)],
        *[("g-2vcpu-8gb", 2, 8192), ("gd-40vcpu-160gb", 40, 163840), ("m-2vcpu-16gb", 2, 16384)],
        *[("m6-8vcpu-64gb", 8, 65536), ("so1_5-4vcpu-32gb-intel", 4, 32768), ("s-8vcpu-16gb-amd", 8, 16384)],
    ],
)
def test_droplet_sizes(name: str, cpu: int, mib: int) -> None:
    found = droplet_size(name)
    assert found is not None
    assert (found.cpu, found.memory, found.architecture) == (cpu, mib * MIB, "amd64")


@pytest.mark.parametrize("name", ["gpu-h100x1-80gb", "16gb", "s-4vcpu", "c-0", "s-4vcpu-8gbx", "x-4vcpu-8gb", ""])
def test_sizes_that_do_not_say_what_they_are(name: str) -> None:
    assert droplet_size(name) is None


# --- problems --------------------------------------------------------------------------------------------------------


def test_every_problem_is_told_at_once() -> None:
    found = wrong(
        capacity={
            "hosts": {"count": 3, "type": "cx23x", "skip": [5, 2, 2]},
            "existing": [server("db1"), server("db1"), server("db2", address="203.0.113.9", memory=600 * MIB)],
            "groups": {"db2": ["db1"], "web": ["db3"], "none": []},
            "generation": {"db1": 1, "dbx": 1},
            "drain": ["host2", "host22"],
            "down": ["elsewhere"],
        },
        burst={"droplets": 1, "size": "s-4vcpus-8gb", "services": ["wbe", "db", "pinned"]},
        traffic={"dbb2": 3},
        services={
            "web": {"image": "a", "place": "host7"},
            "db": {"image": "a", "volume": "/data", "place": "db1"},
            "pinned": {"image": "a", "place": "db1"},
        },
    )
    listed = "hosts: host1, host3, db1, db2, burst1; or remove it, if that host has left the config"
    assert sorted(found) == sorted(
        [
            "quayside:capacity/hosts/skip/0: should be 1–3, since count is 3 and hosts are numbered up to it; got 5\n"
            "    remove it",
            "quayside:capacity/hosts/skip/2: 2 is there twice\n    remove one",
            'quayside:capacity/hosts/type: is no Hetzner server type that is known here: "cx23x"\n'
            '    did you mean "cx23"?',
            "quayside:capacity/hosts: has no location\n    set quayside:capacity/location, for example to fsn1",
            'quayside:capacity/existing/1/name: there are two hosts named "db1"\n    give each its own name',
            "quayside:capacity/existing: db2 has 600MiB, and the system, Docker and the edge need 798MiB\n"
            "    take a larger one, or lower quayside:edge/memory",
            "quayside:capacity/groups/db2: is the name of a host as well\n    rename the group",
            f'quayside:capacity/groups/web/0: there is no host "db3"\n    {listed}',
            "quayside:capacity/groups/none: has no host\n    name one, or remove the group",
            "quayside:capacity/generation/db1: db1 is an existing server, which is never rebuilt\n    remove it",
            'quayside:capacity/generation/dbx: there is no host "dbx"\n    did you mean "db2"?',
            f'quayside:capacity/drain/0: there is no host "host2"\n    {listed}',
            f'quayside:capacity/drain/1: there is no host "host22"\n    {listed}',
            f'quayside:capacity/down/0: there is no host "elsewhere"\n    {listed}',
            'quayside:traffic/dbb2: there is no host or group "dbb2"\n    did you mean "db2"?',
            'quayside:burst/size: is no DigitalOcean size that is known here: "s-4vcpus-8gb"\n'
            '    did you mean "s-4vcpu-8gb"?',
            'quayside:burst/services/0: there is no service "wbe"\n    did you mean "web"?',
            "quayside:burst/services/1: db has a volume, and lives on one host\n    remove db; replicas reach it there",
            "quayside:burst/services/2: pinned is placed on db1\n    remove pinned, or services/pinned/place",
            'services/web/place: there is no host or group "host7"\n'
            "    hosts or groups: host1, host3, db1, db2, burst1, web, none",
        ]
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"capacity": {}},
            "quayside:capacity/hosts: there is no host to run anything on\n"
            "    set hosts: {count: 2, type: cx33}, or list existing",
        ),
        (
            {"capacity": {"existing": [server("a")], "drain": ["a"]}},
            "quayside:capacity/drain: every host is draining or down, so there is nowhere to run anything\n"
            "    leave at least one host out of drain and down",
        ),
        (
            {"capacity": {"existing": [server("a")], "balancer": {}}},
            "quayside:capacity/balancer: sends to servers that the stack creates, and there is none\n"
            "    remove balancer: DNS then points at the existing servers' edges; or set hosts",
        ),
        (
            {"capacity": {"location": "fsn1", "hosts": {"a": {"type": "cx33"}, "b": {"type": "cax21"}}}},
            "quayside:capacity/hosts: a (cx33) is amd64 and b (cax21) is arm64; an image by its digest is for one "
            "architecture as a rule, and may land on either\n    make all hosts of one architecture: replace cax21 by "
            "an amd64 type, or the others by cax types",
        ),
        (
            {"traffic": {"host1": 0}},
            "quayside:traffic: every weight is 0, so nobody would get a request\n    raise one above 0",
        ),
        (
            {"burst": {"droplets": 1}},
            "quayside:burst/services: is empty, so burst hosts would do nothing\n    name the services of the peak",
        ),
        (
            {"burst": {"droplets": 400, "services": ["web"]}, "services": {"web": {"image": "a"}}},
            "quayside:burst/droplets: should be at most 50, got 400",
        ),
    ],
)
def test_a_problem(values: dict[str, Any], message: str) -> None:
    assert wrong(**values) == [message]
