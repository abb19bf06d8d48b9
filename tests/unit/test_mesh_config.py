"""The configuration of a fleet's hosts, line by line, and how a release merges two of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planning.hosts.edge import HostConfig
from planning.hosts.gateway import FILES
from planning.hosts.plan import FleetPlan
from tests.edge_shell import write_config
from tests.mesh import Authority, fleet, host, placed, planned, rendered
from tests.unit.test_edge import section
from tests.unit.test_edge_scripts import union

WEB: dict[str, Any] = {"image": "web", "port": 8000, "health": "/healthz"}
CACHE: dict[str, Any] = {"image": "cache", "port": 11211, "protocol": "tcp"}
SHOP: dict[str, Any] = {
    "web": {**WEB, "routes": ("shop.{domain}",), "uses": ("cart", "cache", "session"), "replicas": 3},
    "cart": {**WEB, "routes": (), "sticky": 60, "replicas": 2},
    "cache": {**CACHE, "replicas": 2},
    "session": {**CACHE, "port": 6379, "volume": "/data", "place": "b"},
}
WHERE = {
    "web-1": ("web", "a"),
    "web-2": ("web", "b"),
    "web-3": ("web", "b"),
    "web_1_c": ("web", "c"),
    "cart-1": ("cart", "a"),
    "cart-2": ("cart", "c"),
    "cache-1": ("cache", "a"),
    "cache-2": ("cache", "c"),
    "session-1": ("session", "b"),
}
HOSTS = fleet(host("a"), host("b"), host("c", burst=True))
OTHERS = (
    f"default-server ssl crt {FILES}/a.pem ca-file {FILES}/ca.pem verify required ssl-min-ver TLSv1.3"
    " inter 2s fastinter 500ms downinter 2s"
)


def shop(services: Mapping[str, Any] = SHOP, where: Mapping[str, tuple[str, str]] = WHERE, **weights: int) -> FleetPlan:
    return planned(services, HOSTS, placed(where, weights))


def servers(text: str, head: str) -> list[str]:
    """Without those of the same addresses that are asked when none of these is up."""
    return [line for line in section(text, head) if re.match("server (?!anyway:)", line)]


def subnet(service: str) -> str:
    found = shop().services[service].subnet
    assert found is not None
    return found.containers


def test_the_release_scripts_are_told_what_is_here() -> None:
    head = rendered(shop(), "a", HostConfig(certificate="public.pem")).split("\n\n")[0].splitlines()
    assert head[0] == "#: quayside 1"
    assert re.fullmatch("#: digest [0-9a-f]{16}", head[1])
    assert head[2:] == [
        "#: host a",
        "#: file a.pem",
        "#: file ca.pem",
        "#: file public.pem",
        *(
            f"#: network shop_fleet_{name} {address.edge}"
            for name in ("cache", "cart", "web")
            if (address := shop().services[name].subnet) is not None
        ),
        "#: server cache cache-1 cache-1-abc1234 - tcp 11211 - - 2 60 30",
        "#: server cart cart-1 cart-1-abc1234 - http 8000 /healthz cart 2 60 30",
        "#: server web web-1 web-1-abc1234 - http 8000 /healthz shop.example.test 2 60 30",
        "#: routes 71def53341345909",
        "#: route shop.example.test/ svc_web",
    ]


def test_local_replicas_and_remote_ones_share_by_weight() -> None:
    text = rendered(shop(**{"web-2": 2, "web-3": 3, "web_1_c": 7}), "a")
    assert section(text, "backend svc_web")[3:8] == [
        "option srvtcpka",
        "srvtcpka-idle 1s",
        "srvtcpka-intvl 1s",
        "srvtcpka-cnt 2",
        "retries 6",
    ]
    assert section(text, "backend svc_web")[-7:] == [
        "server web-1 web-1-abc1234:8000 weight 1",
        "server anyway:web-1 web-1-abc1234:8000 weight 1 no-check backup",
        f"{OTHERS} pool-purge-delay 1s",
        "server web.b 10.0.0.2:8443 sni str(web.b.quayside) check-sni web.b.quayside tcp-ut 2s weight 5",
        "server web.c 10.0.0.3:8443 sni str(web.c.quayside) check-sni web.c.quayside tcp-ut 2s weight 7",
        "server anyway:web.b 10.0.0.2:8443 sni str(web.b.quayside) tcp-ut 2s weight 5 no-check backup",
        "server anyway:web.c 10.0.0.3:8443 sni str(web.c.quayside) tcp-ut 2s weight 7 no-check backup",
    ]


def test_every_server_that_is_checked_has_one_of_its_address_that_is_asked_when_none_is_up() -> None:
    """And weighs as much, so that a share of 0 stays one. What is not checked is never down, and needs none."""
    text = rendered(shop(web_1_c=0), "a") + rendered(shop(), "b") + rendered(shop(), "c")
    for body in re.findall(r"^backend (?:svc|local)_\S+\n(?:    .*\n)+", text, re.M):
        lines = [line.split() for line in body.splitlines() if line.startswith("    server ")]
        weights = {(name, at): words[words.index("weight") + 1] for _, name, at, *words in lines if "weight" in words}
        twins = {(name, at): weight for (name, at), weight in weights.items() if name.startswith("anyway:")}
        if "session" in body:
            assert not twins, body
        elif lines:
            assert twins, body
            assert {
                (f"anyway:{name}", at): weight for (name, at), weight in weights.items() if (name, at) not in twins
            } == (twins)
            assert "    option allbackups" in body.splitlines()


def test_a_sticky_service_has_a_server_and_a_cookie_for_every_slot() -> None:
    text = rendered(shop(**{"cart-2": 0}), "a")
    assert servers(text, "backend svc_cart") == [
        "server cart-1 cart-1-abc1234:8000 weight 1 cookie cart-1",
        "server 0-cart-2.c 10.0.0.3:8443 sni str(0-cart-2.c.quayside) check-sni 0-cart-2.c.quayside"
        " tcp-ut 2s weight 0 cookie cart-2",
    ]
    # With a cookie of their own they would be asked for its visitors while others are up.
    assert not [line for line in section(text, "backend svc_cart") if "anyway:" in line and "cookie" in line]


def test_a_sticky_visitor_is_not_sent_elsewhere_when_none_is_up() -> None:
    kept = section(rendered(shop(), "a"), "backend svc_cart")
    start = kept.index("acl any_up srv_is_up(cart-1)")
    assert kept[start : start + 3] == [
        "acl any_up srv_is_up(cart-1)",
        "acl any_up srv_is_up(0-cart-2.c)",
        "force-persist if { req.cook(quayside_cart) -m found } !any_up",
    ]
    assert "force-persist" not in "".join(section(rendered(shop(), "a"), "backend svc_web"))


def test_remote_replicas_of_a_tcp_service_are_asked_after_by_http() -> None:
    text = rendered(shop(), "a")
    assert section(text, "backend svc_cache")[-5:] == [
        "server cache-1 cache-1-abc1234:11211 weight 1",
        "server anyway:cache-1 cache-1-abc1234:11211 weight 1 no-check backup",
        OTHERS,
        "server cache.c 10.0.0.3:8443 sni str(cache.c.quayside) no-check track up_cache/cache.c tcp-ut 2s weight 1",
        "server anyway:cache.c 10.0.0.3:8443 sni str(cache.c.quayside) tcp-ut 2s weight 1 no-check backup",
    ]
    assert section(text, "backend up_cache") == [
        "timeout check 2s",
        "option httpchk",
        "http-check send meth GET uri / ver HTTP/1.1 hdr Host quayside",
        f"{OTHERS} fall 2 rise 1",
        "server cache.c 10.0.0.3:8443 sni str(1-cache.c.quayside) check check-sni 1-cache.c.quayside tcp-ut 2s",
    ]
    # What is asked anyway must not count as up.
    assert section(rendered(shop(), "c"), "backend local_1-cache") == [
        "http-request return status 200 if { srv_is_up(local_cache/cache-2) }",
        "http-request return status 503",
    ]


def test_a_handshake_gets_longer_where_nobody_else_can_be_asked() -> None:
    patience = ["timeout connect 2s", "retries 2"]
    services = {"web": {**WEB, "uses": ("cart",)}, "cart": {**WEB, "replicas": 2}}

    def asked(where: str) -> list[str]:
        at = {"web-1": ("web", "a"), "cart-1": ("cart", "b"), "cart-2": ("cart", where)}
        lines = section(rendered(shop(services, at), "a"), "backend svc_cart")
        return [line for line in lines if line.startswith(("timeout connect", "retries"))]

    assert asked("b") == patience
    assert asked("a") == asked("c") == ["retries 6"]


def test_a_remote_stateful_service_is_held_on_to() -> None:
    assert section(rendered(shop(), "a"), "backend svc_session")[-4:] == [
        "retries 30",
        "default-server resolvers docker resolve-prefer ipv4 resolve-opts allow-dup-ip init-addr last,libc,none",
        OTHERS,
        "server session.b 10.0.0.2:8443 sni str(session.b.quayside) tcp-ut 2s weight 1",
    ]


def test_a_gateway_has_a_line_for_every_pair_and_label() -> None:
    assert section(rendered(shop(), "c"), "frontend gateway") == [
        "mode tcp",
        "option tcplog",
        f"bind :8443 ssl crt {FILES}/c.pem ca-file {FILES}/ca.pem verify required ssl-min-ver TLSv1.3",
        "acl planned always_false",
        "acl planned var(sess.pair) -m str a/cache",
        "acl planned var(sess.pair) -m str b/cache",
        "acl planned var(sess.pair) -m str a/1-cache",
        "acl planned var(sess.pair) -m str b/1-cache",
        "acl planned var(sess.pair) -m str a/0-cart-2",
        "acl planned var(sess.pair) -m str b/0-cart-2",
        "acl planned var(sess.pair) -m str a/web",
        "acl planned var(sess.pair) -m str b/web",
        "acl speaks_http always_false",
        "acl speaks_http var(sess.label) -m str 1-cache",
        "acl speaks_http var(sess.label) -m str 0-cart-2",
        "acl speaks_http var(sess.label) -m str web",
        "option idle-close-on-response",
        "option clitcpka",
        "clitcpka-idle 30s",
        "clitcpka-intvl 5s",
        "clitcpka-cnt 3",
        "tcp-request session set-var(sess.label) ssl_fc_sni,lower,field(1,.)",
        "tcp-request session set-var(sess.pair) ssl_c_s_dn(cn),concat(/,sess.label)",
        "tcp-request session reject unless planned",
        "tcp-request content switch-mode http if speaks_http",
        "use_backend local_cache if { var(sess.label) -m str cache }",
        "use_backend local_1-cache if { var(sess.label) -m str 1-cache }",
        "use_backend local_0-cart-2 if { var(sess.label) -m str 0-cart-2 }",
        "use_backend local_web if { var(sess.label) -m str web }",
        "default_backend not_planned",
    ]


def test_behind_a_gateway_are_local_replicas_alone() -> None:
    text = rendered(shop(**{"web-2": 2, "web-3": 0}), "b")
    assert section(text, "backend local_web") == [
        "balance roundrobin",
        "errorfile 502 /dev/null",
        "errorfile 503 /dev/null",
        "retries 1",
        "option allbackups",
        "timeout check 2s",
        "option httpchk",
        "http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host shop.example.test",
        "http-check expect status 200-399",
        "default-server check inter 500ms fastinter 250ms downinter 1s fall 2 rise 1 observe layer4 error-limit 3"
        " on-error sudden-death resolvers docker resolve-prefer ipv4 resolve-opts allow-dup-ip"
        " init-addr last,libc,none",
        "server web-2 web-2-abc1234:8000 weight 2",
        "server web-3 web-3-abc1234:8000 weight 1",
        "server anyway:web-2 web-2-abc1234:8000 weight 2 no-check backup",
        "server anyway:web-3 web-3-abc1234:8000 weight 1 no-check backup",
    ]
    for name in HOSTS.hosts:
        text = rendered(shop(), name)
        for head in re.findall("^backend local_.*$", text, re.M):
            assert not [line for line in servers(text, head) if ":8443" in line or ".quayside" in line]


def test_a_slot_on_a_droplet_is_called_after_its_service_and_number() -> None:
    services = {"cart": SHOP["cart"]}
    where = {"cart-1": ("cart", "a"), "cart_1_c": ("cart", "c")}
    services["cart"] = {**services["cart"], "routes": ("cart.{domain}",), "replicas": 1}
    assert servers(rendered(shop(services, where), "a"), "backend svc_cart")[1] == (
        "server 0-cart--1.c 10.0.0.3:8443 sni str(0-cart--1.c.quayside) check-sni 0-cart--1.c.quayside"
        " tcp-ut 2s weight 1 cookie cart_1_c"
    )


def test_an_address_may_be_an_ipv6_one() -> None:
    from planning.hosts.edge import render_host
    from tests.mesh import containers, mesh

    plan = shop()
    addresses = {"a": "fd00::1", "b": "fd00::2", "c": "fd00::3"}
    text = render_host(plan, "a", HostConfig(), containers(plan, "a"), {}, addresses, mesh("a"))
    assert "server web.b [fd00::2]:8443 sni " in text


def test_names_inside_are_for_callers_on_this_host() -> None:
    text = rendered(shop(), "b")
    assert section(text, "frontend internal")[-4:] == [
        "acl to_cart var(txn.host) -m str cart",
        f"acl uses_cart src {subnet('web')}",
        "use_backend svc_cart if to_cart uses_cart",
        "default_backend not_in_uses",
    ]
    moved = shop(where={slot: at for slot, at in WHERE.items() if slot not in ("web-2", "web-3")})
    text = rendered(moved, "b")
    assert "to_cart" not in text
    assert "frontend tcp_" not in text
    assert "backend svc_cart" not in text


def test_visitors_tls_and_balancers_only_where_they_are_meant() -> None:
    plain = section(rendered(shop(), "a"), "frontend public")
    assert plain[:5] == [
        "bind :10080",
        "maxconn 732",
        "option idle-close-on-response",
        'http-request return status 200 content-type text/plain string "serving"'
        " if { path /.well-known/quayside/health }",
        "http-request set-var(txn.host) req.hdr(Host),host_only,lower",
    ]
    assert not [line for line in plain if "https" in line or "proxy" in line]
    config = HostConfig(https=8444, certificate="public-1.pem", balancers=("10.0.9.1", "10.0.9.2"), balancer_https=True)
    public = section(rendered(shop(), "a", config), "frontend public")
    assert (
        public[:6]
        == [
            "bind :10080",
            f"bind :10443 ssl crt {FILES}/public-1.pem ssl-min-ver TLSv1.2 alpn h2,http/1.1",
            "maxconn 732",
            "tcp-request connection expect-proxy layer4 if { src 10.0.9.1 10.0.9.2 }",
            *plain[2:5],
        ][:6]
    )
    assert (
        "http-request redirect code 308 location https://%[var(txn.host)]:8444%[pathq]"
        " unless { ssl_fc } || { fc_rcvd_proxy }"
    ) in public
    assert public.count("http-request set-header X-Forwarded-Proto https if { ssl_fc } || { fc_rcvd_proxy }") == 1
    assert public.count("http-request set-header X-Forwarded-Port 8444 if { ssl_fc } || { fc_rcvd_proxy }") == 1


def test_one_host_alone_has_a_gateway_that_lets_nobody_in() -> None:
    plan = planned({"web": WEB}, fleet(host("a")), placed({"web-1": ("web", "a")}))
    lines = section(rendered(plan, "a"), "frontend gateway")
    assert [line for line in lines if line.startswith(("acl", "use_backend"))] == [
        "acl planned always_false",
        "acl speaks_http always_false",
    ]
    assert "tcp-request session reject unless planned" in lines


def test_haproxy_finds_nothing_to_say(tmp_path: Path) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not on PATH")
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    for name in HOSTS.hosts:
        (tmp_path / f"{name}.pem").write_bytes(authority.certificate(name))
        file = tmp_path / f"{name}.cfg"
        config = HostConfig(certificate="a.pem", balancers=("10.0.0.9",), balancer_https=True)
        write_config(file, rendered(shop(), name, config).replace(FILES, str(tmp_path)))
        done = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        warnings = [one for one in done.stderr.splitlines() if "[WARNING]" in one and "could not resolve" not in one]
        assert not warnings


# --- two configurations in one ---------------------------------------------------------------------------------------


def merged(one: FleetPlan, other: FleetPlan, name: str, folder: Path, fill: str = "") -> str:
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    (folder / f"{name}.pem").write_bytes(authority.certificate(name))
    texts = [rendered(plan, name).replace(FILES, str(folder)) for plan in (one, other)]
    return union(*texts, folder, fill)


def without(*slots: str, **more: tuple[str, str]) -> FleetPlan:
    """The same services with some slots elsewhere."""
    return shop(where={**{slot: at for slot, at in WHERE.items() if slot not in slots}, **more})


def test_a_gateway_accepts_what_the_next_plan_sends_and_serves_the_old(tmp_path: Path) -> None:
    # cart-2 and cache-2 come from c to b: b has never had either, and is asked for both before it has switched.
    after = without("cart-2", "cache-2", **{"cart-2": ("cart", "b"), "cache-2": ("cache", "b")})
    accept = merged(shop(), after, "b", tmp_path, "fill")
    gateway = section(accept, "frontend gateway")
    for line in (
        *section(rendered(shop(), "b"), "frontend gateway"),
        *section(rendered(after, "b"), "frontend gateway"),
    ):
        if not line.startswith("bind"):
            assert line in gateway, line
    assert gateway.count("tcp-request session reject unless planned") == 1
    assert gateway[-1] == "default_backend not_planned"
    assert servers(accept, "backend local_0-cart-2") == ["server cart-2 cart-2-abc1234:8000 weight 1"]
    assert servers(accept, "backend local_cache") == ["server cache-2 cache-2-abc1234:11211 weight 1"]
    assert "srv_is_up(local_cache/cache-2)" in accept
    assert servers(accept, "backend local_web") == servers(rendered(shop(), "b"), "backend local_web")


def test_a_gateway_that_has_switched_serves_who_has_not(tmp_path: Path) -> None:
    after = without("cart-2", "cache-2", **{"cart-2": ("cart", "b"), "cache-2": ("cache", "b")})
    both = merged(after, shop(), "c", tmp_path)
    gateway = section(both, "frontend gateway")
    assert "acl planned var(sess.pair) -m str a/0-cart-2" in gateway
    assert "use_backend local_cache if { var(sess.label) -m str cache }" in gateway
    assert servers(both, "backend local_0-cart-2") == ["server cart-2 cart-2-abc1234:8000 weight 1"]
    assert "#: server cart cart-2 " not in both


def test_what_tells_of_health_comes_with_the_service_it_tells_of(tmp_path: Path) -> None:
    idle = {**SHOP, "web": {**SHOP["web"], "uses": ("cart", "session")}}
    accept = merged(shop(idle), shop(), "b", tmp_path, "fill")
    assert [line.split()[1] for line in servers(accept, "backend svc_cache")] == ["cache.a", "cache.c"]
    assert [line.split()[1] for line in servers(accept, "backend up_cache")] == ["cache.a", "cache.c"]


def test_equal_configurations_of_a_host_are_one(tmp_path: Path) -> None:
    same = merged(shop(), shop(), "b", tmp_path)
    text = rendered(shop(), "b").replace(FILES, str(tmp_path))
    digest = text.splitlines()[1].removeprefix("#: digest ")
    assert sorted(same.replace("both-digest", digest).split()) == sorted(text.split())
