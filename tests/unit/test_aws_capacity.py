"""What instances and Fargate sizes hold, and whether tasks fit a pool: exact values, and messages word for word."""

from typing import Any

import pytest

from planning.aws import capacity, fargate
from planning.aws.capacity import Fit, Pool, Row, TaskLoad, fit, resolve, rows
from planning.aws.instances import INSTANCE_TYPES, InstanceType, instance_type, nearest_type, registered_memory

MIB = 1024**2


def load(service: str, minimum: int = 1, maximum: int | None = None, **values: Any) -> TaskLoad:
    """A small task whose release comes create-first."""
    most = minimum if maximum is None else maximum
    defaults: dict[str, Any] = {
        "cpu": 256,
        "memory": 512,
        "network": "awsvpc",
        "minimum_surge": minimum,
        "maximum_surge": most,
    }
    return TaskLoad(service=service, minimum=minimum, maximum=most, **{**defaults, **values})


def pool(*names: str, **values: Any) -> Pool:
    types, problems = resolve(names or ("m7g.large",))
    assert not problems
    defaults: dict[str, Any] = {"min": 1, "max": 12, "spot": 0, "zones": 3, "trunking": True, "surge": "all"}
    return Pool(types=types, **{**defaults, **values})


def row(found: Fit, name: str) -> Row:
    return next(row for row in found.rows if row.load.startswith(name))


def problems(found: Fit) -> list[str]:
    return [str(problem) for problem in found.problems]


# --- instance types --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "vcpu", "gib", "architecture", "tasks", "trunked"),
    [
        # As "Amazon EC2 instance types" and the ECS guide's list of types with trunking have them.
        ("t3.nano", 2, 0.5, "amd64", 1, None),
        ("t3.small", 2, 2, "amd64", 2, None),
        ("t3a.small", 2, 2, "amd64", 1, None),
        ("t4g.medium", 2, 4, "arm64", 2, None),
        ("t4g.2xlarge", 8, 32, "arm64", 3, None),
        ("m5.large", 2, 8, "amd64", 2, 10),
        ("m5.8xlarge", 32, 128, "amd64", 7, 60),
        ("m5.24xlarge", 96, 384, "amd64", 14, 120),
        ("c5.9xlarge", 36, 72, "amd64", 7, 60),
        ("c5.18xlarge", 72, 144, "amd64", 14, 120),
        ("c6i.8xlarge", 32, 64, "amd64", 7, 90),
        ("m6a.12xlarge", 48, 192, "amd64", 7, 120),
        ("m6g.medium", 1, 4, "arm64", 1, 4),
        ("m7g.large", 2, 8, "arm64", 2, 10),
        ("r6g.12xlarge", 48, 384, "arm64", 7, 60),
        ("r5.8xlarge", 32, 256, "amd64", 7, None),
        ("m7a.medium", 1, 4, "amd64", 1, 4),
        ("m7i.12xlarge", 48, 192, "amd64", 7, 120),
        ("c8g.24xlarge", 96, 192, "arm64", 14, 120),
    ],
)
def test_instance_types(name: str, vcpu: int, gib: float, architecture: str, tasks: int, trunked: int | None) -> None:
    found = instance_type(name)
    assert found is not None
    assert found == InstanceType(
        name=name,
        cpu=vcpu * 1024,
        memory=int(gib * 1024),
        architecture="arm64" if architecture == "arm64" else "amd64",
        tasks=tasks,
        trunked_tasks=trunked,
        burstable=name.startswith("t"),
    )


def test_every_family_that_people_ask_for_is_known() -> None:
    families = """
        t3 t3a t4g m5 m5a m6i m6a m6g m7i m7a m7g m8g c5 c6i c6a c6g c7i c7a c7g c8g r5 r6i r6g r7i r7g r8g
    """
    assert not set(families.split()) - {name.partition(".")[0] for name in INSTANCE_TYPES}


def test_sizes_that_are_not_sold_are_not_known() -> None:
    for name in ("m5.medium", "m5.9xlarge", "c5.8xlarge", "m7g.24xlarge", "t3.4xlarge", "m5.metal", "m5", "", "x.y"):
        assert instance_type(name) is None


def test_interfaces_with_and_without_trunking() -> None:
    m7g, t3 = INSTANCE_TYPES["m7g.large"], INSTANCE_TYPES["t3.large"]
    assert (m7g.interfaces(trunking=False), m7g.interfaces(trunking=True)) == (2, 10)
    assert (t3.interfaces(trunking=False), t3.interfaces(trunking=True)) == (2, 2)


