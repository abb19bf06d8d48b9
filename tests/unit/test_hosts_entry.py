"""Who may enter a host: a filter that would lock out is refused; the stack's keys come and go with its settings."""

from __future__ import annotations

import ipaddress
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planning.hosts.entry import admission, authorized_keys, begin_of, end_of

OWNER = "shop/prod"
DEPLOY, ANNA, BEN, OTHER = (f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 43}" for letter in "DABO")
HOME = pwd.getpwuid(os.getuid()).pw_dir


def ran(script: str, root: Path | None = None, peer: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"SUDO_USER", "SSH_CONNECTION"}}
    environment |= {"SSH_CONNECTION": f"{peer} 50000 192.0.2.1 22"} if peer else {}
    environment |= more
    script = f"set -eu\nroot={root or ''} state={root}\n{script}"
    return subprocess.run(["sh"], input=script, env=environment, capture_output=True, text=True, check=False)


# --- the filter ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "ranges", "admitted"),
    [
        ("198.51.100.7", ["198.51.100.0/24"], True),
        ("198.51.101.7", ["198.51.100.0/24"], False),
        ("198.51.101.7", ["198.51.100.0/24", "198.51.101.7/32"], True),
        ("203.0.113.9", ["0.0.0.0/0"], True),
        ("203.0.113.9", ["::/0"], False),
        ("::ffff:198.51.100.7", ["198.51.100.0/24"], True),
        ("2001:db8::7", ["2001:db8::/32"], True),
        ("2001:db9::7", ["2001:db8::/32"], False),
        ("2001:db8::7", ["0.0.0.0/0"], False),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("", ["198.51.100.0/24"], True),  # cloud-init, or a person at the console
    ],
)
def test_a_filter_that_would_lock_out_who_brings_it_is_refused(
    peer: str, ranges: Sequence[str], admitted: bool
) -> None:
    done = ran(admission("host1", ranges) + "echo changed", peer=peer)
    assert (done.returncode == 0, done.stdout == "changed\n") == (admitted, admitted), done.stderr
    assert bool(done.stderr) == (not admitted)


def test_the_refusal_says_what_to_write() -> None:
    refused = ran(admission("host1", ["198.51.100.0/24"]), peer="203.0.113.9")
    assert refused.returncode == 1
    assert refused.stderr == (
        "host1 sees this machine come from 203.0.113.9, and SSH would be open to 198.51.100.0/24 alone.\n"
        "Its packet filter would have locked you out, so nothing was changed on it.\n"
        "    add the address, and take others out by a later `up`, from one that stays:\n"
        "    quayside:access: {ssh: [198.51.100.0/24, 203.0.113.9/32]}\n"
    )


@settings(max_examples=60, deadline=None)
@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_ranges_are_compared_as_the_kernel_does(
    peer: ipaddress.IPv4Address | ipaddress.IPv6Address, other: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int
) -> None:
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        return
    network = ipaddress.ip_network(f"{other}/{min(bits, other.max_prefixlen)}", strict=False)
    near = ipaddress.ip_network(f"{peer}/{min(bits, peer.max_prefixlen)}", strict=False)
    for one in (network, near):
        done = ran(admission("host1", [str(one)]), peer=str(peer))
        assert (done.returncode == 0) == (peer.version == one.version and peer in one), (peer, one, done.stderr)


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / HOME.lstrip("/") / ".ssh/authorized_keys"


def block(*keys: str, owner: str = OWNER) -> str:
    return "\n".join([begin_of(owner), *keys, end_of(owner), ""])


def write(tmp_path: Path, keys: Sequence[str], revoked: Sequence[str] = (), owner: str = OWNER) -> str:
    done = ran(authorized_keys(owner, keys, revoked), tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_host_without_keys_gets_the_block(tmp_path: Path, file: Path) -> None:
    assert write(tmp_path, [DEPLOY, ANNA]) == f"changed {HOME}/.ssh/authorized_keys\n"
    assert file.read_text() == block(DEPLOY, ANNA)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    before = file.stat()
    assert write(tmp_path, [DEPLOY, ANNA]) == ""
    assert file.stat().st_ino == before.st_ino
    assert [path.name for path in file.parent.iterdir()] == ["authorized_keys"]


def test_who_puts_something_back_by_hand_does_not_get_the_stack_s_keys(tmp_path: Path, file: Path) -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    script = authorized_keys(OWNER, [DEPLOY])
    assert ran(script, tmp_path, QUAYSIDE_USER=me).returncode == 0
    file.unlink()
    # By `sudo quayside-prepare`, as somebody else of the host.
    done = ran(script, tmp_path, SUDO_USER="daemon")
    assert (done.returncode, done.stdout) == (0, f"changed {HOME}/.ssh/authorized_keys\n"), done.stderr
    assert file.read_text() == block(DEPLOY)


def test_who_leaves_the_settings_is_shut_out_and_others_keys_stay(tmp_path: Path, file: Path) -> None:
    file.parent.mkdir(parents=True)
    restricted = f'from="192.0.2.1" {ANNA}'
    file.write_text(f"# by hand\n{OTHER} someone@else\n{restricted}")  # without a newline behind
    file.chmod(0o640)
    write(tmp_path, [DEPLOY, f"{ANNA} anna@laptop", f"{BEN} ben@laptop"])
    write(tmp_path, [DEPLOY, f"{BEN} ben@laptop"])
    assert file.read_text() == f"# by hand\n{OTHER} someone@else\n{restricted}\n" + block(DEPLOY, f"{BEN} ben@laptop")
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_key_that_came_by_another_way_is_taken_into_the_block(tmp_path: Path, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(f"{DEPLOY} from-the-cloud\n{ANNA}\n{OTHER}\n")
    write(tmp_path, [f"{DEPLOY} quayside:{OWNER}", ANNA])
    assert file.read_text() == f"{OTHER}\n" + block(f"{DEPLOY} quayside:{OWNER}", ANNA)
    write(tmp_path, [f"{DEPLOY} quayside:{OWNER}"])
    assert file.read_text() == f"{OTHER}\n" + block(f"{DEPLOY} quayside:{OWNER}")


def test_the_key_that_was_replaced_goes_wherever_it_stands(tmp_path: Path, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(f"{DEPLOY}\n{OTHER}\n")
    write(tmp_path, [BEN], revoked=[DEPLOY])
    assert file.read_text() == f"{OTHER}\n" + block(BEN)


def test_blocks_of_two_stacks_stand_beside_each_other(tmp_path: Path, file: Path) -> None:
    write(tmp_path, [ANNA])
    write(tmp_path, [BEN], owner="shop/prod-eu")
    write(tmp_path, [DEPLOY])
    assert file.read_text() == block(BEN, owner="shop/prod-eu") + block(DEPLOY)


def test_a_block_without_its_end_takes_nobodys_key_along(tmp_path: Path, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(f"{begin_of(OWNER)}\n{DEPLOY}\n{OTHER}\n")
    write(tmp_path, [DEPLOY])
    assert file.read_text() == f"{OTHER}\n" + block(DEPLOY)


def test_a_link_stays_one(tmp_path: Path, file: Path) -> None:
    file.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text(f"{OTHER}\n")
    file.symlink_to(tmp_path / "elsewhere")
    write(tmp_path, [DEPLOY])
    assert file.is_symlink()
    assert (tmp_path / "elsewhere").read_text() == f"{OTHER}\n" + block(DEPLOY)


def test_a_key_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="a key is one line"):
        authorized_keys(OWNER, [f"{ANNA}\n{BEN}"])
