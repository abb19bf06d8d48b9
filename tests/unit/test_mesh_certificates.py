"""Which authority signs when, and that it is trusted long before and after."""

from __future__ import annotations

from datetime import date, timedelta

from planning.hosts.certificates import (
    AUTHORITY_HOURS,
    LEAF_HOURS,
    LEAF_RENEW_HOURS,
    bundle,
    certificates,
    file_name,
)
from planning.names import Naming

NAMING = Naming(project="shop", stack="staging")


def test_the_lives_of_certificates() -> None:
    assert AUTHORITY_HOURS == 3652 * 24
    assert LEAF_HOURS == 2 * 365 * 24
    assert LEAF_RENEW_HOURS == LEAF_HOURS / 2


def test_a_leaf_names_its_host_as_client_and_as_server() -> None:
    (leaf,) = certificates(NAMING, ["host1"], date(2026, 5, 1)).leaves
    assert (leaf.name, leaf.host, leaf.common_name) == ("mesh-host1", "host1", "host1")
    assert leaf.dns_names == ("*.host1.quayside",)
    assert set(leaf.uses) >= {"server_auth", "client_auth"}
    assert leaf.authority == "mesh-ca_2024"


def test_three_authorities_are_trusted_and_the_middle_one_signs() -> None:
    found = certificates(NAMING, ["a", "b"], date(2027, 1, 1))
    assert [authority.name for authority in found.authorities] == ["mesh-ca_2024", "mesh-ca_2027", "mesh-ca_2030"]
    assert {leaf.authority for leaf in found.leaves} == {"mesh-ca_2027"}
    first = found.authorities[0]
    assert (first.common_name, first.organization) == ("quayside 2024", "shop/staging")


def test_an_up_changes_the_signer_only_to_one_that_every_host_knows_already() -> None:
    day = date(2026, 1, 1)
    before = certificates(NAMING, ["a"], day)
    while day.year < 2045:
        day += timedelta(days=31)
        now = certificates(NAMING, ["a"], day)
        # Trusted by what was there before this `up`, and what was there is trusted by what comes with it.
        assert now.leaves[0].authority in {one.name for one in before.authorities}
        assert before.leaves[0].authority in {one.name for one in now.authorities}
        before = now


def test_no_authority_ends_while_it_is_trusted() -> None:
    days = [date(2026, 1, 1) + timedelta(days=number * 7) for number in range(2000)]
    trusted: dict[str, list[date]] = {}
    for day in days:
        for authority in certificates(NAMING, [], day).authorities:
            trusted.setdefault(authority.name, []).append(day)
    for of in trusted.values():
        assert (of[-1] - of[0]).days * 24 < AUTHORITY_HOURS


def test_files_are_named_by_what_is_public_in_them() -> None:
    assert file_name("ca", "x") == "ca_2d711642b726b044.pem"
    assert bundle(["b\n\n", "a"]) == bundle(["a\n", "b"]) == "a\nb\n"
