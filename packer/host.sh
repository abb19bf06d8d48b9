#!/bin/sh
# Makes this machine into the image of a quayside fleet's hosts, and unfit for anything else.
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

put 0644 /etc/apt/apt.conf.d/52quayside <<'QUAYSIDE-END'
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
Unattended-Upgrade::Package-Blacklist { "docker"; "containerd"; "runc"; };
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
QUAYSIDE-END

put 0644 /etc/chrony/conf.d/quayside.conf <<'QUAYSIDE-END'
# Certificates and logs need the time at once, however wrong the clock was after a pause of the machine.
makestep 1 -1
QUAYSIDE-END

put 0644 /etc/ssh/sshd_config.d/00-quayside.conf <<'QUAYSIDE-END'
# Before every other file of this folder: sshd takes the first value it finds.
# An `up` opens about 31 connections at once for 20 containers (measured); the default of MaxStartups refuses them.
MaxStartups 100:30:200
MaxSessions 100
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
ClientAliveInterval 30
ClientAliveCountMax 4
QUAYSIDE-END

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

put 0644 /etc/systemd/system/docker.service.d/quayside.conf <<'QUAYSIDE-END'
[Unit]
Wants=quayside-firewall.service quayside-swap.service
After=quayside-firewall.service quayside-swap.service
QUAYSIDE-END

put 0644 /etc/systemd/system/quayside-firewall.service <<'QUAYSIDE-END'
[Unit]
Description=Packet filter of the quayside fleet
DefaultDependencies=no
Wants=network-pre.target
After=local-fs.target
Before=network-pre.target docker.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/quayside-firewall

[Install]
WantedBy=multi-user.target
QUAYSIDE-END

put 0644 /etc/systemd/system/quayside-prune.service <<'QUAYSIDE-END'
[Unit]
Description=Removal of images that none of the last releases used
Requires=docker.service
After=docker.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/quayside-images prune
QUAYSIDE-END

put 0644 /etc/systemd/system/quayside-prune.timer <<'QUAYSIDE-END'
[Unit]
Description=Daily removal of unused images

[Timer]
OnCalendar=04:00
RandomizedDelaySec=2h
Persistent=true

[Install]
WantedBy=timers.target
QUAYSIDE-END

put 0644 /etc/systemd/system/quayside-swap.service <<'QUAYSIDE-END'
[Unit]
Description=Swap file of the quayside fleet

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/quayside-swap

[Install]
WantedBy=multi-user.target
QUAYSIDE-END

put 0755 /usr/local/sbin/quayside-images <<'QUAYSIDE-END'
#!/bin/sh
# Images on this host. `note` remembers those in use, before a release changes that; `prune` removes those that neither
# a container nor one of the last 5 releases uses, and that nobody used at the last prune either: a release may just
# have pulled them. `prune now` does not wait for that.
set -eu
state=${QUAYSIDE_ROOT:-}/var/lib/quayside
exec 9>"$state/images.lock"
flock -w 300 9 || { echo "images are being removed since five minutes ago; does Docker hang?" >&2; exit 1; }

used() { docker ps -aq | xargs -r docker inspect --format '{{.Image}}' | sort -u; }

note() {
    now=$(used | tr '\n' ' ')
    [ -n "$now" ] || return 0
    past=$(tail -n 5 "$state/images" 2>/dev/null || true)
    [ "$(printf '%s\n' "$past" | tail -n 1)" != "$now" ] || return 0
    printf '%s\n' "$past" "$now" | sed '/^$/d' | tail -n 5 >"$state/images.new" &&
        mv "$state/images.new" "$state/images"
}

# Images have to go when the disk is full and nothing can be noted: the lists are variables.
prune() {
    note || echo "what is in use was not noted" >&2
    kept=$({ used; if [ -e "$state/images" ]; then tr ' ' '\n' <"$state/images"; fi; } | sort -u)
    free=$(docker image ls -q --no-trunc | sort -u | grep -vxF -e "$kept" || true)
    unused=$free
    [ "${1-}" = now ] || unused=$(cat "$state/images.unused" 2>/dev/null || true)
    names='{{range .RepoTags}}{{println .}}{{end}}{{range .RepoDigests}}{{println .}}{{end}}'
    for id in $(printf '%s\n' "$free" | grep -xF -e "$unused"); do
        for name in $(docker image inspect --format "$names" "$id") "$id"; do
            docker image rm "$name" >/dev/null 2>&1 || true
        done
    done
    printf '%s\n' "$free" >"$state/images.new" && mv "$state/images.new" "$state/images.unused"
}

"$@"
QUAYSIDE-END

# Nothing that is installed here starts here.
mkdir -p "$root/usr/sbin"
trap 'rm -f "$root/usr/sbin/policy-rc.d"' EXIT
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 update -q
apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold upgrade -q -y
# All files are there before Docker is, so that it starts with them, and behind the packet filter.
missing=
for package in docker.io iptables chrony unattended-upgrades; do
    # Docker by any other package is Docker as well.
    if [ "$package" = docker.io ] && command -v dockerd >/dev/null; then continue; fi
    installed "$package" || missing="$missing $package"
done
# shellcheck disable=SC2086 # names of packages, to be split
[ -z "$missing" ] || get $missing
# Debian 13 has the client in a package of its own, which docker.io only recommends.
command -v docker >/dev/null || get docker-cli
# Upgrading these may restart what runs; it is done by hand, one drained host at a time.
held=$(apt-mark showhold)
for package in docker.io docker-cli docker-ce docker-ce-cli containerd containerd.io runc; do
    if installed "$package" && ! echo "$held" | grep -qx "$package"; then apt-mark hold "$package"; fi
done

sshd -t
# The first boot starts it, behind the packet filter of its host.
systemctl --quiet --root="${root:-/}" disable docker.service docker.socket
apt-get clean
rm -rf "$root"/var/lib/apt/lists/*

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
