"""A fleet's configurations in real HAProxy processes: what gets through, what does not, and what failures do."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planning.hosts.edge import HEALTH_PATH, HostConfig
from planning.hosts.plan import FleetPlan
from tests.mesh import Authority, Loopback, Running, fleet, host, placed, planned, relay, until
from tests.unit.test_edge_scripts import union

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on PATH")

WEB: dict[str, Any] = {"image": "web", "port": 8000}
SHOP: dict[str, Any] = {
    "web": {**WEB, "routes": ("shop.{domain}",), "uses": ("cart", "cache"), "replicas": 2},
    "chat": {**WEB, "routes": ("chat.{domain}",), "sticky": 3600, "replicas": 3},
    "cart": {**WEB, "routes": (), "uses": ("session",)},
    "admin": {**WEB, "routes": ()},
    "batch": {"image": "batch", "uses": ("admin", "cart")},
    "cache": {"image": "cache", "port": 11211, "protocol": "tcp", "replicas": 2},
    "session": {"image": "redis", "port": 6379, "protocol": "tcp", "volume": "/data", "place": "b"},
}
WHERE = {
    "web-1": ("web", "a"),
    "web-2": ("web", "b"),
    "web_1_c": ("web", "c"),
    "chat-1": ("chat", "a"),
    "chat-2": ("chat", "b"),
    "chat-3": ("chat", "b"),
    "cart-1": ("cart", "b"),
    "admin-1": ("admin", "b"),
    "batch-1": ("batch", "a"),
    "cache-1": ("cache", "b"),
    "cache-2": ("cache", "c"),
    "session-1": ("session", "b"),
}
HOSTS = fleet(host("a"), host("b"), host("c", burst=True))
WEBS = {"web-1": ("web", "a"), "web-2": ("web", "b")}
CLOSED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
RAW = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def shop() -> FleetPlan:
    return planned(SHOP, HOSTS, placed(WHERE))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(shop(), tmp_path_factory.mktemp("mesh")) as edges:
        yield edges


def answers(running: Running, name: str, address: str, times: int, **more: Any) -> Counter[str]:
    return Counter(running.get(name, address, **more)[1][0] for _ in range(times))


def test_every_entry_reaches_every_replica_by_its_weight(running: Running) -> None:
    for entry in ("a", "b"):
        seen = answers(running, entry, "shop.example.test", 30)
        assert set(seen) == {"web-1", "web-2", "web_1_c"}
        # HAProxy begins a round anew when a server's health changes.
        assert max(seen.values()) - min(seen.values()) <= 3


def test_an_edge_that_is_no_entry_routes_nothing_for_the_public(running: Running) -> None:
    assert running.get("c", "shop.example.test")[0] == 404


def test_names_work_from_every_host(running: Running) -> None:
    for name in ("a", "b", "c"):
        assert running.named(name, "cart", "web") == (200, "cart-1")
    assert {running.greeting("a", 11211, "web") for _ in range(4)} == {"cache-1", "cache-2"}
    assert running.greeting("b", 6379, "cart") == "session-1"


def test_who_does_not_declare_a_service_is_refused_on_its_own_host(running: Running) -> None:
    assert running.named("a", "admin", "web")[0] == 403
    assert running.named("c", "admin", "web")[0] == 403
    assert running.named("a", "cart", "chat")[0] == 403
    assert running.greeting("b", 6379, "web") == ""
    assert running.greeting("a", 11211, "chat") == ""
    # Nobody on these hosts may use it, so nothing listens.
    with pytest.raises(ConnectionRefusedError):
        running.greeting("c", 6379, "web")


@pytest.mark.parametrize(("sender", "label"), [("a", "admin"), ("c", "cart"), ("a", "web"), ("a", "0-chat-3")])
def test_a_gateway_lets_planned_pairs_through(running: Running, sender: str, label: str) -> None:
    assert running.through("b", label, running.folder / f"{sender}.pem", RAW).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sender", "label"),
    [
        ("c", "admin"),  # its services do not use it
        ("c", "session"),
        ("c", "1-session"),
        ("c", "0-chat-3"),
        ("c", "web"),  # no entry
        ("a", "session"),  # its user runs on b itself
        ("a", "chat-3"),
        ("a", "nothing"),
        ("b", "admin"),  # its own
    ],
)
def test_a_gateway_refuses_every_other_pair(running: Running, sender: str, label: str) -> None:
    with contextlib.suppress(*CLOSED):
        assert running.through("b", label, running.folder / f"{sender}.pem", RAW) == b""


def test_a_gateway_refuses_who_is_no_host_and_whom_it_cannot_trust(running: Running, tmp_path: Path) -> None:
    stranger, forged = tmp_path / "stranger.pem", tmp_path / "forged.pem"
    stranger.write_bytes(running.authority.certificate("zed"))
    forged.write_bytes(Authority().certificate("a"))
    with contextlib.suppress(*CLOSED):
        assert running.through("b", "web", stranger, RAW) == b""
    for certificate, reason in ((forged, "unknown ca"), (None, "certificate required")):
        with pytest.raises(ssl.SSLError, match=reason):
            running.through("b", "web", certificate, RAW)


def test_two_authorities_are_trusted_at_once(tmp_path: Path) -> None:
    """As in an `up` that renews certificates on one host after another."""
    plan = planned({"web": {**WEB, "replicas": 2}}, fleet(host("a"), host("b")), placed(WEBS))
    running, successor = Running(plan, tmp_path), Authority()
    (tmp_path / "ca.pem").write_bytes(running.authority.pem + successor.pem)
    (tmp_path / "b.pem").write_bytes(successor.certificate("b"))
    with running:
        for name in ("a", "b"):
            assert answers(running, name, "web.example.test", 4) == {"web-1": 2, "web-2": 2}


def test_a_host_with_anothers_certificate_gets_no_requests(tmp_path: Path) -> None:
    plan = planned({"web": {**WEB, "replicas": 2}}, fleet(host("a"), host("b")), placed(WEBS))
    running = Running(plan, tmp_path, healthy=False)
    # A certificate of the right authority, for another host's name: as if b's address had become someone else's.
    (tmp_path / "b.pem").write_bytes(running.authority.certificate("c"))
    with running:
        until(lambda: running.states("a")["svc_web/web.b"].startswith("DOWN"), 6)
        assert answers(running, "a", "web.example.test", 4) == {"web-1": 4}


def test_a_mesh_port_speaks_no_plaintext(running: Running) -> None:
    with socket.create_connection((running.at["b"], 8443), 5) as plain:
        plain.sendall(RAW)
        try:
            answer = plain.recv(100)
        except ConnectionResetError:
            answer = b""
    assert not answer.startswith(b"HTTP")


def test_a_visitor_keeps_a_replica_whichever_edge_comes_first(running: Running) -> None:
    seen: set[str] = set()
    for number in range(9):
        first, other = ("a", "b") if number % 2 else ("b", "a")
        _, lines, cookie = running.get(first, "chat.example.test")
        assert cookie is not None
        # HAProxy adds when the visitor was last seen.
        assert cookie.startswith(f"quayside_chat={lines[0]}|")
        seen.add(lines[0])
        headers = {"Cookie": cookie.partition(";")[0]}
        assert answers(running, other, "chat.example.test", 5, headers=headers) == {lines[0]: 5}
        assert answers(running, first, "chat.example.test", 5, headers=headers) == {lines[0]: 5}
    assert seen == {"chat-1", "chat-2", "chat-3"}


def test_the_first_edge_alone_says_who_the_client_is(running: Running) -> None:
    for _ in range(3):
        _, lines, _ = running.get(
            "a", "shop.example.test", headers={"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6"}
        )
        told = sorted(line for line in lines if line.lower().startswith(("x-forwarded", "x-real", "forwarded")))
        assert told == [
            f"x-forwarded-for: {told[0].partition(' ')[2]}",
            "x-forwarded-host: shop.example.test",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
        ]
        assert told[0].startswith("x-forwarded-for: 127.")


def test_a_caller_may_say_what_it_was_told_itself(running: Running) -> None:
    _, lines, _ = running.get("a", "cart", port=Loopback.port(80), caller="web", headers={"X-Forwarded-For": "1.2.3.4"})
    assert [line for line in lines if line.lower().startswith("x-forwarded")] == ["x-forwarded-for: 1.2.3.4"]


def test_a_dead_remote_replica_is_out_within_two_checks(tmp_path: Path) -> None:
    with Running(shop(), tmp_path) as running:
        assert running.states("a")["svc_web/web.b"] == "UP"
        running.kill_replica("web-2")
        running.kill_replica("cache-1")
        running.kill_replica("chat-3")
        # Asked at once: what cannot be had there is had elsewhere.
        statuses = Counter(running.get("a", "shop.example.test")[0] for _ in range(30))
        assert statuses == {200: 30}
        # Two checks of the gateway, every 500 ms, and two of the sender: every 2 s, the second after 500 ms.
        took = until(
            lambda: all(
                running.states("a")[server].startswith("DOWN")
                for server in ("svc_web/web.b", "svc_cache/cache.b", "svc_chat/0-chat-3.b")
            ),
            6,
        )
        assert took < 5
        assert running.states("a")["svc_chat/0-chat-2.b"] == "UP"
        assert set(answers(running, "a", "shop.example.test", 20)) == {"web-1", "web_1_c"}
        assert {running.greeting("a", 11211, "web") for _ in range(4)} == {"cache-2"}
        running.start("web-2")
        until(lambda: running.states("a")["svc_web/web.b"] == "UP", 6)


def test_requests_outlive_a_dead_host(tmp_path: Path) -> None:
    with Running(shop(), tmp_path) as running:
        outcome: Counter[str] = Counter()
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    outcome[str(running.get("a", "shop.example.test")[0])] += 1
                except OSError as error:
                    outcome[repr(error)] += 1
                time.sleep(0.01)

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        time.sleep(0.5)
        running.kill_edge("b")
        time.sleep(3)
        stop.set()
        for asker in askers:
            asker.join()
        assert set(outcome) == {"200"}, outcome
        assert running.states("a")["svc_web/web.b"].startswith("DOWN")


# --- when checks say that nobody is up -------------------------------------------------------------------------------

AILING: dict[str, Any] = {**WEB, "health": "/healthz"}


def downs(running: Running, name: str, backend: str) -> set[str]:
    """Servers of a backend that a host's edge takes for down."""
    states = running.states(name).items()
    return {
        server.partition("/")[2] for server, state in states if server.startswith(f"{backend}/") and "DOWN" in state
    }


