"""The key pair that a stack reaches its hosts with, and the host keys that it knows them by."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_tls as tls
import yaml

FOLDER = ".quayside/ssh"
"""In the project, where git ignores it: the key, and the sockets of shared connections. Relative, since the program and
its providers run in the project's folder, and an absolute path in a provider's settings would change with every
checkout. A relative socket is also shorter than the 104 bytes that a path of one may have, wherever the checkout is."""

USER_DATA_LIMIT = 32 * 1024
"""Bytes that Hetzner takes; DigitalOcean takes twice as many."""
_OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----"
"""What a key begins with that was made; an invented one is of no format that OpenSSH reads."""
_HOST_KEY_ROOM = 1024
"""Bytes that the host key adds to a cloud-init document; an Ed25519 key is about 400 in OpenSSH's format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployKeyArgs:
    stack: str
    """Part of the file's name: the stacks of one checkout have a key each."""
    number: int = 0
    """One higher is another key. The one before stays in the state, and lets the new one in."""


class DeployKey(pulumi.ComponentResource):
    """An Ed25519 key pair; the private half is a secret of the stack's state.

    OpenSSH reads a private key from a file or from an agent. An agent does not do: the providers' processes are there
    before the program, with the environment of whoever started Pulumi, so that the program has no way to name one to
    them; and whoever holds its socket could use it. So the key is a file, 0600 in a folder of 0700. The program itself
    lays it there, not a Command: what a Command once did is not done again on another machine, and each run of a CI is
    another machine. Previews lay it down, too, since one that refreshes asks the hosts; but a rehearsal does not, whose
    keys are invented. `pulumi refresh` and `destroy` run the program only with `--run-program`. No command line,
    environment or unencrypted state has the key in it.
    """

    public_key: pulumi.Output[str]
    """One line, as authorized_keys has it."""
    private_key: pulumi.Output[str]
    """In OpenSSH's format, for machines that run no `up`. A secret."""
    identity: pulumi.Output[str]
    """Path of the file, known only once it is there: whatever connects takes it from here."""
    previous_public_key: pulumi.Output[str] | None = None
    """Of the key that this one replaces. None: it is the first."""
    previous_identity: pulumi.Output[str] | None = None

    def __init__(self, name: str, args: DeployKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("quayside:docker:DeployKey", name, None, opts)
        key = self._key(name, args.number)
        file = Path(FOLDER) / f"{args.stack}.key"
        if args.number > 0:
            before = self._key(name, args.number - 1)
            beside = Path(FOLDER) / f"{args.stack}.previous.key"
            self.previous_public_key = before.public_key_openssh.apply(plain_key)
            self.previous_identity = pulumi.Output.unsecret(
                before.private_key_openssh.apply(lambda known: _laid_down(beside, known))
            )
        self.public_key = key.public_key_openssh.apply(plain_key)
        self.private_key = pulumi.Output.secret(key.private_key_openssh)
        # A path is no secret, though what made it was.
        self.identity = pulumi.Output.unsecret(key.private_key_openssh.apply(lambda known: _laid_down(file, known)))
        self.register_outputs({"public_key": self.public_key, "identity": self.identity})

    def _key(self, name: str, number: int) -> tls.PrivateKey:
        child = pulumi.ResourceOptions(parent=self)
        return tls.PrivateKey(f"{name}-{number}" if number else name, algorithm="ED25519", opts=child)


def _laid_down(file: Path, private_key: str) -> str:
    if not pulumi.runtime.is_dry_run() or private_key.startswith(_OPENSSH):
        write_private(file, private_key)
    return str(file)


def write_private(file: Path, content: str) -> None:
    """`content` in a file that nobody else could ever read, not even for a moment."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.parent.chmod(0o700)
    content = content if content.endswith("\n") else f"{content}\n"
    with contextlib.suppress(FileNotFoundError):
        if stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_text() == content:
            return
    # mkstemp's files are 0600; and a connection that opens meanwhile sees the old key or the new one, never a half.
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
    Path(temporary).replace(file)


def plain_key(line: str) -> str:
    """Type and key, without a comment and the newline that pulumi-tls puts behind."""
    return " ".join(line.split()[:2])


def host_key(host: str, opts: pulumi.ResourceOptions) -> tls.PrivateKey:
    """The SSH host key of a host that the program makes. It outlives rebuilds: what pins it needs no change."""
    return tls.PrivateKey(f"{host}_host-key", algorithm="ED25519", opts=opts)


def with_host_key(cloud_config: str, key: tls.PrivateKey) -> pulumi.Output[str]:
    """A cloud-init document that gives the machine this host key and no other; a secret.

    Refuses what is no `#cloud-config` or has host keys already, and what would be longer than Hetzner takes.
    """
    document = _document(cloud_config)
    size = len(cloud_config.encode()) + _HOST_KEY_ROOM
    if size > USER_DATA_LIMIT:
        raise ValueError(f"cloud_config should be at most {USER_DATA_LIMIT - _HOST_KEY_ROOM} bytes, got {size}")

    def render(known: list[str]) -> str:
        keys = {"ed25519_private": known[0], "ed25519_public": plain_key(known[1])}
        # Given keys, cloud-init makes none of its own; those of the image, which others know as well, go.
        full = {**document, "ssh_deletekeys": True, "ssh_keys": keys}
        return "#cloud-config\n" + yaml.dump(full, Dumper=_Dumper, sort_keys=False, width=10_000)

    halves: pulumi.Output[list[str]] = pulumi.Output.all(key.private_key_openssh, key.public_key_openssh)  # pyright: ignore[reportAssignmentType]
    return pulumi.Output.secret(halves.apply(render))


class _Dumper(yaml.SafeDumper):
    """One line of a script is one line of the document: quoted, it would grow by a tenth, and the limit is near."""


def _text(_: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _document(cloud_config: str) -> dict[str, object]:
    head, _, body = cloud_config.partition("\n")
    if head.strip() != "#cloud-config":
        raise ValueError(f'cloud_config should begin with the line "#cloud-config", got "{head[:40]}"')
    document: dict[str, object] = yaml.safe_load(body) or {}
    if given := sorted({"ssh_keys", "ssh_deletekeys", "ssh_genkeytypes"} & document.keys()):
        raise ValueError(f"cloud_config should leave host keys to the host, got {', '.join(given)}")
    return document
