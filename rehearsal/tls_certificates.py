"""``tls`` certificates and requests, as pulumi-tls makes and renews them."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as Extended
from cryptography.x509.oid import NameOID

from rehearsal.once_made import OnceMade
from rehearsal.providers import Provider, StepError
from rehearsal.state import Entry
from rehearsal.tls_keys import Key, PrivateKeyProvider, algorithm_of, load_key
from rehearsal.values import Properties, items_of, members_of

_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "cert_signing",
    "crl_signing",
    "encipher_only",
    "decipher_only",
)
_EXTENDED: Final[Mapping[str, x509.ObjectIdentifier]] = {
    "any_extended": Extended.ANY_EXTENDED_KEY_USAGE,
    "server_auth": Extended.SERVER_AUTH,
    "client_auth": Extended.CLIENT_AUTH,
    "code_signing": Extended.CODE_SIGNING,
    "email_protection": Extended.EMAIL_PROTECTION,
    "ipsec_end_system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec_tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec_user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": Extended.TIME_STAMPING,
    "ocsp_signing": Extended.OCSP_SIGNING,
    "microsoft_server_gated_crypto": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape_server_gated_crypto": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
    "microsoft_commercial_code_signing": x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.22"),
    "microsoft_kernel_code_signing": x509.ObjectIdentifier("1.3.6.1.4.1.311.61.1.1"),
}
# In the order of Go's own encoder, so that subjects compare equal.
_SUBJECT: Final[Mapping[str, x509.ObjectIdentifier]] = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "streetAddresses": NameOID.STREET_ADDRESS,
    "postalCode": NameOID.POSTAL_CODE,
    "commonName": NameOID.COMMON_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
}
_NAMES: Final = frozenset({"subject", "dnsNames", "ipAddresses", "uris"})
_VALIDITY: Final = frozenset({"validityPeriodHours", "earlyRenewalHours", "allowedUses"})
_AUTHORITY: Final = frozenset({"isCaCertificate", "setSubjectKeyId", "maxPathLength"})


class CertRequestProvider(OnceMade):
    """A request for a certificate, signed with its own key."""

    inputs = _NAMES | {"privateKeyPem"}

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        key = load_key(inputs.get("privateKeyPem"), "privateKeyPem")
        builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(inputs))
        if names := _alternative_names(inputs):
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        request = builder.sign(key, _hash_for(key))
        der = request.public_bytes(Encoding.DER)
        outputs = {"certRequestPem": request.public_bytes(Encoding.PEM).decode(), "keyAlgorithm": algorithm_of(key)}
        return hashlib.sha1(der).hexdigest(), outputs  # noqa: S324 (pulumi-tls names requests so)


class CertificateProvider(OnceMade):
    """A certificate ends by itself: within `earlyRenewalHours` of that, the next run replaces it."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "earlyRenewalHours": 0,
        "isCaCertificate": False,
        "setSubjectKeyId": False,
    }
    in_place = frozenset({"earlyRenewalHours"})

    def expired(self, entry: Entry, inputs: Properties) -> str:
        end = datetime.fromisoformat(str(entry.outputs["validityEndTime"]))
        early = timedelta(hours=int(inputs.get("earlyRenewalHours") or 0))
        return "readyForRenewal" if end - early <= datetime.now(UTC) else ""


class SelfSignedCertProvider(CertificateProvider):
    inputs = _NAMES | _VALIDITY | _AUTHORITY | {"privateKeyPem", "setAuthorityKeyId"}
    defaults: ClassVar[Mapping[str, Any]] = {**CertificateProvider.defaults, "setAuthorityKeyId": False}

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        key = load_key(inputs.get("privateKeyPem"), "privateKeyPem")
        subject = _subject(inputs)
        own_id = _subject_key_id(key.public_key(), inputs)
        if inputs["setAuthorityKeyId"] and own_id is None:
            raise StepError("setAuthorityKeyId: needs setSubjectKeyId, or a certificate of an authority")
        authority = own_id if inputs["setAuthorityKeyId"] else None
        template = _Template(subject, key.public_key(), _alternative_names(inputs), own_id, authority)
        id_, outputs = _sign(template, subject, key, inputs)
        return id_, {**outputs, "keyAlgorithm": algorithm_of(key)}


class LocallySignedCertProvider(CertificateProvider):
    inputs = _VALIDITY | _AUTHORITY | {"certRequestPem", "caCertPem", "caPrivateKeyPem"}

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        key = load_key(inputs.get("caPrivateKeyPem"), "caPrivateKeyPem")
        try:
            authority = x509.load_pem_x509_certificate(str(inputs.get("caCertPem")).encode())
            request = x509.load_pem_x509_csr(str(inputs.get("certRequestPem")).encode())
        except ValueError as error:
            raise StepError("caCertPem, certRequestPem: should be one certificate and one request in PEM") from error
        if authority.public_key() != key.public_key():
            raise StepError("caPrivateKeyPem: is not the key of caCertPem")
        public: Any = request.public_key()
        template = _Template(
            request.subject, public, _requested_names(request), _subject_key_id(public, inputs), _key_id_of(authority)
        )
        id_, outputs = _sign(template, authority.subject, key, inputs)
        return id_, {**outputs, "caKeyAlgorithm": algorithm_of(key)}