@pytest.mark.parametrize(
    ("name", "kernel_sees"),
    [
        # Measured: the nominal memory less karpenter-provider-aws' memory overhead, the least of each kind.
        ("t3.nano", 423), ("t3.micro", 920), ("t3.small", 1917), ("t4g.small", 1851), ("t3.medium", 3843),
        ("c6g.medium", 1839), ("m6g.medium", 3800), ("c5.large", 3663), ("c7g.large", 3816), ("m5.large", 7633),
        ("m7g.large", 7772), ("c5.xlarge", 7632), ("m5.xlarge", 15516), ("r6a.large", 15627), ("r5.xlarge", 31620),
        ("c5.4xlarge", 31282), ("m5.4xlarge", 62818), ("c5.9xlarge", 70207), ("c5.18xlarge", 140729),
        ("m6a.16xlarge", 252498), ("m6g.16xlarge", 252168), ("m5a.24xlarge", 380122), ("r6a.48xlarge", 1515792),
    ],
)  # fmt: skip
def test_registered_memory_is_never_more_than_was_measured(name: str, kernel_sees: int) -> None:
    nominal = INSTANCE_TYPES[name].memory
    assert 0 < registered_memory(nominal) <= kernel_sees - 256
    assert registered_memory(nominal) >= kernel_sees - 256 - nominal * 5 // 100, "too careful to be of use"


def test_the_nearest_type_is_of_the_same_family() -> None:
    assert nearest_type("m7g.lrage") == "m7g.large"
    assert nearest_type("T3.micr0") == "t3.micro"
    assert nearest_type("m7gg.large") == "m7g.large"
    assert nearest_type("zzz") is None


def test_an_unknown_type_names_the_nearest() -> None:
    types, (problem,) = resolve(["m7g.large", "m7g.xlagre"])
    assert [kind.name for kind in types] == ["m7g.large"]
    assert str(problem) == (
        'quayside:capacity/instances/types: unknown instance type "m7g.xlagre"\n'
        '    did you mean "m7g.xlarge"? known families: c5, c5a, c6a, c6g, c6i, c7a, c7g, c7i, c8g, m5, m5a, m6a, m6g, '
        "m6i, m7a, m7g, m7i, m8g, r5, r5a, r6a, r6g, r6i, r7a, r7g, r7i, r8g, t3, t3a, t4g"
    )


# --- Fargate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "memory", "size", "unused"),
    [
        (0.01, 6, (256, 512), (245, 506)),
        (0.25, 512, (256, 512), (0, 0)),
        (0.25, 513, (256, 1024), (0, 511)),
        (0.25, 1025, (256, 2048), (0, 1023)),
        (0.25, 2049, (512, 3072), (256, 1023)),
        (0.26, 512, (512, 1024), (245, 512)),
        (0.5, 4097, (1024, 5120), (512, 1023)),
        (1, 512, (1024, 2048), (0, 1536)),
        (1, 8193, (2048, 9216), (1024, 1023)),
        (2, 16384, (2048, 16384), (0, 0)),
        (2, 16385, (4096, 17408), (2048, 1023)),
        (4, 30721, (8192, 32768), (4096, 2047)),
        (8, 16385, (8192, 20480), (0, 4095)),
        (8, 61441, (16384, 65536), (8192, 4095)),
        (8.5, 1, (16384, 32768), (7680, 32767)),
        (16, 122880, (16384, 122880), (0, 0)),
    ],
)
def test_fargate_takes_the_smallest_size_that_holds_the_task(
    cpu: float, memory: int, size: tuple[int, int], unused: tuple[int, int]
) -> None:
    found = fargate.size(cpu, memory * MIB)
    assert found is not None
    assert ((found.cpu, found.memory), (found.unused_cpu, found.unused_memory)) == (size, unused)


def test_fargate_rounds_bytes_up() -> None:
    assert str(fargate.size(0.25, 512 * MIB + 1)) == "0.25 vCPU, 1GiB"
    assert str(fargate.size(0.25, 512 * MIB)) == "0.25 vCPU, 0.5GiB"


def test_what_fargate_cannot_hold_is_said_with_the_numbers() -> None:
    assert fargate.size(16.01, 512 * MIB) is None
    assert str(fargate.problem("services/web", 16.01, 512 * MIB)) == (
        "services/web/cpu: a task of 16.01 vCPU and 512MiB is more than Fargate has: "
        "its largest is 16 vCPU with 122880MiB\n"
        "    lower services/web/cpu, or set services/web/on to ec2"
    )
    assert fargate.size(1, 122881 * MIB) is None
    assert fargate.problem("services/web", 1, 122881 * MIB).path == "services/web/memory"


