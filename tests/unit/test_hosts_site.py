"""By which certificate visitors of a fleet get TLS, and for which names; messages word for word."""

from __future__ import annotations

from typing import Any

import pytest

from planning.hosts.fleet import fleet
from planning.hosts.refusals import notes, refusals
from planning.hosts.site import certificate_names, edge_tls, https, issued_names, managed_tls
from settings.stack import Stack

ACME = {"acme": {"email": "ops@example.com"}}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
BALANCED = {"location": "fsn1", "hosts": {"count": 2, "type": "cx33"}, "balancer": {}}


def stack(*routes: str, **values: Any) -> Stack:
    image = "web@sha256:" + "1f3c5a8e0b92d47c" * 4
    defaults: dict[str, Any] = {
        "project": "shop",
        "name": "staging",
        "cloud": "hetzner",
        "domain": "example.com",
        "dns": {"provider": "digitalocean"},
        "services": {"web": {"image": image, "port": 80, "routes": list(routes)}},
        "capacity": {"location": "fsn1", "hosts": {"count": 2, "type": "cx33"}},
        "access": {"ssh": ["198.51.100.0/24"]},
    }
    return Stack.model_validate({**defaults, **values})


def wrong(one: Stack) -> list[str]:
    return [str(problem) for problem in refusals(one, fleet(one)[0])]


def test_a_location_that_is_none_is_named_where_it_is_written() -> None:
    three = {"web1": {"type": "cx33"}, "web2": {"type": "cx33"}, "web3": {"type": "cx33", "location": "nbg9"}}
    found = wrong(stack(capacity={"location": "fsn9", "hosts": three}))
    one_of = "\n    one of fsn1, nbg1, hel1, ash, hil, sin"
    assert list(dict.fromkeys(found)) == [
        f'quayside:capacity/location: "fsn9" is no location of Hetzner{one_of}',
        f'quayside:capacity/hosts/web3/location: "nbg9" is no location of Hetzner{one_of}',
    ]


def test_a_type_that_is_not_sold_in_a_location_is_refused() -> None:
    def said(of: str, location: str) -> list[str]:
        return wrong(stack(capacity={"location": location, "hosts": {"count": 2, "type": of}}))

    assert said("cx33", "ash") == [
        "quayside:capacity/hosts: cx33 is sold in Europe alone, and host1, host2 would be in ash\n"
        "    take a cpx or ccx type there, or a location in Europe: fsn1, nbg1 or hel1"
    ]
    assert len(said("cax21", "sin")) == 1
    assert said("cx33", "hel1") == said("cpx21", "ash") == said("ccx13", "hil") == []


@pytest.mark.parametrize(
    ("count", "balancer", "fix"),
    [(25, "lb11", ""), (30, "lb11", "take lb21"), (76, "lb21", "take lb31"), (151, "lb31", "have at most 150 hosts")],
)
def test_a_balancer_takes_so_many_targets(count: int, balancer: str, fix: str) -> None:
    capacity = {"location": "fsn1", "hosts": {"count": count, "type": "cx33"}, "balancer": {"type": balancer}}
    most = {"lb11": 25, "lb21": 75, "lb31": 150}[balancer]
    found = [line for line in wrong(stack(capacity=capacity)) if "balancer" in line]
    told = f"quayside:capacity/balancer/type: {balancer} takes {most} targets, and {count} hosts are behind it"
    assert found == ([f"{told}\n    {fix}"] if fix else [])


def test_without_a_balancer_a_dead_host_s_record_is_spoken_of() -> None:
    def noted(**capacity: Any) -> list[str]:
        base = {"location": "fsn1", "hosts": {"count": 3, "type": "cx33"}}
        made = stack("example.com", capacity={**base, **capacity})
        return [note for note in notes(made, fleet(made)[0]) if "DNS leads" in note]

    assert noted() == [
        "the DNS leads to host1, host2, host3, and nobody checks them there: one that dies keeps its address until "
        'capacity.down names it and `up` has run (docs/hosts.md, "A host that died")'
    ]
    assert "leads to host1, host3," in noted(down=["host2"])[0]
    assert noted(balancer={}) == noted(hosts={"count": 1, "type": "cx33"}) == []
    asked = stack("example.com", dns={"provider": "route53", "health": True})
    assert [note for note in notes(asked, fleet(asked)[0]) if "DNS leads" in note] == []


