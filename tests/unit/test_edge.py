"""The edge's configuration, line by line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planning import Plan, plan
from planning.edge import EdgeConfig, bootstrap, render
from settings.stack import Stack
from settings.units import MIB
from tests.edge_shell import write_config

WEB = {"image": "web", "port": 8000}
REDIS = {"image": "redis", "port": 6379, "protocol": "tcp"}
SHOP: dict[str, Any] = {
    "web": {**WEB, "routes": ("shop.{domain}", "*.{domain}"), "uses": ("cart",), "health": "/healthz"},
    "cart": {**WEB, "routes": ("shop.{domain}/cart", "shop.{domain}/cart/old"), "uses": ("session",)},
    "session": {**REDIS, "volume": "/data"},
    "worker": {"image": "worker", "uses": ("session",)},
}


def planned(services: Mapping[str, Any]) -> Plan:
    values = {"project": "shop", "name": "local", "cloud": "local", "domain": "example.test", "services": services}
    return plan(Stack.model_validate(values), {})


def containers(stack: Plan) -> dict[str, str]:
    return {slot.name: f"{slot.name}-abc1234" for service in stack.services.values() for slot in service.slots}


def ids(stack: Plan) -> dict[str, str]:
    return {
        slot.name: "0123456789abcdef"
        for service in stack.services.values()
        if service.stateful
        for slot in service.slots
    }


def rendered(services: Mapping[str, Any], *extra: str) -> str:
    stack = planned(services)
    return render(stack, EdgeConfig(public_port=8080, extra=extra), containers(stack), ids(stack))


def section(text: str, head: str) -> list[str]:
    """The lines of one section, without its head and comments."""
    lines = text.splitlines()
    start = lines.index(head) + 1
    body = lines[start : lines.index("", start) if "" in lines[start:] else None]
    return [line.strip() for line in body if not line.strip().startswith("#")]


def address(service: str) -> str:
    subnet = planned(SHOP).services[service].subnet
    assert subnet is not None
    return subnet.containers


def test_routes_are_lines_of_a_map_that_is_asked_for_the_host_and_then_for_its_wildcards() -> None:
    text = rendered(SHOP)
    (name,) = [line.removeprefix("#: routes ") for line in text.splitlines() if line.startswith("#: routes ")]
    assert [line for line in text.splitlines() if line.startswith("#: route ")] == [
        "#: route shop.example.test/cart/old/ svc_cart",
        "#: route shop.example.test/cart/ svc_cart",
        "#: route shop.example.test/ svc_web",
        "#: route *.example.test/ svc_web",
    ]
    public = section(text, "frontend public")
    found = f"concat(,txn.path,/),map_beg(routes/{name})"
    assert public[public.index("http-request set-var(txn.path) path") :] == [
        "http-request set-var(txn.path) path",
        f"http-request set-var(txn.service) var(txn.host),{found}",
        "http-request set-var(txn.labels) var(txn.host),field(-1,.,2) if !{ var(txn.service) -m found }",
        f"http-request set-var(txn.service) str(*.),concat(,txn.labels,),{found}"
        " if !{ var(txn.service) -m found } { var(txn.host),field(-3,.),length gt 0 }",
        "use_backend %[var(txn.service)] if { var(txn.service) -m found }",
        "default_backend no_route",
    ]


def test_more_routes_are_no_more_rules() -> None:
    def public(count: int) -> list[str]:
        hosts = [f"{name}{number}.{{domain}}" for number in range(count) for name in ("a", "*.b")]
        return section(
            rendered({"web": {**WEB, "routes": (*hosts, *(f"c.{{domain}}/{i}" for i in range(count)))}}),
            "frontend public",
        )

    assert len(public(1)) == len(public(200))


def test_every_route_leads_to_a_backend() -> None:
    text = rendered(SHOP)
    backends = {line.split()[-1] for line in text.splitlines() if line.startswith("#: route ")}
    assert backends == {"svc_web", "svc_cart"}
    assert backends <= {line.split()[1] for line in text.splitlines() if line.startswith("backend ")}


def test_nothing_an_outsider_says_about_itself_is_passed_on() -> None:
    public = section(rendered(SHOP), "frontend public")
    names = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-IP", "Forwarded")
    deleted = [f"http-request del-header {name}" for name in names]
    start = public.index(deleted[0])
    assert public[start : start + 10] == [
        *deleted,
        "option forwardfor",
        "http-request set-header X-Forwarded-Proto http",
        "http-request set-header X-Forwarded-Host %[req.hdr(Host)]",
        "http-request set-header X-Forwarded-Port 8080",
    ]


def test_a_service_answers_inside_to_its_callers_networks_only() -> None:
    assert section(rendered(SHOP), "frontend internal")[-4:] == [
        "acl to_cart var(txn.host) -m str cart",
        f"acl uses_cart src {address('web')}",
        "use_backend svc_cart if to_cart uses_cart",
        "default_backend not_in_uses",
    ]
    assert "to_web" not in rendered(SHOP)


def test_a_tcp_service_listens_for_its_callers_only() -> None:
    assert section(rendered(SHOP), "frontend tcp_session") == [
        "mode tcp",
        "option tcplog",
        "bind :6379",
        f"acl uses_session src {address('cart')}",
        f"acl uses_session src {address('worker')}",
        "tcp-request connection reject unless uses_session",
        "timeout client 24h",
        "option clitcpka",
        "default_backend svc_session",
    ]


def test_a_tcp_service_without_callers_has_no_frontend() -> None:
    text = rendered({"redis": REDIS})
    assert "frontend tcp_" not in text
    assert "bind :6379" not in text


def test_a_stateless_backend_checks_and_retries_what_is_safe() -> None:
    assert section(rendered(SHOP), "backend svc_web") == [
        "balance roundrobin",
        "retry-on conn-failure empty-response",
        "http-request disable-l7-retry unless { method GET HEAD OPTIONS }",
        "option allbackups",
        "timeout check 2s",
        "option httpchk",
        "http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host shop.example.test",
        "http-check expect status 200-399",
        "default-server check inter 500ms fastinter 250ms downinter 1s fall 2 rise 1 observe layer4 error-limit 3"
        " on-error sudden-death resolvers docker resolve-prefer ipv4 resolve-opts allow-dup-ip"
        " init-addr last,libc,none",
        "server web-1 web-1-abc1234:8000 weight 1",
        "server anyway:web-1 web-1-abc1234:8000 weight 1 no-check backup",
    ]


def test_a_stateful_backend_holds_connections_instead_of_checking() -> None:
    assert section(rendered(SHOP), "backend svc_session") == [
        "balance roundrobin",
        "mode tcp",
        "option srvtcpka",
        "timeout server 24h",
        "retries 30",
        "default-server resolvers docker resolve-prefer ipv4 resolve-opts allow-dup-ip init-addr last,libc,none",
        "server session-1 session-1-abc1234:6379 weight 1",
    ]


def test_weights_give_a_canary_its_share_and_cookies_name_slots() -> None:
    web = {**WEB, "replicas": 3, "sticky": 3600, "canary": {"image": "next", "share": 10}}
    backend = section(rendered({"web": web}), "backend svc_web")
    assert 'cookie quayside_web insert indirect nocache httponly maxidle 3600s attr "SameSite=Lax"' in backend
    assert [line for line in backend if line.startswith("server ")] == [
        "server web-1 web-1-abc1234:8000 weight 255 cookie web-1",
        "server web-2 web-2-abc1234:8000 weight 255 cookie web-2",
        "server web-3 web-3-abc1234:8000 weight 255 cookie web-3",
        "server web-canary1 web-canary1-abc1234:8000 weight 85 cookie web-canary1",
        "server anyway:web-1 web-1-abc1234:8000 weight 255 no-check backup",
        "server anyway:web-2 web-2-abc1234:8000 weight 255 no-check backup",
        "server anyway:web-3 web-3-abc1234:8000 weight 255 no-check backup",
        "server anyway:web-canary1 web-canary1-abc1234:8000 weight 85 no-check backup",
    ]


def test_a_sticky_service_without_replicas_keeps_nobody() -> None:
    web = {**WEB, "replicas": 0, "sticky": 3600}
    backend = section(rendered({"web": web}), "backend svc_web")
    assert not [line for line in backend if line.startswith(("acl", "force-persist", "server "))]


def test_directives_say_how_each_replica_is_gated() -> None:
    services = {
        **SHOP,
        "queue": {"image": "q", "port": 5672, "protocol": "tcp", "health": {"command": ("true",)}},
        "agent": {"image": "agent", "network": "host"},
    }
    servers = [line for line in rendered(services).splitlines() if line.startswith("#: server ")]
    assert servers == [
        "#: server agent agent-1 agent-1-abc1234 - docker - - - 2 60 30",
        "#: server cart cart-1 cart-1-abc1234 - http 8000 / shop.example.test 2 60 30",
        "#: server queue queue-1 queue-1-abc1234 - docker - - - 2 60 30",
        "#: server session session-1 session-1-abc1234 0123456789ab tcp 6379 - - 2 60 30",
        "#: server web web-1 web-1-abc1234 - http 8000 /healthz shop.example.test 2 60 30",
        "#: server worker worker-1 worker-1-abc1234 - docker - - - 2 60 30",
    ]


def test_the_edge_joins_every_isolated_services_network_at_its_own_address() -> None:
    stack = planned({**SHOP, "agent": {"image": "agent", "network": "host"}})
    text = render(stack, EdgeConfig(public_port=80), containers(stack), ids(stack))
    assert [line for line in text.splitlines() if line.startswith("#: network ")] == [
        f"#: network shop_local_{name} {service.subnet.edge}"
        for name, service in sorted(stack.services.items())
        if service.subnet is not None
    ]
    assert "shop_local_agent" not in text


def test_lines_of_ones_own_come_before_the_routes() -> None:
    public = section(rendered(SHOP, "http-response set-header X-Frame-Options DENY"), "frontend public")
    assert public.index("http-response set-header X-Frame-Options DENY") < public.index(
        "http-request set-var(txn.path) path"
    )


def test_the_digest_tells_any_two_configurations_apart() -> None:
    one, same, other = rendered(SHOP), rendered(SHOP), rendered(SHOP, "option httpclose")
    digests = [text.splitlines()[1] for text in (one, same, other)]
    assert one == same
    assert digests[0] == digests[1] != digests[2]
    assert one.rstrip().endswith(digests[0].removeprefix("#: digest "))


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on PATH")
@pytest.mark.parametrize(
    "text",
    [bootstrap(256 * MIB), rendered({}), rendered(SHOP), rendered({"web": {**WEB, "replicas": 0}})],
    ids=["bootstrap", "no services", "shop", "no replicas"],
)
def test_haproxy_accepts_it(text: str, tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    write_config(file, text)
    done = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Only Docker's resolver knows the containers.
    warnings = [line for line in done.stderr.splitlines() if "[WARNING]" in line and "could not resolve" not in line]
    assert not warnings