# --- the fit ---------------------------------------------------------------------------------------------------------

SHOP = [load("web", 3, 30), load("cart", 2, memory=256), load("session", memory=256, stateful=True, minimum_surge=0)]


def test_the_design_s_own_example() -> None:
    found = fit(SHOP, pool("m7g.large", "m6g.large", min=2, spot=70))
    assert not found.problems
    assert rows(found) == [
        {
            "load": "minimum", "tasks": 6, "instances": 1, "of": 12, "cpu": "1.5 of 4 vCPU (37 %)",
            "memory": "2304 of 14624MiB (15 %)", "interfaces": "6 of 20", "does not start": "",
        },
        {
            "load": "maximum", "tasks": 33, "instances": 5, "of": 12, "cpu": "8.25 of 10 vCPU (82 %)",
            "memory": "16128 of 36560MiB (44 %)", "interfaces": "33 of 50", "does not start": "",
        },
        {
            "load": "minimum + release of all", "tasks": 11, "instances": 2, "of": 12, "cpu": "2.75 of 4 vCPU (68 %)",
            "memory": "4352 of 14624MiB (29 %)", "interfaces": "11 of 20", "does not start": "",
        },
        {
            "load": "maximum + release of all", "tasks": 65, "instances": 9, "of": 12,
            "cpu": "16.25 of 18 vCPU (90 %)", "memory": "32000 of 65808MiB (48 %)", "interfaces": "65 of 90",
            "does not start": "",
        },
        {
            "load": "maximum, one zone's spot lost (1 of 5 instances)", "tasks": 33, "instances": 5, "of": 4,
            "cpu": "8 of 8 vCPU (100 %)", "memory": "15616 of 29248MiB (53 %)", "interfaces": "32 of 40",
            "does not start": "web 1",
        },
    ]  # fmt: skip


def test_without_trunking_interfaces_are_what_runs_out() -> None:
    found = fit([load("web", 30)], pool("m5.large", trunking=False))
    assert (row(found, "minimum").instances, row(found, "minimum").stuck) == (15, (("web", 6),))
    assert problems(found)[0] == (
        "quayside:capacity/instances/max: the minimum load is 30 tasks and needs 15 instances (m5.large); max is 12. "
        "The largest part is web: 30 tasks of 512MiB and 0.25 vCPU; an instance has interfaces for 2 tasks\n"
        "    set max to 15, lower services/web/replicas, or set quayside:capacity/instances/trunking to true"
    )
    assert row(fit([load("web", 30)], pool("m5.large")), "minimum").instances == 4


def test_trunking_does_not_help_types_that_lack_it() -> None:
    found = fit([load("web", 30)], pool("t3.large"))
    assert row(found, "minimum").instances == 15
    assert problems(found)[0].endswith("or choose larger instances in quayside:capacity/instances/types")


def test_bridge_and_host_take_no_interface() -> None:
    for network in ("bridge", "host"):
        found = fit([load("web", 8, network=network)], pool("m5.large", trunking=False))
        assert (row(found, "minimum").instances, row(found, "minimum").interfaces) == (1, 0)


def test_a_task_that_no_empty_instance_holds_is_refused_with_both_sides_numbers() -> None:
    # waites: a reservation that looks like the whole machine never places, since the machine keeps some for itself.
    found = fit([load("web", memory=8192)], pool("m5.large"))
    assert problems(found) == [
        "services/web/memory: a task needs 8192MiB, 0.25 vCPU and 1 interface; an empty m5.large gives 7312MiB, 2 vCPU "
        "and 10 interfaces (880MiB of its 8192MiB go to the system and the ECS agent)\n"
        "    lower it to 7312MiB, or choose larger instances in quayside:capacity/instances/types"
    ]
    assert row(found, "minimum").stuck == (("web", 1),)
    assert not fit([load("web", memory=7312, minimum_surge=0)], pool("m5.large")).problems


def test_the_group_may_start_any_type_so_the_smallest_decides() -> None:
    found = fit([load("web", cpu=3072)], pool("m5.xlarge", "r5.large"))
    assert problems(found) == [
        "services/web/cpu: a task needs 512MiB, 3 vCPU and 1 interface; an empty r5.large gives 15135MiB, 2 vCPU "
        "and 10 interfaces (1249MiB of its 16384MiB go to the system and the ECS agent)\n"
        "    lower it to 2, or leave r5.large out of quayside:capacity/instances/types"
    ]
    # The smaller memory is the one type's, the smaller CPU the other's.
    both = fit([load("web", 12, cpu=1024)], pool("c5.xlarge", "r5.large", max=50))
    assert row(both, "minimum").memory_total == registered_memory(8192) * 6
    assert row(both, "minimum").cpu_total == 2048 * 6


