#!/bin/sh
# Makes this instance of AWS's image for ECS into an image for a quayside pool, and unfit for anything else.
# Made by `make images` from planning/hosts/machine_images.py.
set -eu
umask 022
root=${QUAYSIDE_ROOT:-}
state=$root/var/lib/quayside
mkdir -p "$state"
# What was written, in this run or in an earlier one that did not get to its end; and every file that is ours.
touch "$state/changed" "$state/files"

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

get() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=300 update -q
    apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install -q -y --no-install-recommends "$@"
}

# Put stdin at $2 with mode $1, in one step, unless it is there already.
put() {
    new=$root$2.quayside
    mkdir -p "${new%/*}"
    cat >"$new"
    chmod "$1" "$new"
    if [ -f "$root$2" ] && cmp -s "$new" "$root$2" && [ "0$(stat -c %a "$root$2")" = "$1" ]; then
        rm "$new"
    else
        if [ -f "$root$2" ] && ! grep -qxF "$2" "$state/files"; then
            cp -p "$root$2" "$root$2.before-quayside"
        fi
        echo "$2" >>"$state/changed"
        mv "$new" "$root$2"
        echo "changed $2"
    fi
    grep -qxF "$2" "$state/files" || echo "$2" >>"$state/files"
}

# What the first boot begins has to be at its end, before it is wiped away. An error of it is not ours.
if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null || true; fi

put 0644 /etc/sysctl.d/60-quayside.conf <<'QUAYSIDE-END'
# Swap is for what is never touched again.
vm.swappiness = 10
# Connections of a burst wait here until the edge takes them.
net.core.somaxconn = 4096
net.ipv4.tcp_max_syn_backlog = 4096
QUAYSIDE-END

put 0644 /etc/systemd/journald.conf.d/quayside.conf <<'QUAYSIDE-END'
[Journal]
SystemMaxUse=500M
MaxRetentionSec=1month
QUAYSIDE-END

dnf --quiet --assumeyes --releasever=latest --exclude='docker*,containerd*,runc*,ecs-init*' upgrade
dnf --quiet clean all
# What the agent has noted of this instance would be taken for the next one's.
systemctl stop ecs
rm -rf "$root"/var/lib/ecs/data/*

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
