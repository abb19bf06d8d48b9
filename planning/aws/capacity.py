"""Whether the tasks fit the pool of EC2 instances, before anything is touched.

ECS places the tasks, not we (decisions.md 24): spread over zones, then binpack by memory, one task after another in an
order nobody controls, and nothing is moved afterwards. A packing that only a clever order reaches is worth nothing, so
this takes the worst of the orders that waste most, and is a poorer packer than the scheduler itself: an instance that
once refused a task is never tried again ("next fit"). Tasks come from small to large, so that what an instance has left
is too little for all that follow: by memory, by CPU, by what a task takes most of. And they come mixed, so that few of
the same size meet. (Falling sizes are the kindest order there is, and the order of the file decides nothing.)

Two promises come of it. For tasks up to a quarter of an instance, the scheduler needs at most 5 % more instances than
this says, and one for each further zone, since spreading keeps one partly filled in each. And the answer is as steady
as people expect: a further service never makes it smaller, which next fit guarantees and the scheduler's own best fit
does not. Only a release of "the largest" service may need less once another one is the largest.

Host ports are counted apart: replicas that want one port need an instance each, whatever else fits beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

from planning.aws.instances import (
    INSTANCE_TYPES,
    UNITS,
    Architecture,
    InstanceType,
    instance_type,
    nearest_type,
    registered_memory,
)
from settings.problems import Problem

SERVICE_CONNECT_CPU = 256
SERVICE_CONNECT_MEMORY = 64
"""What the proxy of Service Connect needs in every task beside the service's own (CPU units and MiB; "Service Connect
components", ECS guide). Whoever makes the `TaskLoad` adds it; 512 units above 500 requests a second and task."""