def test_what_the_proxy_takes_is_not_for_the_service_to_lower() -> None:
    found = fit([load("web", memory=7376, proxy_memory=64, proxy_cpu=256)], pool("m5.large"))
    assert problems(found) == [
        "services/web/memory: a task needs 7376MiB, 0.25 vCPU and 1 interface (64MiB and 0.25 vCPU for its proxy); "
        "an empty m5.large gives 7312MiB, 2 vCPU and 10 interfaces "
        "(880MiB of its 8192MiB go to the system and the ECS agent)\n"
        "    lower it to 7248MiB, or choose larger instances in quayside:capacity/instances/types"
    ]


def test_a_canary_sends_people_to_its_service() -> None:
    found = fit([load("web"), load("web-canary", of="web", memory=8000, minimum_surge=0)], pool("m5.large"))
    assert [problem.path for problem in found.problems] == ["services/web/memory"]
    assert row(found, "minimum").stuck == (("web-canary", 1),)


def test_a_type_without_interfaces_for_tasks() -> None:
    none = InstanceType(
        name="odd.one", cpu=2048, memory=8192, architecture="amd64", tasks=0, trunked_tasks=None, burstable=False
    )
    found = fit(
        [load("web"), load("worker", network="bridge")],
        Pool(types=(none,), min=1, max=3, spot=0, zones=2, trunking=True, surge="all"),
    )
    assert problems(found) == [
        "services/web/network: a task needs 512MiB, 0.25 vCPU and 1 interface; an empty odd.one gives 7312MiB and "
        "2 vCPU (880MiB of its 8192MiB go to the system and the ECS agent)\n"
        "    set it to bridge, or choose larger instances in quayside:capacity/instances/types"
    ]
    assert row(found, "minimum").stuck == (("web", 1),)


def test_the_largest_load_that_max_cannot_hold_is_refused_and_names_its_largest_part() -> None:
    found = fit([load("api", 2, 4), load("web", 9, 40, memory=1800)], pool(max=2))
    assert problems(found) == [
        "quayside:capacity/instances/max: the maximum load is 44 tasks and needs 11 instances (m7g.large); max is 2. "
        "The largest part is web: 40 tasks of 1800MiB and 0.25 vCPU\n"
        "    set max to 11, lower services/web/memory, "
        "or choose larger instances in quayside:capacity/instances/types",
    ]


def test_a_release_must_fit_at_the_minimum_and_is_only_reported_at_the_maximum() -> None:
    found = fit([load("web", 4, 8), load("api", 4)], pool(max=2))
    assert problems(found) == []
    assert row(found, "maximum + release").stuck == (("web", 8),)
    found = fit([load("web", 4, memory=3000), load("api", 4)], pool(max=3))
    assert problems(found) == [
        "quayside:capacity/instances/max: a release of all at the minimum load runs 16 tasks, old and new together, "
        "and needs 5 instances (m7g.large); max is 3. Would not start: web 4\n"
        "    set max to 5, or set quayside:surge to largest"
    ]


def test_the_largest_service_alone_needs_less_room_than_all() -> None:
    loads = [load("web", 4, memory=3000), load("api", 4)]
    alone = row(fit(loads, pool(max=3, surge="largest")), "minimum + release")
    assert (alone.load, alone.tasks, alone.instances) == ("minimum + release of web", 12, 5)
    assert problems(fit(loads, pool(max=3, surge="largest")))[0].endswith("\n    set max to 5")
    assert row(fit([], pool(surge="largest")), "minimum + release").load == "minimum + release"


def test_a_stateful_service_is_never_there_twice() -> None:
    found = fit([load("db", stateful=True)], pool())
    assert row(found, "minimum + release").tasks == 1