def tls_providers() -> dict[str, Provider]:
    return {
        "tls:index/privateKey:PrivateKey": PrivateKeyProvider(),
        "tls:index/certRequest:CertRequest": CertRequestProvider(),
        "tls:index/selfSignedCert:SelfSignedCert": SelfSignedCertProvider(),
        "tls:index/locallySignedCert:LocallySignedCert": LocallySignedCertProvider(),
    }


@dataclass(frozen=True, slots=True)
class _Template:
    subject: x509.Name
    public_key: Any
    names: list[x509.GeneralName]
    subject_key_id: x509.SubjectKeyIdentifier | None
    authority_key_id: x509.SubjectKeyIdentifier | None


def _sign(template: _Template, issuer: x509.Name, key: Key, inputs: Properties) -> tuple[str, dict[str, Any]]:
    start = datetime.now(UTC).replace(microsecond=0)
    end = start + timedelta(hours=int(inputs["validityPeriodHours"]))
    serial = secrets.randbits(127) + 1
    authority = bool(inputs["isCaCertificate"])
    path_length = inputs.get("maxPathLength")
    length = int(path_length) if authority and path_length is not None and int(path_length) >= 0 else None
    builder = (
        x509.CertificateBuilder()
        .subject_name(template.subject)
        .issuer_name(issuer)
        .public_key(template.public_key)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, length), critical=True)
    )
    usages = [str(usage) for usage in items_of(inputs.get("allowedUses"))]
    if wrong := [usage for usage in usages if usage not in _KEY_USAGES and usage not in _EXTENDED]:
        raise StepError(f"allowedUses: {wrong[0]} is none of {', '.join([*_KEY_USAGES, *_EXTENDED])}")
    if any(usage in _KEY_USAGES for usage in usages):
        builder = builder.add_extension(_key_usage(usages), critical=True)
    if extended := [_EXTENDED[usage] for usage in usages if usage in _EXTENDED]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    if template.subject_key_id is not None:
        builder = builder.add_extension(template.subject_key_id, critical=False)
    if template.authority_key_id is not None:
        known = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(template.authority_key_id)
        builder = builder.add_extension(known, critical=False)
    if template.names:  # the only name there is must not be overlooked
        critical = not list(template.subject)
        builder = builder.add_extension(x509.SubjectAlternativeName(template.names), critical=critical)
    certificate = builder.sign(key, _hash_for(key))
    return str(serial), {
        "certPem": certificate.public_bytes(Encoding.PEM).decode(),
        "readyForRenewal": False,
        "validityStartTime": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "validityEndTime": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _key_usage(usages: list[str]) -> x509.KeyUsage:
    has = {usage: usage in usages for usage in _KEY_USAGES}
    agreement = has["key_agreement"]  # the last two say something about it alone
    return x509.KeyUsage(
        digital_signature=has["digital_signature"],
        content_commitment=has["content_commitment"],
        key_encipherment=has["key_encipherment"],
        data_encipherment=has["data_encipherment"],
        key_agreement=agreement,
        key_cert_sign=has["cert_signing"],
        crl_sign=has["crl_signing"],
        encipher_only=agreement and has["encipher_only"],
        decipher_only=agreement and has["decipher_only"],
    )


def _subject_key_id(public: Any, inputs: Properties) -> x509.SubjectKeyIdentifier | None:
    if not inputs["isCaCertificate"] and not inputs["setSubjectKeyId"]:
        return None
    return x509.SubjectKeyIdentifier.from_public_key(public)


def _key_id_of(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None


def _subject(inputs: Properties) -> x509.Name:
    given = members_of(inputs.get("subject"))
    try:
        name = x509.Name(
            [
                x509.NameAttribute(oid, str(text))
                for key, oid in _SUBJECT.items()
                for text in (items_of(given.get(key)) if key == "streetAddresses" else [given.get(key)])
                if text
            ]
        )
    except ValueError as error:
        raise StepError(f"subject: {error}") from error
    if inputs.get("isCaCertificate") and not list(name):
        raise StepError("subject: an authority's certificate needs one")
    return name


def _alternative_names(inputs: Properties) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    try:
        names += [x509.DNSName(str(name)) for name in items_of(inputs.get("dnsNames"))]
        names += [x509.IPAddress(ipaddress.ip_address(str(ip))) for ip in items_of(inputs.get("ipAddresses"))]
        names += [x509.UniformResourceIdentifier(str(uri)) for uri in items_of(inputs.get("uris"))]
    except ValueError as error:
        raise StepError(f"dnsNames, ipAddresses, uris: {error}") from error
    return names


def _requested_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    try:
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name for name in found if isinstance(name, x509.DNSName | x509.IPAddress | x509.UniformResourceIdentifier)]


def _hash_for(key: Key) -> Any:
    """As Go chooses; an ED25519 signature has its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()