TYPES = "quayside:capacity/instances/types"
MAX = "quayside:capacity/instances/max"
TRUNKING = "quayside:capacity/instances/trunking"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLoad:
    """The tasks of one service on EC2."""

    service: str
    """For people; unique."""
    of: str | None = None
    """The service of services.yaml that messages send people to, where that is another: a canary's own service."""
    cpu: int
    """CPU units of one task, 1024 a vCPU, those of its proxy included."""
    memory: int
    """MiB of one task, those of its proxy included."""
    proxy_cpu: int = 0
    """The part that is the proxy's, so that messages can name what the service itself may ask for."""
    proxy_memory: int = 0
    network: Literal["awsvpc", "bridge", "host"]
    host_ports: tuple[int, ...] = ()
    """Ports of the instance itself that a task takes; those that Docker chooses do not count."""
    minimum: int
    maximum: int
    minimum_surge: int
    """Tasks that a release runs on top at the minimum: as many again where new tasks come first."""
    maximum_surge: int
    stateful: bool = False
    """Stopped before its successor starts, so that a release runs nothing on top."""
    architecture: Architecture | None = None
    """Of the image; None where it is not known, or the image has several."""

    @property
    def interfaces(self) -> int:
        return 1 if self.network == "awsvpc" else 0

    @property
    def at(self) -> str:
        return f"services/{self.of or self.service}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The instances there may be. The group may start any of the types, so the smallest of each dimension counts."""

    types: tuple[InstanceType, ...]
    min: int
    max: int
    spot: int
    """Percent of the instances above `min`."""
    zones: int
    trunking: bool
    """Whether the account setting ``awsvpcTrunking`` is on for these instances."""
    surge: Literal["all", "largest"]
    aside: int = 0
    """MiB of every instance that are kept from tasks for the registry on its localhost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One load on the pool."""

    load: str
    tasks: int
    instances: int
    """Needed, whatever the order in which ECS places the tasks."""
    running: int
    """There while the load lasts: what is needed, within the pool's bounds. The totals are theirs."""
    limit: int
    """The most there can be."""
    cpu: int
    """Of the tasks that start, as are memory and interfaces."""
    cpu_total: int
    memory: int
    memory_total: int
    interfaces: int
    interfaces_total: int
    stuck: tuple[tuple[str, int], ...]
    """Service → tasks that would not start, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]


def resolve(names: Iterable[str]) -> tuple[tuple[InstanceType, ...], list[Problem]]:
    """The instance types by their names, and a problem for each that is not known."""
    found: list[InstanceType] = []
    problems: list[Problem] = []
    for name in names:
        known = instance_type(name)
        if known is not None:
            found.append(known)
            continue
        close = nearest_type(name)
        families = ", ".join(sorted({known.partition(".")[0] for known in INSTANCE_TYPES}))
        hint = f'did you mean "{close}"? ' if close else ""
        problems.append(Problem(TYPES, f'unknown instance type "{name}"', f"{hint}known families: {families}"))
    return tuple(found), problems


def fit(tasks: Sequence[TaskLoad], pool: Pool) -> Fit:
    """What each load needs of the pool, and every reason why it cannot be carried out."""
    if not pool.types:
        return Fit(rows=(), problems=())
    room = _room(pool)
    tasks = sorted(tasks, key=lambda task: task.service)
    row = partial(_row, pool, room)
    minimum = [_Demand(task, task.minimum) for task in tasks]
    maximum = [_Demand(task, task.maximum) for task in tasks]
    low = row("minimum", minimum)
    high = _no_less(row("maximum", maximum), low)
    low_release = _no_less(_released("minimum", minimum, lambda task: task.minimum_surge, pool, row), low)
    high_release = _no_less(_released("maximum", maximum, lambda task: task.maximum_surge, pool, row), high)
    rows = [low, high, low_release, high_release]
    lost = _lost(pool, high.running)
    if lost:
        left = high.running - lost
        rows.append(row(f"maximum, one zone's spot lost ({lost} of {high.running} instances)", maximum, left))
    # Each says what max should be, so that one who follows it meets no larger number the next time.
    short = [
        (low.instances, [*_overfull("minimum", low, minimum, pool, room)]),
        (low_release.instances, [*_no_room_for_release(low_release, pool)] if low.instances <= pool.max else []),
        (high.instances, [*_overfull("maximum", high, maximum, pool, room)]),
    ]
    _, largest = max(short, key=lambda found: (bool(found[1]), found[0]))
    problems = (*_architectures(tasks, pool), *_too_large(tasks, pool), *_ports(tasks, pool), *largest)
    return Fit(rows=tuple(rows), problems=problems)


def rows(fit: Fit) -> list[dict[str, object]]:
    """The fit as a table for people: column → value."""
    return [
        {
            "load": row.load,
            "tasks": row.tasks,
            "instances": row.instances,
            "of": row.limit,
            "cpu": f"{row.cpu / UNITS:g} of {row.cpu_total / UNITS:g} vCPU{_percent(row.cpu, row.cpu_total)}",
            "memory": f"{row.memory} of {row.memory_total}MiB{_percent(row.memory, row.memory_total)}",
            "interfaces": f"{row.interfaces} of {row.interfaces_total}",
            "does not start": _few([f"{service} {count}" for service, count in row.stuck]),
        }
        for row in fit.rows
    ]


# --- packing ---------------------------------------------------------------------------------------------------------


class _Room(NamedTuple):
    """What an empty instance has for tasks."""

    cpu: int
    memory: int
    interfaces: int

    def holds(self, task: TaskLoad) -> int:
        """How many of these tasks fit. Ports are not looked at."""
        fits = [
            has // needs for has, needs in zip(self, (task.cpu, task.memory, task.interfaces), strict=True) if needs > 0
        ]
        return min(fits, default=1_000_000)

    def less(self, task: TaskLoad, count: int) -> _Room:
        return _Room(
            self.cpu - task.cpu * count,
            self.memory - task.memory * count,
            self.interfaces - task.interfaces * count,
        )

    @property
    def whole(self) -> int:
        """A whole instance, in the unit of `share`: a common multiple, so that shares compare and add up exactly."""
        return max(1, self.cpu) * max(1, self.memory) * max(1, self.interfaces)

    def share(self, task: TaskLoad) -> int:
        """The part of an instance that a task takes of whatever it takes most of."""
        return max(
            needs * (self.whole // max(1, has))
            for has, needs in zip(self, (task.cpu, task.memory, task.interfaces), strict=True)
        )


class _Demand(NamedTuple):
    task: TaskLoad
    replicas: int


@dataclass(frozen=True, slots=True)
class _Packing:
    instances: int
    stuck: Mapping[str, int]
    """Service → tasks beyond the given number of instances."""


def _room_of(kind: InstanceType, pool: Pool) -> _Room:
    memory = max(0, registered_memory(kind.memory) - pool.aside)
    return _Room(kind.cpu, memory, kind.interfaces(trunking=pool.trunking))


def _room(pool: Pool) -> _Room:
    rooms = [_room_of(kind, pool) for kind in pool.types]
    return _Room(*(min(dimension) for dimension in zip(*rooms, strict=True)))


def _pack(demands: Iterable[_Demand], room: _Room, limit: int) -> _Packing:
    """How many instances the demands need, and what does not start on ``limit`` of them."""
    stuck: dict[str, int] = {}
    free: list[_Demand] = []
    fixed: list[_Demand] = []
    for demand in demands:
        if demand.replicas <= 0:
            continue
        if room.holds(demand.task) == 0:
            stuck[demand.task.service] = demand.replicas
        elif demand.task.host_ports:
            fixed.append(demand)
        else:
            free.append(demand)
    blocks = _blocks(fixed, room)
    apart = sum(block[0].replicas for block in blocks)
    left, placed = limit, list[_Demand]()
    for block in blocks:
        for task, count in block:
            placed.append(_Demand(task, min(count, left)))
            if count > left:
                stuck[task.service] = count - left
        left = max(0, left - block[0].replicas)
    if not free:
        return _Packing(apart, stuck)
    # Beside tasks with ports there is room for others: only the part of those instances that the tasks fill is lost,
    # and as much again on each as the largest other task could miss by.
    gap = max(room.share(task) for task, _ in free)
    needed, there = _filled(fixed, apart, gap, room), _filled(placed, min(apart, limit), gap, room)
    worst = max(_in_every_order(free, room, limit - there), key=lambda packing: packing.instances)
    return _Packing(max(apart, worst.instances + needed), {**stuck, **worst.stuck})


def _filled(fixed: Iterable[_Demand], instances: int, gap: int, room: _Room) -> int:
    """The whole instances that tasks with ports make up, of all that they run on."""
    filled = sum(room.share(task) * count for task, count in fixed) + instances * gap
    return min(instances, -(-filled // room.whole))


def _in_every_order(demands: Sequence[_Demand], room: _Room, limit: int) -> Iterable[_Packing]:
    """The demands in each of the orders that waste most. Equal tasks by name: the file's own order never matters."""
    by_memory = sorted(demands, key=lambda d: (d.task.memory, d.task.cpu, d.task.interfaces, d.task.service))
    yield _next_fit(by_memory, room, limit)
    yield _next_fit(sorted(by_memory, key=lambda demand: demand.task.cpu), room, limit)
    yield _next_fit(sorted(by_memory, key=lambda demand: room.share(demand.task)), room, limit)
    yield _next_fit_mixed(by_memory, room, limit)