def test_a_host_port_is_there_once_on_each_instance() -> None:
    # mery: host networking is a choice per service, and its price is one replica an instance.
    web = load("web", 3, 14, network="host", host_ports=(8080,))
    found = fit([web], pool())
    assert row(found, "minimum").instances == 3
    assert problems(found) == [
        "quayside:capacity/instances/max: host port 8080 is there once on an instance, and 14 tasks want it at the "
        "maximum load (web 14); max is 12\n"
        "    set max to 14, lower services/web/replicas, or set services/web/network to awsvpc"
    ]
    # Another port, another service: they share the instances.
    other = load("api", 3, network="host", host_ports=(9000,))
    assert row(fit([load("web", 3, network="host", host_ports=(8080,)), other], pool()), "minimum").instances == 3
    # The same port: they cannot.
    same = [load("web", 7, host_ports=(80,)), load("api", 6, host_ports=(80, 443))]
    assert row(fit(same, pool()), "minimum").instances == 13
    assert "13 tasks want it at the maximum load (api 6 and web 7); max is 12" in problems(fit(same, pool()))[0]


def test_others_fill_the_room_beside_tasks_with_host_ports() -> None:
    edge = load("edge", 6, cpu=128, memory=256, network="host", host_ports=(80,))
    assert row(fit([edge, load("worker", 6, network="bridge")], pool()), "minimum").instances == 6
    found = fit([edge, load("worker", 48, network="bridge")], pool(max=6))
    assert row(found, "minimum").instances == 8
    assert [service for service, _ in row(found, "minimum").stuck] == ["worker"]


def test_a_zone_s_spot_is_a_share_of_what_is_above_the_minimum() -> None:
    found = fit([load("web", 24)], pool(min=1, max=3, spot=100, zones=2))
    lost = row(found, "maximum, one zone's spot lost")
    assert lost.load == "maximum, one zone's spot lost (1 of 3 instances)"
    assert (lost.limit, lost.running, lost.stuck) == (2, 2, (("web", 8),))
    for none in (pool(spot=0), pool(min=12, spot=100)):
        assert len(fit([load("web", 24)], none).rows) == 4


def test_a_pool_is_of_one_architecture() -> None:
    found = fit([load("web", architecture="amd64")], pool("m7g.large", "m5.large", "m6g.large"))
    assert problems(found) == [
        "quayside:capacity/instances/types: m7g.large is arm64 and m5.large is amd64; ECS may place a task on any of "
        "them\n    leave out m5.large, or m7g.large and m6g.large"
    ]


def test_an_image_must_be_for_the_pool_s_architecture() -> None:
    found = fit([load("web", architecture="amd64"), load("api", architecture="arm64"), load("job")], pool("m7g.large"))
    assert problems(found) == [
        "services/web/architecture: the image is for amd64, and m7g.large is arm64\n"
        "    build it for arm64, or choose other instances in quayside:capacity/instances/types"
    ]


def test_nothing_to_run_needs_nothing() -> None:
    found = fit([], pool())
    assert [row.instances for row in found.rows] == [0, 0, 0, 0]
    assert not found.problems
    assert rows(fit([], pool(min=0)))[0]["cpu"] == "0 of 0 vCPU"
    assert fit(SHOP, Pool(types=(), min=0, max=1, spot=0, zones=2, trunking=True, surge="all")) == Fit(
        rows=(), problems=()
    )


def test_all_problems_come_at_once() -> None:
    found = fit(
        [load("a", memory=9000), load("b", cpu=4096, architecture="amd64"), load("c", 20, host_ports=(80,))],
        pool("m7g.large"),
    )
    assert [problem.path for problem in found.problems] == [
        "services/b/architecture",
        "services/a/memory",
        "services/b/cpu",
        "quayside:capacity/instances/max",
    ]


def test_the_report_names_a_few_services_and_counts_the_rest() -> None:
    found = fit([load(f"s{number}", 4) for number in range(9)], pool(max=1))
    assert rows(found)[0]["does not start"] == "s2 4, s3 4, s4 4, s5 4, s6 4, s7 4 and 1 more"


def test_a_heavier_load_counts_for_no_fewer_instances_than_a_lighter_one() -> None:
    def row(load: str, instances: int, cpu: int) -> Row:
        there = {"cpu_total": 2048 * instances, "memory_total": 7000 * instances, "interfaces_total": 2 * instances}
        used = {"tasks": 1, "cpu": cpu, "memory": 10, "interfaces": 1}
        return Row(load=load, instances=instances, running=instances, limit=9, stuck=(), **used, **there)

    light, heavy = row("minimum", 3, 100), row("maximum", 2, 200)
    no_less = capacity._no_less  # pyright: ignore[reportPrivateUsage]
    held = no_less(heavy, light)
    assert (held.load, held.instances, held.running, held.cpu) == ("maximum", 3, 3, 200)
    assert (held.cpu_total, held.memory_total, held.interfaces_total) == (6144, 21000, 6)
    assert no_less(light, heavy) == light