def test_the_only_replica_is_asked_whatever_its_check_says(tmp_path: Path) -> None:
    plan = planned({"web": AILING}, fleet(host("a"), host("b")), placed({"web-1": ("web", "b")}))
    with Running(plan, tmp_path) as running:
        running.ail("web-1")
        until(lambda: downs(running, "a", "svc_web") == {"web.b"}, 6)
        assert downs(running, "b", "local_web") == downs(running, "b", "svc_web") == {"web-1"}
        for name in ("a", "b"):
            for method in ("GET", "POST"):
                assert [running.get(name, "web.example.test", method=method)[0] for _ in range(5)] == [200] * 5


def test_whoever_is_up_is_asked_alone(tmp_path: Path) -> None:
    where = {"web-1": ("web", "a"), "web-2": ("web", "b"), "web-3": ("web", "b"), "web-4": ("web", "c")}
    plan = planned({"web": {**AILING, "replicas": 4}}, fleet(host("a"), host("b"), host("c")), placed(where))
    with Running(plan, tmp_path) as running:
        for slot in ("web-1", "web-2", "web-4"):
            running.ail(slot)
        until(lambda: downs(running, "a", "svc_web") == {"web-1", "web.c"}, 8)
        until(lambda: downs(running, "b", "local_web") == {"web-2"}, 3)
        assert answers(running, "a", "web.example.test", 8) == {"web-3": 8}
        running.ail("web-3")
        until(lambda: downs(running, "a", "svc_web") == {"web-1", "web.b", "web.c"}, 8)
        # By their weights, as if all were up.
        seen = answers(running, "a", "web.example.test", 40)
        assert {slot: round(count / 5) for slot, count in seen.items()} == dict.fromkeys(where, 2)


