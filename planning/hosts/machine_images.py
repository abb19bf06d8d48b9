"""The scripts that machine images are baked with: what machines of a kind have alike, and nothing of any one machine.

An image of hosts holds the packages and the files of `hostfiles.common_files`. What depends on a stack or on a host
(packet filter, Docker's networks, the size of its swap) comes at the first boot, by the same script as on a machine
that was not baked. Docker stays switched off until then, so that it never runs without its filter.
"""

from __future__ import annotations

from collections.abc import Mapping

from planning.hosts.hostfiles import JOURNAL, SYSCTL, HostFile, common_files
from planning.hosts.prepare import FUNCTIONS, HEAD, install, puts


def host_image() -> str:
    """Makes Debian 12 or Ubuntu 24.04 into the image of a fleet's hosts. Run as root, on a machine made for it."""
    bake = _HOST.replace("@install@", install())
    return "\n".join([_HOST_TITLE + HEAD, FUNCTIONS, _WAIT, puts(common_files()), bake, _SEAL])


def ecs_image() -> str:
    """Makes AWS's image for ECS (Amazon Linux 2023) into one's own. Run as root, on an instance made for it.

    It has the files that hold there as well. Docker and the agent stay as AWS has put them together, and get their
    settings from the pool's user data.
    """
    return "\n".join([_ECS_TITLE + HEAD, FUNCTIONS, _WAIT, puts(ecs_files()), _ECS, _SEAL])


def ecs_files() -> Mapping[str, HostFile]:
    return {path: file for path, file in common_files().items() if path in (JOURNAL, SYSCTL)}


def outputs() -> Mapping[str, str]:
    """File in ``packer/`` → its content."""
    return {"host.sh": host_image(), "ecs.sh": ecs_image()}


_HOST_TITLE = """\
#!/bin/sh
# Makes this machine into the image of a quayside fleet's hosts, and unfit for anything else.
# Made by `make images` from planning/hosts/machine_images.py.
"""

_ECS_TITLE = """\
#!/bin/sh
# Makes this instance of AWS's image for ECS into an image for a quayside pool, and unfit for anything else.
# Made by `make images` from planning/hosts/machine_images.py.
"""

_WAIT = """\
# What the first boot begins has to be at its end, before it is wiped away. An error of it is not ours.
if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null || true; fi
"""

_HOST = """\
# Nothing that is installed here starts here.
mkdir -p "$root/usr/sbin"
trap 'rm -f "$root/usr/sbin/policy-rc.d"' EXIT
printf '#!/bin/sh\\nexit 101\\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 update -q
apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold upgrade -q -y
@install@
sshd -t
# The first boot starts it, behind the packet filter of its host.
systemctl --quiet --root="${root:-/}" disable docker.service docker.socket
apt-get clean
rm -rf "$root"/var/lib/apt/lists/*
"""

_ECS = """\
dnf --quiet --assumeyes --releasever=latest --exclude='docker*,containerd*,runc*,ecs-init*' upgrade
dnf --quiet clean all
# What the agent has noted of this instance would be taken for the next one's.
systemctl stop ecs
rm -rf "$root"/var/lib/ecs/data/*
"""

_SEAL = """\
# What one machine alone may have, or nobody: keys, identities, what cloud-init and the system noted.
rm -f "$root"/etc/ssh/ssh_host_*
rm -f "$root"/root/.ssh/authorized_keys "$root"/home/*/.ssh/authorized_keys
rm -f "$root"/root/.bash_history "$root"/home/*/.bash_history
rm -rf "$root"/var/lib/cloud/* "$root"/var/log/journal/*
rm -f "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret "$root"/var/lib/dbus/machine-id
rm -f "$root"/var/lib/dhcp/*.leases "$root"/var/lib/dhclient/*.lease
: >"$root/etc/machine-id"
if [ -d "$root/var/log" ]; then find "$root/var/log" -type f -exec truncate -s 0 {} +; fi
: >"$state/changed"

left=$(grep -rlE 'BEGIN [A-Z ]*PRIVATE KEY' "$root/etc" "$root/root" "$root/home" 2>/dev/null || true)
if [ -n "$left" ]; then
    echo "no image: it would have private keys in it: $left" >&2
    exit 1
fi
sync
"""