def _next_fit(demands: Iterable[_Demand], room: _Room, limit: int) -> _Packing:
    """Fill one instance after the other and never look back. Equal tasks are placed together, not one by one."""
    instances, free = 0, _Room(0, 0, 0)
    stuck: dict[str, int] = {}
    for task, count in demands:
        here = min(count, free.holds(task)) if instances else 0
        free = free.less(task, here)
        rest = count - here
        late = here if instances > limit else 0
        if rest:
            each = room.holds(task)
            more = -(-rest // each)
            late += max(0, rest - max(0, limit - instances) * each)
            instances += more
            free = room.less(task, rest - (more - 1) * each)
        if late:
            stuck[task.service] = late
    return _Packing(instances, stuck)


_GOLDEN = 0x9E3779B1  # 2³² ÷ the golden ratio: its multiples, modulo 2³², fall evenly between each other


def _next_fit_mixed(demands: Sequence[_Demand], room: _Room, limit: int) -> _Packing:
    """The same with every service's tasks spread evenly among the others', as when all of them scale at once.

    A task's place depends on its service's size and its own number alone, so that further tasks leave the others in
    the order they had: that is what keeps the answer from falling when a service is added.
    """
    width = len(demands).bit_length()
    # One number for a task, its place and then its service: with tens of thousands of tasks, tuples are too slow.
    places = sorted(
        ((number * _GOLDEN + task.cpu * 40503 + task.memory * 69069) & 0xFFFFFFFF) << width | index
        for index, (task, count) in enumerate(demands)
        for number in range(count)
    )
    needs = [(task.cpu, task.memory, task.interfaces) for task, _ in demands]
    instances, cpu, memory, interfaces = 0, -1, -1, -1
    late = [0] * len(demands)
    for place in places:
        index = place & ((1 << width) - 1)
        of_cpu, of_memory, of_interfaces = needs[index]
        cpu, memory, interfaces = cpu - of_cpu, memory - of_memory, interfaces - of_interfaces
        if cpu < 0 or memory < 0 or interfaces < 0:
            instances += 1
            cpu, memory, interfaces = room.cpu - of_cpu, room.memory - of_memory, room.interfaces - of_interfaces
        if instances > limit:
            late[index] += 1
    return _Packing(instances, {demands[index].task.service: count for index, count in enumerate(late) if count})


def _blocks(demands: Iterable[_Demand], room: _Room) -> list[list[_Demand]]:
    """Tasks with host ports, in blocks whose services can share instances: a block needs one for each replica.

    By falling count, so that the first of a block says how many instances it needs.
    """
    blocks: list[list[_Demand]] = []
    free, taken = room, set[int]()
    for demand in sorted(demands, key=lambda demand: (-demand.replicas, demand.task.service)):
        if not blocks or free.holds(demand.task) == 0 or taken.intersection(demand.task.host_ports):
            blocks.append([])
            free, taken = room, set[int]()
        blocks[-1].append(demand)
        free = free.less(demand.task, 1)
        taken.update(demand.task.host_ports)
    return blocks


# --- loads -----------------------------------------------------------------------------------------------------------


def _row(pool: Pool, room: _Room, load: str, demands: Sequence[_Demand], limit: int | None = None) -> Row:
    there = pool.max if limit is None else limit
    packing = _pack(demands, room, there)
    running = min(max(packing.instances, pool.min), there)
    started = [(task, count - packing.stuck.get(task.service, 0)) for task, count in demands]
    return Row(
        load=load,
        tasks=sum(count for _, count in demands),
        instances=packing.instances,
        running=running,
        limit=there,
        cpu=sum(task.cpu * count for task, count in started),
        cpu_total=room.cpu * running,
        memory=sum(task.memory * count for task, count in started),
        memory_total=room.memory * running,
        interfaces=sum(task.interfaces * count for task, count in started),
        interfaces_total=room.interfaces * running,
        stuck=tuple(sorted(packing.stuck.items())),
    )


def _no_less(row: Row, than: Row) -> Row:
    """More tasks may find room on fewer instances, in the order of packing; but the pool has had the others, too."""
    if row.instances >= than.instances:
        return row
    held = row if row.running >= than.running else than
    return replace(
        row,
        instances=than.instances,
        running=held.running,
        cpu_total=held.cpu_total,
        memory_total=held.memory_total,
        interfaces_total=held.interfaces_total,
    )


def _released(
    load: str,
    demands: Sequence[_Demand],
    surge: Callable[[TaskLoad], int],
    pool: Pool,
    row: Callable[[str, Sequence[_Demand]], Row],
) -> Row:
    """The load with the tasks that a release runs on top: of every service at once, or of the largest alone."""

    def extra(task: TaskLoad) -> int:
        return 0 if task.stateful else surge(task)

    if pool.surge == "all":
        return row(f"{load} + release of all", [_Demand(task, count + extra(task)) for task, count in demands])
    sizes: list[Callable[[TaskLoad], int]] = [
        lambda task: task.memory * extra(task),
        lambda task: task.cpu * extra(task),
        lambda task: task.interfaces * extra(task),
        lambda task: len(task.host_ports) and extra(task),
    ]
    services = [task for task, _ in demands if extra(task)]
    # Largest in what? In whatever needs most instances.
    candidates = dict.fromkeys(max(services, key=size) for size in sizes if services)
    released = [
        row(
            f"{load} + release of {largest.service}",
            [_Demand(task, count + (extra(task) if task is largest else 0)) for task, count in demands],
        )
        for largest in candidates
    ]
    return max(released, key=lambda made: made.instances, default=row(f"{load} + release", demands))


def _lost(pool: Pool, running: int) -> int:
    """Instances that go when a zone's spot capacity does. Rounded up: which zone has one more is not for us to say."""
    spot = -(-max(0, running - pool.min) * pool.spot // 100)
    return -(-spot // max(1, pool.zones))


# --- problems --------------------------------------------------------------------------------------------------------


def _architectures(tasks: Sequence[TaskLoad], pool: Pool) -> Iterable[Problem]:
    first = pool.types[0]
    alike = [kind for kind in pool.types if kind.architecture == first.architecture]
    others = [kind for kind in pool.types if kind.architecture != first.architecture]
    if others:
        yield Problem(
            TYPES,
            f"{first.name} is {first.architecture} and {others[0].name} is {others[0].architecture}; "
            "ECS may place a task on any of them",
            f"leave out {_and([kind.name for kind in others])}, or {_and([kind.name for kind in alike])}",
        )
        return
    for task in tasks:
        if task.architecture not in (None, first.architecture):
            yield Problem(
                f"{task.at}/architecture",
                f"the image is for {task.architecture}, and {first.name} is {first.architecture}",
                f"build it for {first.architecture}, or choose other instances in {TYPES}",
            )


def _too_large(tasks: Sequence[TaskLoad], pool: Pool) -> Iterable[Problem]:
    """Tasks that no empty instance of the pool's smallest type holds: ECS would look for a place for ever."""
    for task in tasks:
        needs = _Room(task.cpu, task.memory, task.interfaces)
        for index, key in enumerate(("cpu", "memory", "network")):
            rooms = [(_room_of(kind, pool), kind) for kind in pool.types]
            room, smallest = min(rooms, key=lambda pair: pair[0][index])
            if needs[index] <= room[index]:
                continue
            path = f"{task.at}/{key}"
            own = _Room(max(0, room.cpu - task.proxy_cpu), max(0, room.memory - task.proxy_memory), 0)
            lower = (f"lower it to {own.cpu / UNITS:g}", f"lower it to {own.memory}MiB", "set it to bridge")[index]
            proxy = f" ({_amounts(task.proxy_memory, task.proxy_cpu, 0)} for its proxy)" if task.proxy_memory else ""
            fitting = any(other.holds(task) for other, _ in rooms)
            instead = f"leave {smallest.name} out of {TYPES}" if fitting else f"choose larger instances in {TYPES}"
            yield Problem(
                path,
                f"a task needs {_amounts(task.memory, task.cpu, task.interfaces)}{proxy}; an empty {smallest.name} "
                f"gives {_amounts(room.memory, room.cpu, room.interfaces)} "
                f"({smallest.memory - room.memory}MiB of its {smallest.memory}MiB go to {_others(pool)})",
                f"{lower}, or {instead}",
            )


def _others(pool: Pool) -> str:
    return "the system, the ECS agent and the registry" if pool.aside else "the system and the ECS agent"


def _ports(tasks: Sequence[TaskLoad], pool: Pool) -> Iterable[Problem]:
    owners: dict[int, list[TaskLoad]] = {}
    for task in tasks:
        for port in dict.fromkeys(task.host_ports):
            owners.setdefault(port, []).append(task)
    for port, holders in sorted(owners.items()):
        wanted = sum(task.maximum for task in holders)
        if wanted <= pool.max:
            continue
        largest = max(holders, key=lambda task: task.maximum)
        yield Problem(
            MAX,
            f"host port {port} is there once on an instance, and {wanted} tasks want it at the maximum load "
            f"({_and([f'{task.service} {task.maximum}' for task in holders])}); max is {pool.max}",
            f"set max to {wanted}, lower {largest.at}/replicas, or set {largest.at}/network to awsvpc",
        )


def _overfull(load: str, row: Row, demands: Sequence[_Demand], pool: Pool, room: _Room) -> Iterable[Problem]:
    if row.instances <= pool.max:
        return
    # What host ports alone cause is said by port.
    without_ports = [_Demand(replace(task, host_ports=()), count) for task, count in demands]
    needed = _pack(without_ports, room, pool.max).instances
    if needed <= pool.max and any(_ports([demand.task for demand in demands], pool)):
        return
    fitting = [demand for demand in demands if room.holds(demand.task)]
    needs: dict[str, Callable[[TaskLoad], int]] = {
        "memory": lambda task: task.memory,
        "cpu": lambda task: task.cpu,
        "replicas": lambda task: task.interfaces,
    }
    capacity = dict(zip(needs, (room.memory, room.cpu, room.interfaces), strict=True))
    short = max(needs, key=lambda key: sum(needs[key](task) * n for task, n in fitting) / max(1, capacity[key]))
    largest = max(fitting, key=lambda demand: (needs[short](demand.task) * demand.replicas, room.share(demand.task)))
    service, task = largest.task.service, largest.task
    trunked = all(kind.trunked_tasks for kind in pool.types) and not pool.trunking and short == "replicas"
    interfaces = f"; an instance has interfaces for {_count(room.interfaces, 'task')}" if short == "replicas" else ""
    larger = f"set {TRUNKING} to true" if trunked else f"choose larger instances in {TYPES}"
    yield Problem(
        MAX,
        f"the {load} load is {_count(row.tasks, 'task')} and needs {_count(row.instances, 'instance')} "
        f"({_or([kind.name for kind in pool.types])}); max is {pool.max}. The largest part is {service}: "
        f"{_count(largest.replicas, 'task')} of {_amounts(task.memory, task.cpu, 0)}{interfaces}",
        f"set max to {row.instances}, lower {task.at}/{short}, or {larger}",
    )


def _no_room_for_release(row: Row, pool: Pool) -> Iterable[Problem]:
    if row.instances <= pool.max:
        return
    what = row.load.partition(" + ")[2]
    softer = ", or set quayside:surge to largest" if pool.surge == "all" else ""
    yield Problem(
        MAX,
        f"a {what} at the minimum load runs {_count(row.tasks, 'task')}, old and new together, and needs "
        f"{_count(row.instances, 'instance')} ({_or([kind.name for kind in pool.types])}); max is {pool.max}. "
        f"Would not start: {_few([f'{service} {count}' for service, count in row.stuck])}",
        f"set max to {row.instances}{softer}",
    )


# --- words -----------------------------------------------------------------------------------------------------------


def _amounts(memory: int, cpu: int, interfaces: int) -> str:
    parts = [f"{memory}MiB", f"{cpu / UNITS:g} vCPU"]
    return _and([*parts, _count(interfaces, "interface")] if interfaces else parts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _percent(part: int, whole: int) -> str:
    return f" ({100 * part // whole} %)" if whole else ""


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _few(words: Sequence[str], most: int = 6) -> str:
    rest = len(words) - most
    return ", ".join(words) if rest <= 0 else f"{', '.join(words[:most])} and {rest} more"