def test_a_request_to_a_dead_host_goes_elsewhere_also_when_none_is_up(tmp_path: Path) -> None:
    where = {"web-1": ("web", "b"), "web-2": ("web", "c")}
    hosts = fleet(host("a"), host("b"), host("c"))
    with Running(planned({"web": {**AILING, "replicas": 2}}, hosts, placed(where)), tmp_path) as running:
        running.ail("web-2")
        running.kill_edge("b")
        until(lambda: downs(running, "a", "svc_web") == {"web.b", "web.c"}, 8)
        assert answers(running, "a", "web.example.test", 6) == {"web-2": 6}
        posted = Counter(running.get("a", "web.example.test", method="POST")[0] for _ in range(6))
        assert posted == {200: 6}


@contextlib.contextmanager
def silent(address: str) -> Iterator[None]:
    """A mesh port that answers nothing, as that of a host without power: its queue is full."""
    with contextlib.ExitStack() as held:
        port = held.enter_context(socket.create_server((address, 8443), backlog=0))
        for _ in range(3):
            caller = held.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(port.getsockname())
        yield


def test_a_dead_only_host_is_an_error_within_seconds(tmp_path: Path) -> None:
    plan = planned({"web": AILING}, fleet(host("a"), host("b")), placed({"web-1": ("web", "b")}))

    def asked(running: Running, method: str = "GET") -> tuple[int, float]:
        began = time.monotonic()
        return running.get("a", "web.example.test", method=method)[0], time.monotonic() - began

    with Running(plan, tmp_path) as running:
        running.kill_replica("web-1")
        until(lambda: downs(running, "a", "svc_web") == {"web.b"}, 8)
        found = [asked(running), asked(running, "POST")]
        running.kill_edge("b")
        found.append(asked(running))
        with silent(running.at["b"]):
            found += [asked(running), asked(running, "POST")]
    print(found)
    assert [status for status, _ in found] == [502, 502, 503, 503, 503]
    # Three attempts of two seconds, and on a busy machine a pause of one between them.
    assert max(seconds for _, seconds in found) < 9