@pytest.mark.parametrize("place", ["host1", "db1"])
def test_a_disk_larger_than_hetzner_s_largest_is_refused_where_one_would_be_made(place: str) -> None:
    server = {"name": "db1", "address": "203.0.113.7", "cpu": 8, "memory": 32 * 1024**3, "host_key": KEY}
    db = {"image": "a", "place": place, "volume": {"path": "/data", "size": 10241 * 1024**3}}
    one = stack(
        capacity={"location": "fsn1", "hosts": {"count": 1, "type": "cx33"}, "existing": [server]}, services={"db": db}
    )
    expected = (
        "services/db/volume/size: should be at most 10240GiB, Hetzner's largest volume, got 10241GiB\n"
        "    take less, or place it on an existing server"
    )
    assert wrong(one) == ([expected] if place == "host1" else [])


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        (["b.org", "a.org", "b.org"], ["a.org", "b.org"]),
        # Let's Encrypt: "Domain name is redundant with a wildcard domain in the same request".
        (["www.a.org", "*.a.org", "a.org"], ["*.a.org", "a.org"]),
        # A wildcard stands for one label.
        (["x.y.a.org", "*.a.org"], ["*.a.org", "x.y.a.org"]),
        (["*.y.a.org", "*.a.org"], ["*.a.org", "*.y.a.org"]),
    ],
)
def test_every_host_is_named_once_and_none_that_a_wildcard_covers(hosts: list[str], names: list[str]) -> None:
    assert certificate_names(hosts) == names


def test_who_ends_visitors_tls() -> None:
    def ends(**values: Any) -> tuple[bool, bool, bool]:
        one = stack("example.com", **values)
        made = fleet(one)[0]
        return edge_tls(one), managed_tls(one, made), https(one, made)

    hetzner = {"provider": "hetzner"}
    assert ends() == (False, False, False)
    assert ends(edge=ACME) == (True, False, True)
    assert ends(edge={"certificate": "site"}) == (True, False, True)
    assert ends(capacity=BALANCED, dns=hetzner) == (False, True, True)
    assert ends(capacity=BALANCED, dns=hetzner, edge=ACME) == (True, False, True)
    assert ends(capacity=BALANCED) == (False, False, False)


def test_nothing_is_issued_for_no_routes() -> None:
    assert (issued_names(stack(edge=ACME)), edge_tls(stack(edge=ACME))) == ([], False)


def test_without_any_certificate_every_preview_says_so() -> None:
    note = notes(stack("example.com"), fleet(stack("example.com"))[0])[0]
    assert note == (
        "visitors come by plain HTTP: have a certificate issued by quayside:edge/acme, give one of your own by "
        "quayside:edge/certificate, or have Hetzner manage one, by capacity.balancer with dns.provider: hetzner"
    )
    issued = stack("example.com", edge=ACME)
    assert not any("HTTP" in line for line in notes(issued, fleet(issued)[0]))


def test_a_port_that_is_open_to_nobody_is_noted() -> None:
    made = stack("example.com")
    web = made.services["web"]
    ports = [{"port": 25}, {"port": 26, "sources": ["0.0.0.0/0"]}]
    made = stack("example.com", services={"web": {**web.model_dump(), "ports": ports}})
    assert [note for note in notes(made, fleet(made)[0]) if "ports" in note] == [
        "services/web/ports/0: 25 is open to nobody, since it has no sources"
    ]


def test_a_type_that_is_not_sold_any_more_is_noted() -> None:
    def noted(of: str, location: str) -> list[str]:
        made = stack("example.com", capacity={"location": location, "hosts": {"count": 2, "type": of}})
        return [note for note in notes(made, fleet(made)[0]) if "sold" in note]

    assert noted("cpx31", "nbg1") == [
        "host1, host2: cpx31 is not sold any more (nearest: cpx32). What runs goes on, but none can be made, and a "
        "rebuild fails"
    ]
    assert noted("cpx31", "ash") == noted("cx33", "nbg1") == []


def test_the_proof_needs_a_dns() -> None:
    assert wrong(stack("example.com", edge=ACME)) == []
    assert wrong(stack("example.com", edge=ACME, dns={"provider": "manual"})) == [
        "quayside:edge/acme: needs a DNS that the proof can be laid into, and dns.provider is manual\n"
        "    set quayside:dns: {provider: …} to hetzner, route53 or digitalocean, or give edge.certificate instead"
    ]


def test_one_certificate_has_a_hundred_names() -> None:
    hosts = [f"n{number}.example.com" for number in range(101)]
    assert wrong(stack(*hosts[:100], edge=ACME)) == []
    assert wrong(stack(*hosts, edge=ACME)) == [
        "quayside:edge/acme: one certificate has at most 100 names, and the routes have 101\n"
        "    route by a wildcard such as *.{domain}, or give edge.certificate instead"
    ]
    assert wrong(stack(*hosts, "*.example.com", edge=ACME)) == []
