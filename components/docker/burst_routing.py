"""The routing of a burst: what its hosts add to a fleet that is routed already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.docker.host_routing import FleetRouting, HostRoutingArgs, Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstRoutingArgs:
    permanent: Mapping[str, HostRoutingArgs]
    """Hosts that `fleet` routed. Their `config` is what the burst lays over it (planning/hosts/burst.py)."""
    burst: Mapping[str, HostRoutingArgs]
    """Hosts of the burst; may be none."""
    fleet: FleetRouting
    """Comes before all of this."""
    ready: Sequence[pulumi.Resource]
    """What lets burst hosts in elsewhere: packet filters and firewalls."""
    network_prefix: str
    """Networks of this stack begin with it."""


class BurstRouting(pulumi.ComponentResource):
    """Lets burst hosts join and leave, in an `up`'s second round, which starts when the first has made its release.

    The engine starts no further step once one has failed, wherever it was. So that a burst host that fails to come up
    holds up nothing else (decisions.md 19), everything of it is made after the permanent hosts have accepted, routed
    and forgotten by a configuration that does not speak of it: what fails then is the burst alone. It costs a burst
    nothing, since there is nothing to release, and a release during one that burst hosts have it last. Old containers
    are deleted at the end of an `up` in which nothing failed; until then they stand by.

    The second round has the steps of the first. A permanent host's part is to lay the burst over its configuration:

    - `admit` (its `accept`): its gateway lets burst hosts reach what their services use, so that they become healthy.
    - on burst hosts `files`, `accept` and `route`, each by itself: they speak with permanent hosts alone.
    - `burst` (its `route`), when all burst hosts that are not down have routed: its edge sends to those that are, and
      no more to those that leave; it waits for what is under way to these, each at most its service's `drain`.
    - `settle` (its `forget`), when that is so on every host: the gateway lets in nobody who left. Where burst hosts
      stood during a release, `forget` left them the old one's names: here those end, with their containers. Burst
      hosts `forget` at the same time.

    Permanent hosts have these steps without a burst as well, with nothing to lay over: the number alone decides. A host
    that leaves is drained by an update of `burst`; what was on it is deleted at the end of the `up`, and itself last.
    """

    def __init__(self, name: str, args: BurstRoutingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:BurstRouting", name, None, opts)
        steps = Steps(parent=self, network_prefix=args.network_prefix)
        # They were part of the fleet's routing before there were two rounds.
        joining = Steps(parent=self, network_prefix=args.network_prefix, formerly=args.fleet)
        living = [host for host, one in args.permanent.items() if not one.down]
        rented = [host for host, one in args.burst.items() if not one.down]
        first = args.fleet.done
        admits = {host: steps.step("admit", host, one, one.config, [], first) for host, one in args.permanent.items()}
        admitted = [*(admits[host] for host in living), *args.ready]
        accepts = {host: joining.accept(host, one, admitted) for host, one in args.burst.items()}
        routes = {
            host: joining.step("route", host, one, one.config, [accepts[host]], []) for host, one in args.burst.items()
        }
        routed = [routes[host] for host in rented]
        bursts = {
            host: steps.step(
                "burst",
                host,
                one,
                one.config,
                # A release that left burst hosts its old names is settled by what follows.
                [admits[host], *([args.fleet.forgets[host]] if args.burst else [])],
                routed,
            )
            for host, one in args.permanent.items()
        }
        sent = [bursts[host] for host in living]
        for host, one in args.permanent.items():
            steps.step("settle", host, one, "", [bursts[host]], sent)
        for host, one in args.burst.items():
            joining.step("forget", host, one, one.config, [routes[host]], sent)
        self.register_outputs({})