def test_a_visitor_is_not_sent_away_from_its_replica_when_none_is_up(tmp_path: Path) -> None:
    services = {"chat": {**SHOP["chat"], "health": "/healthz"}}
    where = {slot: at for slot, at in WHERE.items() if slot.startswith("chat")}
    with Running(planned(services, HOSTS, placed(where)), tmp_path) as running:
        cookies = {slot: {"Cookie": f"quayside_chat={slot}"} for slot in where}
        running.ail("chat-2")
        until(lambda: downs(running, "a", "svc_chat") == {"0-chat-2.b"}, 8)
        # Others are up: they take its visitors.
        assert "chat-2" not in answers(running, "a", "chat.example.test", 6, headers=cookies["chat-2"])
        for slot in ("chat-1", "chat-3"):
            running.ail(slot)
        until(lambda: len(downs(running, "a", "svc_chat")) == 3, 8)
        for slot, headers in cookies.items():
            assert answers(running, "a", "chat.example.test", 5, headers=headers) == {slot: 5}
            assert "1970" not in (running.get("a", "chat.example.test", headers=headers)[2] or "")
        # Who is new is served by whoever it is.
        assert [running.get("a", "chat.example.test")[0] for _ in range(6)] == [200] * 6


def test_a_tcp_service_is_reached_whatever_its_check_says(tmp_path: Path) -> None:
    with Running(shop(), tmp_path) as running:
        for server in ("cache.b", "cache.c"):
            running.tell("a", f"disable health up_cache/{server}")
            running.tell("a", f"set server up_cache/{server} health down")
        assert downs(running, "a", "svc_cache") == {"cache.b", "cache.c"}
        assert {running.greeting("a", 11211, "web") for _ in range(4)} == {"cache-1", "cache-2"}
        # And where the gateway takes its replica for down, it says so, and lets through all the same.
        running.tell("b", "disable health local_cache/cache-1")
        running.tell("b", "set server local_cache/cache-1 health down")
        assert running.through("b", "1-cache", running.folder / "a.pem", RAW).startswith(b"HTTP/1.1 503")
        assert {running.greeting("a", 11211, "web") for _ in range(4)} == {"cache-1", "cache-2"}


def test_a_replica_moves_between_hosts_and_nobody_notices(tmp_path: Path) -> None:
    """The steps of decisions.md 3: accept everywhere, then route, and forget when all have."""
    before = shop()
    where = {
        **WHERE,
        "web-2": ("web", "c"),
        "cart-1": ("cart", "a"),
        "admin-1": ("admin", "c"),
        "cache-1": ("cache", "a"),
    }
    after = planned(SHOP, HOSTS, placed(where))
    moved = [slot for slot, at in before.placement.slots.items() if after.placement.slots[slot] != at]
    assert moved == ["web-2", "cart-1", "admin-1", "cache-1"]
    with Running(before, tmp_path) as running:
        outcome: Counter[str] = Counter()
        stop = threading.Event()

        def ask(number: int) -> None:
            while not stop.is_set():
                try:
                    method = ("GET", "POST")[number % 2]
                    outcome[f"public {running.get('ab'[number % 2], 'shop.example.test', method=method)[0]}"] += 1
                    outcome[f"cart {running.named('c', 'cart', 'web')}"] += 1
                    outcome[f"admin {running.named('a', 'admin', 'batch')}"] += 1
                    outcome[f"cache {running.greeting('a', 11211, 'web')[:5]}"] += 1
                except OSError as error:
                    outcome[repr(error)] += 1

        askers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for asker in askers:
            asker.start()
        old = {name: running.text(name) for name in HOSTS.hosts}
        new = {name: running.text(name, after) for name in HOSTS.hosts}
        for slot in moved:
            running.start(slot, after)
        for name in HOSTS.hosts:
            running.take(name, union(old[name], new[name], tmp_path, "fill").replace("both-digest", f"accept-{name}"))
        for name in HOSTS.hosts:
            # Long enough for its checks to find out what others refuse.
            time.sleep(3)
            running.take(name, union(new[name], old[name], tmp_path).replace("both-digest", f"both-{name}"))
        # Idle connections of old workers have had their last request.
        time.sleep(6)
        for slot in moved:
            running.kill_replica(slot)
        for name in HOSTS.hosts:
            running.take(name, new[name])
        time.sleep(3)
        stop.set()
        for asker in askers:
            asker.join()
        assert set(outcome) == {"public 200", "cart (200, 'cart-1')", "admin (200, 'admin-1')", "cache cache"}, outcome
        assert set(answers(running, "a", "shop.example.test", 12)) == {"web-1", "web-2", "web_1_c"}


