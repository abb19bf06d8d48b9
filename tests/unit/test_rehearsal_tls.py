"""tls and random resources as the rehearsal makes them: what others can read, and when it is made anew."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key, load_ssh_private_key

from rehearsal import Applied, ApplyError, Event, apply, destroy, engine_state
from rehearsal.providers import Step, StepError
from rehearsal.random_provider import random_providers
from rehearsal.tls_certificates import tls_providers
from tests.needs import need_engine, needs

PROVIDERS = {**tls_providers(), **random_providers()}
openssl = needs("openssl")
ssh_keygen = needs("ssh-keygen")


def make(type_: str, /, **inputs: Any) -> dict[str, Any]:
    token = next(token for token in PROVIDERS if token.endswith(f":{type_}"))
    provider = PROVIDERS[token]
    assert provider.unsupported(inputs) == []
    made = provider.create(Step("urn", token, "x", "", inputs, {}, print, print))
    return {"id": made.id, **made.outputs}


def authority(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    key = make("PrivateKey", algorithm="ECDSA", ecdsaCurve="P256")
    given: dict[str, Any] = {
        "privateKeyPem": key["privateKeyPem"],
        "subject": {"commonName": "quayside ca", "organization": "Quay & Søns"},
        "isCaCertificate": True,
        "validityPeriodHours": 87600,
        "allowedUses": ["cert_signing", "crl_signing"],
    }
    return key, make("SelfSignedCert", **{**given, **more})


@pytest.mark.parametrize(
    ("inputs", "header"),
    [
        ({"algorithm": "RSA"}, "RSA PRIVATE KEY"),
        ({"algorithm": "RSA", "rsaBits": 3072}, "RSA PRIVATE KEY"),
        *(
            ({"algorithm": "ECDSA", "ecdsaCurve": curve}, "EC PRIVATE KEY")
            for curve in ("P224", "P256", "P384", "P521")
        ),
        ({"algorithm": "ED25519"}, "PRIVATE KEY"),
    ],
    ids=str,
)
def test_every_encoding_of_a_key_is_the_same_key(inputs: dict[str, Any], header: str) -> None:
    made = make("PrivateKey", **inputs)
    assert made["privateKeyPem"].startswith(f"-----BEGIN {header}-----\n")
    assert made["privateKeyPemPkcs8"].startswith("-----BEGIN PRIVATE KEY-----\n")
    public = load_pem_public_key(made["publicKeyPem"].encode())
    for form in ("privateKeyPem", "privateKeyPemPkcs8"):
        assert load_pem_private_key(made[form].encode(), None).public_key() == public
    if inputs.get("ecdsaCurve") == "P224":  # which OpenSSH does not know
        assert made["privateKeyOpenssh"] == made["publicKeyOpenssh"] == made["publicKeyFingerprintSha256"] == ""
    else:
        assert load_ssh_private_key(made["privateKeyOpenssh"].encode(), None).public_key() == public
        assert made["publicKeyOpenssh"].endswith("\n")
    assert len(made["id"]) == 40
    assert made["rsaBits"] == inputs.get("rsaBits", 2048)


@ssh_keygen
def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    made = make("PrivateKey", algorithm="ED25519")
    (tmp_path / "key.pub").write_text(made["publicKeyOpenssh"])
    for kind, key in (("sha256", "publicKeyFingerprintSha256"), ("md5", "publicKeyFingerprintMd5")):
        words = ["ssh-keygen", "-l", "-E", kind, "-f", str(tmp_path / "key.pub")]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[1]
        assert said.removeprefix("MD5:") == made[key]


@openssl
def test_openssl_verifies_a_chain_and_its_names(tmp_path: Path) -> None:
    ca_key, ca = authority(maxPathLength=0)
    key = make("PrivateKey", algorithm="ED25519")
    request = make(
        "CertRequest",
        privateKeyPem=key["privateKeyPem"],
        subject={"commonName": "host1"},
        dnsNames=["*.host1.quayside", "host1.quayside"],
        ipAddresses=["10.99.0.11", "fd00::1"],
        uris=["spiffe://quayside/host1"],
    )
    leaf = make(
        "LocallySignedCert",
        certRequestPem=request["certRequestPem"],
        caCertPem=ca["certPem"],
        caPrivateKeyPem=ca_key["privateKeyPem"],
        validityPeriodHours=17520,
        earlyRenewalHours=8760,
        allowedUses=["digital_signature", "server_auth", "client_auth"],
        setSubjectKeyId=True,
    )
    for name, made in (("ca", ca), ("leaf", leaf)):
        (tmp_path / name).write_text(made["certPem"])
    words = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "web.host1.quayside"]
    done = subprocess.run([*words, "-CAfile", "ca", "leaf"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = ["openssl", "verify", "-purpose", "sslclient", "-verify_ip", "10.99.0.11", "-CAfile", "ca", "leaf"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True).returncode == 0
    wrong = ["openssl", "verify", "-verify_hostname", "host2.quayside", "-CAfile", "ca", "leaf"]
    assert subprocess.run(wrong, cwd=tmp_path, capture_output=True).returncode != 0
    text = subprocess.run(
        ["openssl", "x509", "-in", "ca", "-noout", "-text"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "CA:TRUE, pathlen:0" in text
    assert "Certificate Sign, CRL Sign" in text
    certificate = x509.load_pem_x509_certificate(leaf["certPem"].encode())
    assert leaf["id"] == str(certificate.serial_number)
    assert leaf["validityEndTime"] == certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    hours = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() / 3600
    assert hours == 17520
    assert (leaf["caKeyAlgorithm"], request["keyAlgorithm"]) == ("ECDSA", "ED25519")
    signer = x509.load_pem_x509_certificate(ca["certPem"].encode())
    own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    told = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert told == own


def test_an_authority_key_id_is_its_own() -> None:
    _, ca = authority(setAuthorityKeyId=True, setSubjectKeyId=True)
    found = x509.load_pem_x509_certificate(ca["certPem"].encode()).extensions
    own = found.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert found.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own


def test_what_cannot_be_made_says_why_and_shows_no_key() -> None:
    ca_key, ca = authority()
    other = make("PrivateKey", algorithm="ED25519")
    request = make("CertRequest", privateKeyPem=other["privateKeyPem"], subject={"commonName": "x"})
    signed: dict[str, Any] = {"certRequestPem": request["certRequestPem"], "caCertPem": ca["certPem"]}
    signed |= {"caPrivateKeyPem": ca_key["privateKeyPem"], "validityPeriodHours": 1, "allowedUses": ["server_auth"]}
    for inputs, message in (
        ({"caPrivateKeyPem": other["privateKeyPem"]}, "caPrivateKeyPem: is not the key of caCertPem"),
        ({"caPrivateKeyPem": "secret nonsense"}, "caPrivateKeyPem: should be an unencrypted private key in PEM"),
        ({"caCertPem": "nonsense"}, "should be one certificate and one request in PEM"),
        ({"allowedUses": ["serve"]}, "allowedUses: serve is none of digital_signature"),
    ):
        with pytest.raises(StepError, match=message) as caught:
            make("LocallySignedCert", **{**signed, **inputs})
        assert "nonsense" not in str(caught.value)
    with pytest.raises(StepError, match="an authority's certificate needs one"):
        authority(subject={})


def test_random_text_holds_what_was_asked() -> None:
    for _ in range(20):
        made = make("RandomString", length=12, special=False, minUpper=3, minNumeric=4)["result"]
        assert len(made) == 12
        assert made.isalnum()
        assert sum(c.isupper() for c in made) >= 3
        assert sum(c.isdigit() for c in made) >= 4
    assert set(
        make("RandomPassword", length=50, upper=False, lower=False, number=False, overrideSpecial="#")["result"]
    ) == {"#"}
    assert make("RandomPassword", length=8)["id"] == "none"
    with pytest.raises(StepError, match="length: should be at least 7"):
        make("RandomString", length=6, minUpper=7)
    with pytest.raises(StepError, match="no kind of character is allowed"):
        make("RandomString", length=6, upper=False, lower=False, numeric=False, special=False)


def test_other_random_things() -> None:
    made = make("RandomId", byteLength=5, prefix="p-")
    assert made["hex"] == "p-" + int(made["dec"].removeprefix("p-")).to_bytes(5, "big").hex()
    assert made["b64Url"] == "p-" + made["id"]
    assert {make("RandomInteger", min=1, max=2)["result"] for _ in range(60)} == {1, 2}
    assert uuid.UUID(make("RandomUuid")["result"]).version == 4


PROGRAM = """
import pulumi, pulumi_random as random, pulumi_tls as tls
config = pulumi.Config()
early, generation = config.require_int("early"), config.require("generation")
ca_key = tls.PrivateKey("ca", algorithm="ECDSA", ecdsa_curve="P256")
ca = tls.SelfSignedCert(
    "ca", private_key_pem=ca_key.private_key_pem, is_ca_certificate=True, validity_period_hours=10,
    subject={"common_name": "ca"}, allowed_uses=["cert_signing"],
)
key = tls.PrivateKey("leaf", algorithm="ED25519")
request = tls.CertRequest("leaf", private_key_pem=key.private_key_pem, dns_names=["a.example.com"])
leaf = tls.LocallySignedCert(
    "leaf", cert_request_pem=request.cert_request_pem,
    ca_cert_pem=ca.cert_pem, ca_private_key_pem=ca_key.private_key_pem, validity_period_hours=8,
    early_renewal_hours=early, allowed_uses=["server_auth"],
)
password = random.RandomPassword("password", length=20, keepers={"generation": generation})
number = random.RandomInteger("number", min=1, max=9)
pulumi.export("leaf", leaf.cert_pem)
pulumi.export("key", key.private_key_pem)
pulumi.export("password", password.result)
"""


class Stack:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []
        (root / "Pulumi.yaml").write_text("name: made\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)

    def up(self, early: int = 0, generation: str = "1") -> Applied:
        self.events = []
        (self.root / "Pulumi.t.yaml").write_text(
            f"config:\n  made:early: '{early}'\n  made:generation: '{generation}'\n"
        )
        return apply("t", self.root, progress=self.events.append)

    def output(self, name: str) -> str:
        state = engine_state("t", self.root)
        assert state is not None
        return repr(state.outputs[name])

    def steps(self) -> list[tuple[str, str, str]]:
        return [(e.kind, e.type.rsplit(":", 1)[1], e.detail) for e in self.events if e.kind not in ("same", "note")]


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    need_engine()  # it looks there for what an interrupted run left
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open sesame")
    return Stack(tmp_path)


def test_a_certificate_is_replaced_when_it_is_ready_for_renewal(stack: Stack) -> None:
    assert stack.up().changes == {"create": 7}
    first = stack.output("leaf")
    assert set(stack.up().changes) == {"same"}
    stack.up(early=7)
    assert stack.steps() == [("update", "LocallySignedCert", "earlyRenewalHours")]
    assert stack.output("leaf") == first
    stack.up(early=8)
    kinds = [(kind, type_) for kind, type_, _ in stack.steps()]
    assert kinds == [("replace", "LocallySignedCert"), ("delete", "LocallySignedCert")]
    second = stack.output("leaf")
    assert second != first
    stack.up(early=8)
    assert stack.steps()[0] == ("replace", "LocallySignedCert", "readyForRenewal")


def test_secrets_are_marked_and_stored_encrypted(stack: Stack) -> None:
    done = stack.up()
    assert done.outputs["key"] == done.outputs["password"] == "[secret]"
    assert "BEGIN CERTIFICATE" in done.outputs["leaf"]
    for file in (stack.root / ".quayside").iterdir():
        assert "PRIVATE KEY" not in file.read_text()
    assert stack.output("password") == "[secret]"  # sealed: read here without the passphrase
    stack.up(generation="2")
    assert stack.steps() == [("replace", "RandomPassword", "keepers"), ("delete", "RandomPassword", "")]
    destroy("t", stack.root, volumes=True, progress=stack.events.append)
    assert engine_state("t", stack.root) is None


def test_a_key_alone_makes_the_passphrase_it_is_stored_with(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    (stack.root / "__main__.py").write_text("import pulumi_tls as tls\ntls.PrivateKey('k', algorithm='ED25519')\n")
    stack.up()
    assert (stack.root / ".quayside" / "passphrase").exists()


def test_what_cannot_be_made_is_refused_or_fails(stack: Stack) -> None:
    program = stack.root / "__main__.py"
    program.write_text(PROGRAM + "random.RandomPet('pet')\nrandom.RandomInteger('seeded', min=1, max=2, seed='x')\n")
    with pytest.raises(ApplyError) as caught:
        stack.up()
    assert "1 resource is not carried out by the rehearsal (1 RandomPet)" in str(caught.value)
    assert "seeded (random:index/randomInteger:RandomInteger)/seed: is not carried out" in str(caught.value)
    program.write_text(PROGRAM + "random.RandomUuid('u', keepers={'hash': password.bcrypt_hash})\n")
    with pytest.raises(ApplyError, match=r"u \(RandomUuid\) failed:\ndepends on a value that nothing has made"):
        stack.up()
