"""Records that check health: how many of what, wired how, in which order, and what is asked of which host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from planning.hosts.edge import HEALTH_PATH
from rehearsal import RehearsalError
from tests.components import Resources, Run
from tests.graph.test_hetzner import CONFIG, Fleet, fleets

RECORD = "aws:route53/record:Record"
CHECK = "aws:route53/healthCheck:HealthCheck"
NAMES = ("example.com", "*.example.com", "www.example.com", "www-a-host1.example.com")
HOSTS = ("host1", "host2", "host1-a-host2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("dns")
        patch.chdir(root)
        yield Run(root, patch)


def dns(*, checked: bool = True, **changes: Any) -> Callable[[], None]:
    def main() -> None:
        from components.dns import Dns, DnsArgs, HealthArgs

        health = HealthArgs(port=8080, path="/health", names={host: f"{host}.prod.shop" for host in HOSTS})
        args = DnsArgs(
            provider="route53",
            zone="example.com",
            zone_id="Z1",
            names=NAMES,
            ipv4={host: f"203.0.113.{number}" for number, host in enumerate(HOSTS, 1)},
            ipv6={},
            health=health if checked else None,
        )
        Dns("names", replace(args, **changes))

    return main


def set_of(record: dict[str, Any]) -> tuple[str, str, str]:
    """What Route 53 knows a record by, beside its zone."""
    inputs = record["inputs"]
    return inputs["name"], inputs["type"], inputs["setIdentifier"]


# --- the component ---------------------------------------------------------------------------------------------------


def test_every_host_has_a_check_and_a_record_of_every_name(run: Run) -> None:
    made = run(dns())
    assert made.count() == {"aws HealthCheck": len(HOSTS), "aws Record": len(HOSTS) * len(NAMES)}
    records = made.of(RECORD)
    assert {set_of(record) for record in records.values()} == {(n, "A", h) for n in NAMES for h in HOSTS}
    # No two have one name in the state either.
    assert len(records) == len(HOSTS) * len(NAMES)
    first = records["any.example.com-a-host1"]["inputs"]
    assert first["multivalueAnswerRoutingPolicy"] is True
    assert (first["name"], first["zoneId"], first["ttl"], first["records"]) == (
        "*.example.com",
        "Z1",
        60,
        ["203.0.113.1"],
    )


def test_a_host_is_asked_by_its_address_and_all_its_records_share_the_check(run: Run) -> None:
    made = run(dns())
    checks = made.of(CHECK)
    assert checks["host2-health"]["inputs"] == {
        "type": "HTTP",
        "ipAddress": "203.0.113.2",
        "port": 8080,
        "resourcePath": "/health",
        "requestInterval": 10,
        "failureThreshold": 2,
        "tags": {"Name": "host2.prod.shop"},
    }
    for record in made.of(RECORD).values():
        host = record["inputs"]["setIdentifier"]
        assert record["propertyDependencies"]["healthCheckId"] == [checks[f"{host}-health"]["urn"]]


def test_a_host_with_addresses_of_both_families_has_one_check(run: Run) -> None:
    made = run(dns(ipv6={"host1": "2001:db8::1"}))
    assert made.count() == {"aws HealthCheck": len(HOSTS), "aws Record": (len(HOSTS) + 1) * len(NAMES)}
    record = made.of(RECORD)["example.com-aaaa-host1"]["inputs"]
    assert (record["type"], record["records"]) == ("AAAA", ["2001:db8::1"])
    assert made.of(CHECK)["host1-health"]["inputs"]["ipAddress"] == "203.0.113.1"


def test_the_first_record_takes_the_plain_one_s_place_before_the_others_are_made(run: Run) -> None:
    """Route 53 has no plain record beside multivalue ones; the provider changes one into the other in one request."""
    made, plain = run(dns()), run(dns(checked=False))
    of_name, before = _of_name(made, "www.example.com"), _of_name(plain, "www.example.com")
    (was,) = before.values()
    first = of_name["www.example.com-a-host1"]
    assert first["aliases"] == [was["urn"]]
    for name, record in of_name.items():
        assert (first["urn"] in record["dependencies"]) is (record is not first), name
        assert (record["aliases"] == []) is (record is not first)
    # And back, where one was left.
    assert sorted(was["aliases"]) == sorted(record["urn"] for record in of_name.values())


def _of_name(made: Resources, name: str) -> dict[str, dict[str, Any]]:
    return {key: record for key, record in made.of(RECORD).items() if record["inputs"]["name"] == name}


@pytest.mark.parametrize("provider", ["hetzner", "digitalocean", "manual"])
def test_other_providers_are_refused(run: Run, provider: str) -> None:
    with pytest.raises(RehearsalError, match=f"health should be left out with {provider}"):
        run(dns(provider=provider))


# --- a fleet ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Fleet]:
    return fleets(tmp_path_factory)


def checked(capacity: dict[str, Any] | None = None, port: int = 80) -> Callable[[Any, Any], None]:
    def change(services: Any, config: Any) -> None:
        services["api"]["routes"] = ["*.example.com", "example.com/api"]
        config["dns"] = {"provider": "route53", "health": True}
        config["edge"] = {"http": port}
        config["capacity"] = {**CONFIG["capacity"], **(capacity or {})}
        del config["capacity"]["balancer"]

    return change


def test_every_entry_host_is_asked_for_its_health_at_the_port_of_its_edge(fleet: Any) -> None:
    made = fleet(checked(port=8080))
    checks = made.of(CHECK)
    assert set(checks) == {"host1-health", "host2-health", "host3-health", "box-health"}
    for name, check in checks.items():
        inputs = check["inputs"]
        assert (inputs["port"], inputs["resourcePath"]) == (8080, HEALTH_PATH)
        assert inputs["ipAddress"] == made.hosts()[name.removesuffix("-health")]["address"]
    names = Counter(set_of(record)[0] for record in made.of(RECORD).values())
    assert names == {"*.example.com": 4, "example.com": 4, "web.example.com": 4}
    assert not [note for note in made.report.notes if "nobody checks" in str(note)]
    assert {inputs["tags"]["Name"] for inputs in (check["inputs"] for check in checks.values())} == {
        f"{host}.t.fx" for host in ("host1", "host2", "host3", "box")
    }


@pytest.mark.parametrize("key", ["drain", "down"])
def test_a_host_that_drains_or_is_down_has_neither_record_nor_check(fleet: Any, key: str) -> None:
    made = fleet(checked({key: ["host2"]}))
    assert set(made.of(CHECK)) == {"host1-health", "host3-health", "box-health"}
    assert {set_of(record)[2] for record in made.of(RECORD).values()} == {"host1", "host3", "box"}
    # Those of the others stay what they are.
    records = fleet(checked()).of(RECORD)
    for name, record in made.of(RECORD).items():
        assert record["inputs"] == records[name]["inputs"]
