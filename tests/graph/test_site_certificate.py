"""The visitors' certificate by ACME, as the engine would be told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from rehearsal.errors import ApplyError
from rehearsal.refusal import refuse
from tests.components import Resources, Run

CERTIFICATE = "acme:index/certificate:Certificate"
REGISTRATION = "acme:index/registration:Registration"
PROVIDER = "pulumi:providers:acme"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def program(**changes: Any) -> Callable[[], None]:
    def main() -> None:
        from components.site_certificate import SiteCertificate, SiteCertificateArgs

        args: dict[str, Any] = {
            "server": STAGING,
            "email": "ops@example.com",
            "names": ["*.example.com", "example.com"],
            "dns": "hetzner",
            "credentials": {"HETZNER_API_TOKEN": "a token"},
        }
        made = SiteCertificate("site", SiteCertificateArgs(**{**args, **changes}))
        pulumi.export("pem", made.pem)

    return main


def inputs(made: Resources, type_: str) -> Mapping[str, Any]:
    return made.one(type_)["inputs"]


def test_an_account_and_a_certificate_that_renews_itself(run: Run) -> None:
    made = run(program())
    assert inputs(made, PROVIDER) == {"serverUrl": STAGING}
    assert inputs(made, REGISTRATION)["emailAddress"] == "ops@example.com"
    found = dict(inputs(made, CERTIFICATE))
    assert found.pop("dnsChallenges")[0]["provider"] == "hetzner"
    assert found.pop("accountKeyPem")
    assert found == {
        "subjectAlternativeNames": ["*.example.com", "example.com"],
        "keyType": "P256",
        "minDaysDynamic": True,
        "revokeCertificateOnDestroy": False,
    }


def test_both_are_asked_of_the_authority_that_is_named(run: Run) -> None:
    made = run(program())
    provider = made.one(PROVIDER)
    assert provider["name"] == "site-acme-staging-v02.api.letsencrypt.org"
    for type_ in (REGISTRATION, CERTIFICATE):
        assert made.one(type_)["provider"].rpartition("::")[0] == provider["urn"]


def test_another_authority_has_a_provider_of_another_name_so_that_all_is_made_anew(run: Run) -> None:
    made = run(program(server="https://acme.example.com:14000/dir"))
    assert made.one(PROVIDER)["name"] == "site-acme.example.com"


def test_keys_and_tokens_are_secrets(run: Run) -> None:
    made = run(program())
    assert {"accountKeyPem", "dnsChallenges"} <= made.secret_inputs(made.one(CERTIFICATE))
    for shown in (made.plain(), str(made.report.resources), str(made.report.outputs)):
        assert "a token" not in shown
        assert "PRIVATE KEY" not in shown


def test_inputs_are_checked_against_the_sdk_s_own_types(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        import pulumiverse_acme as acme

        challenge: Any = {"provider": "hetzner", "confg": {}}
        acme.Certificate("wrong", account_key_pem="k", dns_challenges=[challenge])

    (problem,) = run.problems(main).report.problems
    assert str(problem).startswith(f"wrong ({CERTIFICATE})/dnsChallenges/0/confg: is no input of this resource")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"dns": "manual"}, "dns should be one of hetzner, route53, digitalocean, got manual"), ({"names": []}, "names")],
)
def test_what_no_authority_takes_is_refused(run: Run, changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        run(program(**changes))


def test_the_rehearsal_does_not_apply_it_and_says_so(run: Run) -> None:
    report = run(program()).report
    with pytest.raises(ApplyError, match=r"carried out by the rehearsal \(1 Certificate, 1 Registration\)") as refused:
        refuse(report)
    assert "use `pulumi up`" in str(refused.value)


# --- credentials -----------------------------------------------------------------------------------------------------


def credentials_of(run: Run, dns: str, config: Mapping[str, str]) -> Mapping[str, Any]:
    (run.root / "Pulumi.t.yaml").write_text(
        "config:\n  aws:region: eu-central-1\n" + "".join(f"  {key}: {value}\n" for key, value in config.items())
    )

    def main() -> None:
        from platforms.dns_challenge import credentials

        zone = pulumi.Output.from_input("Z1") if dns == "route53" else None
        shown = {k: pulumi.Output.unsecret(pulumi.Output.from_input(v)) for k, v in credentials(dns, zone).items()}
        pulumi.export("credentials", shown)

    found: Any = run(main).report.outputs["credentials"]
    return found


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HCLOUD_TOKEN", "DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("dns", "config", "variables"),
    [
        ("hetzner", {"hcloud:token": "abc"}, {"HETZNER_API_TOKEN": "abc"}),
        ("digitalocean", {"digitalocean:token": "abc"}, {"DO_AUTH_TOKEN": "abc"}),
        (
            "route53",
            {"aws:profile": "ops"},
            {"AWS_HOSTED_ZONE_ID": "Z1", "AWS_PROFILE": "ops", "AWS_REGION": "eu-central-1"},
        ),
        ("hetzner", {}, {}),
    ],
)
def test_the_stack_s_own_credentials_are_passed_on(
    run: Run, bare: pytest.MonkeyPatch, dns: str, config: Mapping[str, str], variables: Mapping[str, str]
) -> None:
    assert credentials_of(run, dns, config) == variables


def test_a_token_in_the_environment_is_passed_on_too_and_the_setting_goes_first(
    run: Run, bare: pytest.MonkeyPatch
) -> None:
    bare.setenv("HCLOUD_TOKEN", "from outside")
    bare.setenv("DIGITALOCEAN_ACCESS_TOKEN", "from outside")
    assert credentials_of(run, "hetzner", {}) == {"HETZNER_API_TOKEN": "from outside"}
    assert credentials_of(run, "digitalocean", {}) == {"DO_AUTH_TOKEN": "from outside"}
    assert credentials_of(run, "hetzner", {"hcloud:token": "abc"}) == {"HETZNER_API_TOKEN": "abc"}
