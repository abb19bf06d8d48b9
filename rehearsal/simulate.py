"""Providers that only pretend: the computed outputs a program may build on, made up but stable.

Everything derives from the resource's own URN, so two previews of one program are equal and their difference is the
program's. A type nobody taught the rehearsal keeps its inputs and leaves the rest unknown, as a preview by Pulumi does.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from rehearsal import simulate_hosts
from rehearsal.monitor import Outcome
from rehearsal.record import Registration
from rehearsal.simulate_aws import Aws
from rehearsal.values import Secret, mapping, sequence

Simulator = Callable[[Registration, str], Mapping[str, Any]]

_LIST_OF_SETTINGS = "networksAdvanced"


def simulate(found: Registration, aws: Aws) -> Outcome:
    """Outputs for one registration, as far as they can be known without a provider."""
    if not found.custom:
        return Outcome("", {})
    digest = hashlib.sha256(found.urn.encode()).hexdigest()
    simulator = _SIMULATORS.get(found.type)
    made = simulator(found, digest) if simulator else aws.outputs(found, digest)
    if made is None:
        id_ = f"{found.name}-{digest[:7]}"
        return Outcome(id_, dict(found.inputs))
    outputs = {**made, **found.inputs, **simulate_hosts.computed(found, digest)}
    return Outcome(str(outputs.get("id", digest)), outputs)


def _named(found: Registration, digest: str) -> str:
    return f"{found.name}-{digest[:7]}"


def _container(found: Registration, digest: str) -> Mapping[str, Any]:
    networks = [str((mapping(n) or {}).get("name", "")) for n in sequence(found.inputs.get(_LIST_OF_SETTINGS)) or []]
    return {
        "id": digest,
        "name": _named(found, digest),
        "hostname": digest[:12],
        "bridge": "",
        "containerLogs": "",
        "exitCode": 0,
        "networkDatas": [{"networkName": n, "ipAddress": "", "gateway": ""} for n in networks],
    }


def _network(found: Registration, digest: str) -> Mapping[str, Any]:
    return {"id": digest, "name": _named(found, digest), "driver": "bridge", "scope": "local", "internal": False}


def _volume(found: Registration, digest: str) -> Mapping[str, Any]:
    name = str(found.inputs.get("name") or _named(found, digest))
    return {"id": name, "name": name, "driver": "local", "mountpoint": f"/var/lib/docker/volumes/{name}/_data"}


def _image(found: Registration, _digest: str) -> Mapping[str, Any]:
    name = str(found.inputs.get("name", ""))
    fake = hashlib.sha256(name.encode()).hexdigest()
    repository = name.partition("@")[0].rpartition(":")[0] or name
    return {"id": f"sha256:{fake}{name}", "imageId": f"sha256:{fake}", "repoDigest": f"{repository}@sha256:{fake}"}


def _command(found: Registration, digest: str) -> Mapping[str, Any]:
    return {"id": f"{found.name}{digest[:8]}", "stdout": "", "stderr": ""}


def _random_id(found: Registration, digest: str) -> Mapping[str, Any]:
    length = int(found.inputs.get("byteLength") or 8)
    raw = hashlib.shake_256(digest.encode()).digest(length)
    prefix = str(found.inputs.get("prefix") or "")
    encoded = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return {
        "id": encoded,
        "hex": prefix + raw.hex(),
        "dec": prefix + str(int.from_bytes(raw, "big")),
        "b64Std": prefix + base64.b64encode(raw).decode(),
        "b64Url": prefix + encoded,
    }


def _random_text(found: Registration, digest: str) -> Mapping[str, Any]:
    length = int(found.inputs.get("length") or 16)
    text = (digest * (length // len(digest) + 1))[:length]
    if found.type.endswith(":RandomPassword"):
        return {"id": "none", "result": Secret(text), "bcryptHash": Secret(f"$2a$10${digest[:53]}")}
    return {"id": text, "result": text}


def _pem(kind: str, digest: str) -> str:
    body = base64.b64encode(digest.encode()).decode()
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


def _private_key(_found: Registration, digest: str) -> Mapping[str, Any]:
    key = Secret(_pem("PRIVATE KEY", digest))
    return {
        "id": digest[:40],
        "privateKeyPem": key,
        "privateKeyPemPkcs8": key,
        "privateKeyOpenssh": key,
        "publicKeyPem": _pem("PUBLIC KEY", digest),
        "publicKeyOpenssh": f"ssh-ed25519 {base64.b64encode(digest.encode()).decode()}\n",
        "publicKeyFingerprintMd5": digest[:32],
        "publicKeyFingerprintSha256": f"SHA256:{digest[:43]}",
    }


def _certificate(_found: Registration, digest: str) -> Mapping[str, Any]:
    return {
        "id": digest[:40],
        "certPem": _pem("CERTIFICATE", digest),
        "certRequestPem": _pem("CERTIFICATE REQUEST", digest),
        "keyAlgorithm": "ECDSA",
        "readyForRenewal": False,
        "validityStartTime": "2026-01-01T00:00:00Z",
        "validityEndTime": "2036-01-01T00:00:00Z",
    }


def _account(_found: Registration, digest: str) -> Mapping[str, Any]:
    url = f"https://acme.invalid/acct/{int(digest[:8], 16)}"
    return {"id": url, "registrationUrl": url}


def _issued(_found: Registration, digest: str) -> Mapping[str, Any]:
    return {
        "id": digest[:32],
        "certificateUrl": f"https://acme.invalid/cert/{digest[:36]}",
        "certificatePem": _pem("CERTIFICATE", digest),
        "issuerPem": _pem("CERTIFICATE", digest[32:]),
        "privateKeyPem": Secret(_pem("EC PRIVATE KEY", digest)),
        "certificateNotBefore": "2026-01-01T00:00:00Z",
        "certificateNotAfter": "2026-04-01T00:00:00Z",
    }


_SIMULATORS: Mapping[str, Simulator] = {
    "docker:index/container:Container": _container,
    "docker:index/network:Network": _network,
    "docker:index/volume:Volume": _volume,
    "docker:index/remoteImage:RemoteImage": _image,
    "command:local:Command": _command,
    "command:remote:Command": _command,
    "random:index/randomId:RandomId": _random_id,
    "random:index/randomString:RandomString": _random_text,
    "random:index/randomPassword:RandomPassword": _random_text,
    "tls:index/privateKey:PrivateKey": _private_key,
    "tls:index/selfSignedCert:SelfSignedCert": _certificate,
    "tls:index/certRequest:CertRequest": _certificate,
    "tls:index/locallySignedCert:LocallySignedCert": _certificate,
    "acme:index/registration:Registration": _account,
    "acme:index/certificate:Certificate": _issued,
    **simulate_hosts.TYPES,
}
