"""``tls.PrivateKey``: RSA, ECDSA and ED25519, in the encodings that pulumi-tls gives."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from rehearsal.once_made import OnceMade
from rehearsal.providers import StepError
from rehearsal.values import Properties

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P224": ec.SECP224R1(),
    "P256": ec.SECP256R1(),
    "P384": ec.SECP384R1(),
    "P521": ec.SECP521R1(),
}


class PrivateKeyProvider(OnceMade):
    """A key pair, kept in the state alone."""

    inputs = frozenset({"algorithm", "rsaBits", "ecdsaCurve"})
    defaults: ClassVar[Mapping[str, Any]] = {"rsaBits": 2048, "ecdsaCurve": "P224"}

    def make(self, inputs: Properties) -> tuple[str, dict[str, Any]]:
        key = _generate(inputs)
        # Go's own habit, which pulumi-tls follows: the key's traditional format where it has one.
        traditional = (
            PrivateFormat.PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else PrivateFormat.TraditionalOpenSSL
        )
        public = key.public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        outputs = {
            "privateKeyPem": _private(key, traditional),
            "privateKeyPemPkcs8": _private(key, PrivateFormat.PKCS8),
            "publicKeyPem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
            **_openssh(key),
        }
        return hashlib.sha1(der).hexdigest(), outputs  # noqa: S324 (pulumi-tls names keys so)


def load_key(pem: Any, what: str) -> Key:
    """Raises StepError, which does not repeat the key."""
    try:
        key = load_pem_private_key(str(pem).encode(), None)
    except (ValueError, TypeError) as error:
        raise StepError(f"{what}: should be an unencrypted private key in PEM") from error
    if not isinstance(key, Key):
        raise StepError(f"{what}: should be an RSA, ECDSA or ED25519 key")
    return key


def algorithm_of(key: Key) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return "RSA"
    return "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "ED25519"


def _generate(inputs: Properties) -> Key:
    algorithm = inputs.get("algorithm")
    if algorithm == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "RSA":
        try:
            return rsa.generate_private_key(65537, int(inputs["rsaBits"]))
        except ValueError as error:
            raise StepError(f"rsaBits: {error}") from error
    if algorithm == "ECDSA":
        curve = _CURVES.get(str(inputs["ecdsaCurve"]))
        if curve is None:
            raise StepError(f"ecdsaCurve: should be one of {', '.join(_CURVES)}, got {inputs['ecdsaCurve']}")
        return ec.generate_private_key(curve)
    raise StepError(f"algorithm: should be RSA, ECDSA or ED25519, got {algorithm}")


def _private(key: Key, form: PrivateFormat) -> str:
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def _openssh(key: Key) -> dict[str, str]:
    """Empty for P224, which OpenSSH does not know."""
    names = ("privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintMd5", "publicKeyFingerprintSha256")
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1):
        return dict.fromkeys(names, "")
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    blob = base64.b64decode(public.split()[1])
    sha256 = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    md5 = hashlib.md5(blob).digest().hex(":")  # noqa: S324 (an old notation, not a protection)
    return dict(zip(names, (_private(key, PrivateFormat.OpenSSH), public + "\n", md5, f"SHA256:{sha256}"), strict=True))
