"""Keys, certificates and passwords that the rehearsal makes, in containers that use them."""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal import Event, apply, destroy
from tests.hosts.shop import PYTHON, docker, free_port

pytestmark = pytest.mark.docker

PROGRAM = """
import pulumi, pulumi_docker as docker, pulumi_random as random, pulumi_tls as tls
config = pulumi.Config()
ca_key = tls.PrivateKey("ca", algorithm="ECDSA", ecdsa_curve="P256")
ca = tls.SelfSignedCert(
    "ca", private_key_pem=ca_key.private_key_pem, is_ca_certificate=True, validity_period_hours=1000,
    subject={"common_name": "quayside test"}, allowed_uses=["cert_signing", "crl_signing"],
)
key = tls.PrivateKey("web", algorithm="ECDSA", ecdsa_curve="P384")
request = tls.CertRequest("web", private_key_pem=key.private_key_pem, dns_names=["localhost"])
cert = tls.LocallySignedCert(
    "web", cert_request_pem=request.cert_request_pem,
    ca_cert_pem=ca.cert_pem, ca_private_key_pem=ca_key.private_key_pem, validity_period_hours=100,
    early_renewal_hours=config.require_int("early"), allowed_uses=["digital_signature", "server_auth"],
)
password = random.RandomPassword("password", length=24, special=False)
container = docker.Container(
    "web",
    name=pulumi.get_project(),
    image=config.require("image"),
    command=["python", "-c", config.require("serve")],
    init=True,
    envs=[pulumi.Output.concat("PASSWORD=", password.result)],
    uploads=[
        {"file": "/etc/tls.pem", "content": pulumi.Output.concat(cert.cert_pem, key.private_key_pem)},
    ],
    ports=[{"internal": 8443, "external": config.require_int("port"), "ip": "127.0.0.1"}],
)
pulumi.export("ca", ca.cert_pem)
pulumi.export("serial", cert.id)
"""
SERVE = """
import http.server, json, os, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"password": os.environ["PASSWORD"]}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
server = http.server.HTTPServer(("", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/tls.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


class Stack:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.project = f"qtls{os.urandom(3).hex()}"
        self.port = free_port()
        self.events: list[Event] = []
        (root / "Pulumi.yaml").write_text(f"name: {self.project}\nruntime: python\n")
        (root / "__main__.py").write_text(PROGRAM)

    def up(self, early: int) -> dict[str, str]:
        values = {"image": PYTHON, "serve": SERVE, "port": str(self.port), "early": str(early)}
        config = {f"{self.project}:{key}": value for key, value in values.items()}
        (self.root / "Pulumi.t.yaml").write_text(json.dumps({"config": config}))
        self.events = []
        return dict(apply("t", self.root, progress=self.events.append).outputs)

    def ask(self, ca: str) -> tuple[str, str]:
        """The password that it serves, and the serial number of the certificate that it shows."""
        trust = ssl.create_default_context(cadata=ca)
        end = time.monotonic() + 15
        while True:
            try:
                with urllib.request.urlopen(f"https://localhost:{self.port}/", timeout=5, context=trust) as answer:
                    shown = answer.fp.raw._sock.getpeercert()
                    return json.load(answer)["password"], str(int(shown["serialNumber"], 16))
            except OSError as error:
                if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError) or time.monotonic() > end:
                    raise
                time.sleep(0.1)


@pytest.fixture
def stack(engine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "open sesame")
    made = Stack(tmp_path)
    yield made
    destroy("t", tmp_path, volumes=True, progress=made.events.append)
    assert docker("ps", "-aq", "-f", f"name={made.project}") == ""


def test_a_container_serves_with_the_certificate_and_takes_its_renewal(stack: Stack) -> None:
    outputs = stack.up(early=0)
    password, serial = stack.ask(outputs["ca"])
    assert len(password) == 24
    assert serial == outputs["serial"]
    assert stack.up(early=0) == outputs
    assert {event.kind for event in stack.events} == {"same"}
    renewed = stack.up(early=100)
    steps = [(event.kind, event.type.rsplit(":", 1)[1]) for event in stack.events if event.kind == "replace"]
    assert steps == [("replace", "LocallySignedCert"), ("replace", "Container")]
    assert stack.ask(renewed["ca"]) == (password, renewed["serial"])
    assert renewed["serial"] != serial