def test_nothing_readable_is_on_the_wire(tmp_path: Path) -> None:
    plan = shop()
    wire = f"127.99.{os.getpid() % 250}.99"
    running = Running(plan, tmp_path, routes={("a", "b"): wire})
    with relay(wire, (running.at["b"], 8443)) as heard, running:
        secret = "/very-secret-path-4711"
        seen = {running.get("a", f"shop.example.test{secret}", headers={"X-Secret": "4712"})[1][0] for _ in range(9)}
        assert "web-2" in seen
        assert {running.greeting("a", 11211, "web") for _ in range(4)} == {"cache-1", "cache-2"}
        passed = b"".join(heard)
    assert len(passed) > 5000
    for plain in (b"4711", b"4712", b"HTTP/1.1", b"example.test", b"web-2\n", b"cache-1\n"):
        assert plain not in passed


def test_a_draining_host_tells_its_balancer_and_serves_on(tmp_path: Path) -> None:
    hosts = fleet(host("a", draining=True), host("b"))
    plan = planned({"web": WEB}, hosts, placed({"web-1": ("web", "b")}))
    with Running(plan, tmp_path) as running:
        assert running.get("a", f"anything{HEALTH_PATH}")[:2] == (503, ["draining"])
        assert running.get("b", f"anything{HEALTH_PATH}")[:2] == (200, ["serving"])
        assert running.get("a", "web.example.test")[1][0] == "web-1"


def test_a_host_without_weight_keeps_its_visitors_and_gets_no_new_ones(tmp_path: Path) -> None:
    where = {"chat-1": ("chat", "a"), "chat-2": ("chat", "b")}
    services = {"chat": {**SHOP["chat"], "replicas": 2}}
    plan = planned(services, fleet(host("a"), host("b")), placed(where, {"chat-1": 256, "chat-2": 0}))
    with Running(plan, tmp_path) as running:
        for entry in ("a", "b"):
            assert answers(running, entry, "chat.example.test", 10) == {"chat-1": 10}
            old = {"Cookie": "quayside_chat=chat-2"}
            assert answers(running, entry, "chat.example.test", 10, headers=old) == {"chat-2": 10}


def test_visitors_tls_and_the_balancers_word(tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "public.pem").write_bytes(authority.certificate("public", "web.example.test"))
    plan = planned({"web": WEB}, fleet(host("a")), placed({"web-1": ("web", "a")}))
    config = HostConfig(certificate="public.pem", balancers=("127.9.9.9",), balancer_https=True)
    with Running(plan, tmp_path, configs={"a": config}, authority=authority) as running:
        with socket.create_connection((running.at["a"], 10080), 5) as plain:
            plain.sendall(b"GET /x?y=1 HTTP/1.1\r\nHost: web.example.test:80\r\n\r\n")
            answer = plain.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 308")
        assert "location: https://web.example.test/x?y=1\r\n" in answer
        assert running.get("a", f"x{HEALTH_PATH}")[0] == 200

        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with (
            socket.create_connection((running.at["a"], 10443), 5) as under,
            context.wrap_socket(under, server_hostname="web.example.test") as secure,
        ):
            secure.sendall(RAW.replace(b"Host: x", b"Host: web.example.test"))
            told = b"".join(iter(lambda: secure.recv(4096), b"")).decode()
        assert "x-forwarded-proto: https" in told
        assert "x-forwarded-port: 443" in told

        header = b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"
        request = header + RAW.replace(b"Host: x", b"Host: web.example.test")
        with socket.create_connection((running.at["a"], 10080), 5, source_address=("127.9.9.9", 0)) as balanced:
            balanced.sendall(request)
            told = b"".join(iter(lambda: balanced.recv(4096), b"")).decode()
        assert "x-forwarded-for: 203.0.113.7" in told
        assert "x-forwarded-proto: https" in told
        with socket.create_connection((running.at["a"], 10080), 5) as outsider:
            outsider.sendall(request)
            assert outsider.recv(4096).startswith(b"HTTP/1.1 400")
