"""Planning, by exact values and messages."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest

from planning import Plan, plan
from planning.names import folder_key
from planning.order import creation_order
from planning.rendering import render
from planning.routes import Route, find
from planning.subnets import Subnet, allocate
from planning.weights import weights
from settings.problems import ConfigError, Problem
from settings.stack import Stack
from settings.units import MIB


def stack(services: Mapping[str, Any], **values: Any) -> Stack:
    return Stack.model_validate(
        {"project": "shop", "name": "local", "cloud": "local", "domain": "example.test", "services": services, **values}
    )


def planned(services: Mapping[str, Any], sources: Mapping[str, str] | None = None, **values: Any) -> Plan:
    return plan(stack(services, **values), sources or {})


def problems(services: Mapping[str, Any], sources: Mapping[str, str] | None = None, **values: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        planned(services, sources, **values)
    return [str(problem) for problem in caught.value.problems]


WEB = {"image": "web", "port": 8000}
CART = {"image": "cart", "port": 8000}
REDIS = {"image": "redis", "port": 6379, "protocol": "tcp"}


def test_a_folder_in_a_name() -> None:
    folders = ["/app", "/etc/my-app", "/etc/my_app", "/etc/conf.d", "/a b", "/é"]
    assert [folder_key(folder) for folder in folders] == [
        "-app",
        "-etc-my_dapp",
        "-etc-my_uapp",
        "-etc-conf.d",
        "-a_x20_b",
        "-_xE9_",
    ]


def test_names_stand_for_services_in_env() -> None:
    web = {
        **WEB,
        "uses": ("cart", "redis"),
        "env": {"CART": "${cart.url}", "REDIS": "redis://${redis.address}", "PRICE": "$${x}", "AT": "${domain}"},
    }
    (slot,) = planned({"web": web, "cart": CART, "redis": REDIS}).services["web"].slots
    assert slot.env == {"CART": "http://cart", "REDIS": "redis://redis:6379", "PRICE": "${x}", "AT": "example.test"}


def test_a_reference_to_an_unknown_service_names_the_nearest() -> None:
    assert problems({"web": {**WEB, "env": {"A": "${crat.url}"}}, "cart": CART}) == [
        'services/web/env/A: ${crat.url} names no service; there is no "crat"\n    did you mean "cart"?'
    ]


def test_names_stand_for_servers_that_were_there_before() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBSb5OD49ThVyjjPoxUM2LLUpzTnaSsqPJ4GLhIoMLkR"
    known = {"cpu": 4, "memory": "8GiB", "host_key": key}
    capacity = {
        "existing": [{"name": "db-1", "address": "203.0.113.7", **known}],
        "hosts": {"count": 2, "type": "cx32"},
    }
    files = {
        "/etc/a/plain": {"content": "${hosts.db-1.address}"},
        "/etc/a/made": {"template": "a.j2"},
        "/etc/a/wrong": {"content": "${hosts.host1.address} ${hosts.db-1.url}"},
    }
    asked = stack({"web": {**WEB, "files": files}}, cloud="hetzner", capacity=capacity)
    said: list[Problem] = []
    rendered = render("web", asked, {"a.j2": "{{ hosts.db_1.address }}!"}, said)
    assert [file.content for file in rendered.files][:2] == ["203.0.113.7!", "203.0.113.7"]
    assert [str(problem) for problem in said] == [
        'services/web/files/etc/a/wrong: ${hosts.host1.address} names no server; there is no "host1"\n'
        "    servers that were there before the stack: db-1",
        "services/web/files/etc/a/wrong: ${hosts.db-1.url}: of a host there is its address, hosts.db-1.address",
    ]


def test_a_service_that_is_called_hosts_keeps_its_name() -> None:
    web = {**WEB, "uses": ("hosts",), "env": {"A": "${hosts.url}"}}
    (slot,) = planned({"web": web, "hosts": CART}).services["web"].slots
    assert slot.env == {"A": "http://hosts"}


def test_a_reference_needs_uses() -> None:
    assert problems({"web": {**WEB, "env": {"A": "${cart.url}"}}, "cart": CART}) == [
        'services/web/env/A: ${cart.url} names "cart", which this service does not use\n'
        "    add cart to services/web/uses"
    ]


def test_a_tcp_service_has_no_url() -> None:
    assert problems({"web": {**WEB, "uses": ("redis",), "env": {"A": "${redis.url}"}}, "redis": REDIS}) == [
        'services/web/env/A: ${redis.url} asks for "url"; "redis" has address, host, port'
    ]


def test_a_worker_cannot_be_used() -> None:
    assert problems({"web": {**WEB, "uses": ("jobs",)}, "jobs": {"image": "jobs"}}) == [
        'services/web/uses/0: "jobs" has no port, so nothing can reach it\n    set services/jobs/port'
    ]


def test_every_problem_at_once() -> None:
    found = problems({"web": {**WEB, "uses": ("nope",), "env": {"A": "${cart.url}", "B": "${x}"}}, "cart": CART})
    assert [line.split(":")[0] for line in found] == ["services/web/env/A", "services/web/env/B", "services/web/uses/0"]


def test_a_cycle_is_printed() -> None:
    a, b, c = ({"image": "x", "after": (other,)} for other in "bca")
    (problem,) = problems({"a": a, "b": b, "c": c})
    assert "cycle: " in problem
    shown = problem.splitlines()[0].split("cycle: ")[1].split(" → ")
    assert shown[0] == shown[-1]
    assert set(shown) == {"a", "b", "c"}
    follows = {"a": "b", "b": "c", "c": "a"}
    assert all(follows[one] == other for one, other in pairwise(shown))


def test_all_cycles_are_told_at_once() -> None:
    def after(other: str) -> dict[str, Any]:
        return {"image": "x", "after": (other,)}

    found = problems({"a": after("b"), "b": after("a"), "c": after("d"), "d": after("c")})
    assert [line.splitlines()[0] for line in found] == [
        "services/a/after: cycle: a → b → a",
        "services/c/after: cycle: c → d → c",
    ]


def test_a_cycle_on_aws_is_blamed_on_the_key_that_makes_it() -> None:
    with pytest.raises(ConfigError) as caught:
        creation_order({"a": ["b"], "b": ["a"]}, lambda name, _: "uses" if name == "b" else "after")
    (problem,) = caught.value.problems
    first = problem.message.removeprefix("cycle: ")[0]
    assert problem.path == f"services/{first}/{'uses' if first == 'b' else 'after'}"


def test_order_puts_dependencies_first_and_is_stable() -> None:
    assert list(creation_order({"web": ["db"], "api": [], "db": []})) == ["api", "db", "web"]


def test_two_tcp_services_on_one_port() -> None:
    assert problems({"a": REDIS, "b": REDIS}) == [
        'services/b/port: "a" is a TCP service on port 6379 too, and the edge tells them apart by port\n'
        "    let b or a listen on another port"
    ]


def test_a_route_belongs_to_one_service() -> None:
    assert problems({"a": {**WEB, "routes": ("{domain}/x",)}, "b": {**WEB, "routes": ("{domain}/x",)}}) == [
        'services/b/routes: example.test/x is routed to "a" already\n    take the route from a or b'
    ]


def test_routes_are_sorted_by_specificity() -> None:
    routes = planned(
        {
            "any": {**WEB, "routes": ("*.{domain}",)},
            "web": {**WEB, "routes": ("{domain}", "{domain}/app")},
            "deep": {**WEB, "routes": ("{domain}/app/deep", "*.eu.{domain}")},
        }
    ).routes
    assert [(r.host, r.path) for r in routes] == [
        ("example.test", "/app/deep"),
        ("example.test", "/app"),
        ("example.test", "/"),
        ("*.eu.example.test", "/"),
        ("*.example.test", "/"),
    ]


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("a.test", "/", "root"),
        ("a.test", "/cart", "cart"),
        ("a.test", "/cart/1", "cart"),
        ("a.test", "/cartoon", "root"),
        ("x.a.test", "/cart", "wild"),
        (".a.test", "/", None),
        ("b.test", "/", None),
    ],
)
def test_a_path_matches_whole_segments(host: str, path: str, service: str | None) -> None:
    routes = [
        Route(host="a.test", path="/cart", service="cart"),
        Route(host="a.test", path="/", service="root"),
        Route(host="*.a.test", path="/", service="wild"),
    ]
    found = find(routes, host, path)
    assert (found.service if found else None) == service


def test_a_service_without_routes_answers_at_its_name() -> None:
    result = planned({"web": WEB, "hidden": {**WEB, "routes": ()}, "redis": REDIS, "jobs": {"image": "j"}})
    assert [(r.host, r.service) for r in result.routes] == [("web.example.test", "web")]
    assert result.services["web"].urls == ["http://web.example.test/"]


def test_the_port_of_the_edge_is_in_the_urls() -> None:
    assert planned({"web": WEB}, edge={"http": 8080}).services["web"].urls == ["http://web.example.test:8080/"]


@pytest.mark.parametrize(("replicas", "canaries", "share"), [(2, 1, 10), (9, 1, 10), (3, 1, 25), (4, 2, 33), (1, 1, 1)])
def test_canary_weights_are_exact(replicas: int, canaries: int, share: int) -> None:
    weight, canary = weights(replicas, canaries, share)
    assert canary * canaries * 100 == share * (weight * replicas + canary * canaries)
    assert 1 <= min(weight, canary) <= max(weight, canary) <= 256


def test_a_share_too_small_for_the_weights_is_as_small_as_they_go() -> None:
    assert weights(1, 6, 1) == (256, 1)


def test_a_canary_gets_its_own_image_and_env() -> None:
    web = {
        **WEB,
        "replicas": 4,
        "env": {"A": "1", "B": "1"},
        "canary": {"image": "web:next", "share": 25, "env": {"B": "2"}},
    }
    slots = planned({"web": web}).services["web"].slots
    assert [(s.name, s.image) for s in slots][-2:] == [("web-4", "web"), ("web-canary1", "web:next")]
    assert slots[-1].env == {"A": "1", "B": "2"}


def test_what_does_not_fit_is_said_with_the_numbers() -> None:
    service = {**WEB, "memory": 100 * MIB, "replicas": 3}
    assert problems({"web": service}, memory=700 * MIB, edge={"memory": 128 * MIB}) == [
        "quayside:memory: the services need 728MiB: 428MiB to run and 300MiB for a release (surge: all); "
        "the host has 700MiB\n    lower services/web/memory (300MiB in all), or set quayside:surge to largest"
    ]


def test_a_volume_needs_no_room_for_a_second() -> None:
    db = {**REDIS, "memory": 300 * MIB, "volume": {"path": "/data"}}
    fit = planned({"db": db, "web": {**WEB, "memory": 100 * MIB}}, edge={"memory": 100 * MIB}).fit
    assert (fit.steady, fit.surge) == (500 * MIB, 100 * MIB)


def test_subnets_stay_when_a_service_goes() -> None:
    before = allocate("10.128.0.0/9", "shop/local", ["a", "b", "c"])
    after = allocate("10.128.0.0/9", "shop/local", ["a", "c", "d"])
    assert {name: before[name] for name in "ac"} == {name: after[name] for name in "ac"}


def test_a_subnet_clash_names_both_and_the_setting() -> None:
    with pytest.raises(ConfigError) as caught:
        allocate("10.0.0.0/26", "shop/local", ["a", "b"])
    (problem,) = caught.value.problems
    assert problem.path == "quayside:subnets"
    assert 'services "a" and "b" fall on the same subnet of 10.0.0.0/26' in problem.message


def test_the_edge_lies_outside_the_range_of_containers() -> None:
    subnet = Subnet("10.130.1.64/26")
    assert (subnet.gateway, subnet.edge, subnet.containers) == ("10.130.1.65", "10.130.1.66", "10.130.1.96/27")


def test_files_are_rendered() -> None:
    files = {
        "/etc/app/plain.conf": {"content": "cart=${cart.url}"},
        "/etc/app/t.conf": {"template": "t.j2"},
        "/etc/app/raw": {"source": "raw"},
    }
    sources = {"t.j2": "{% for n in [1, 2] %}{{ cart.address }}/{{ n }} {% endfor %}{{ domain }}", "raw": "${kept}"}
    service = planned({"web": {**WEB, "uses": ("cart",), "files": files}, "cart": CART}, sources).services["web"]
    (file_set,) = service.files.values()
    assert file_set.folders == ["/etc/app"]
    assert {file.path: file.content for file in file_set.files} == {
        "/etc/app/plain.conf": "cart=http://cart",
        "/etc/app/t.conf": "cart:80/1 cart:80/2 example.test",
        "/etc/app/raw": "${kept}",
    }


def test_a_template_that_names_what_is_not_used() -> None:
    (problem,) = problems({"web": {**WEB, "files": {"/a/b": {"template": "t"}}}, "cart": CART}, {"t": "{{ cart.url }}"})
    assert problem.startswith("services/web/files/a/b: the template cannot be rendered: 'cart' is undefined")


def test_a_template_cannot_reach_into_python() -> None:
    (problem,) = problems({"web": {**WEB, "files": {"/a/b": {"template": "t"}}}}, {"t": "{{ ''.__class__.__mro__ }}"})
    assert "the template cannot be rendered" in problem
