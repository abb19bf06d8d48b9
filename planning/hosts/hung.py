"""What starts a replica again that runs and does not answer: Docker itself looks only at whether a process is there.

On a host, since nothing in a container may speak to its engine. ECS does the same by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from planning.hosts.hostfiles import HostFile

HUNG = "/usr/local/sbin/quayside-hung"
HUNG_UNIT = "/etc/systemd/system/quayside-hung.service"
LIMIT = 30
"""Seconds that the edge's checks may fail."""

SCRIPT = """\
#!/bin/sh
# Starts replicas again that hang: that run, while the edge's checks have failed for @limit@ s, or their own health
# command does. Never during a release, within a replica's grace, or while a backup holds it; one of a service at a
# time, and the same one ever more rarely. "once" as argument: one round. QUAYSIDE_HUNG: the folder of its notes.
set -u
notes=${QUAYSIDE_HUNG:-/run/quayside-hung}
limit=${QUAYSIDE_LIMIT:-@limit@}
mkdir -p "$notes" || exit 1
state='{{.State.Running}} {{.State.Paused}} {{.State.StartedAt}}
{{- if .State.Health}} {{.State.Health.Status}}{{end}}'

# Lines: kind service slot container grace, of the servers that the edge's running configuration has on this host.
suspects() { # edge
    # shellcheck disable=SC2016 # expands inside the edge
    timeout 20 docker exec "$1" sh -c 'cd /var/lib/haproxy && (flock -n 9) 9>>release.lock &&
        # What a killed release left behind counts for as long as a release may take.
        [ -z "$(find before.cfg -mmin -180 2>/dev/null)" ] && sed -n "s/^#: server //p" haproxy.cfg && echo --- &&
        echo "show stat" | timeout 5 nc 127.0.0.1 9902' 2>/dev/null | awk -v limit="$limit" '
        /^---$/ { stat = 1; FS = ","; next }
        !stat { at[$1, $2] = $3 " " $10; if ($5 == "docker") print "docker", $1, $2, $3, $10; next }
        /^# / { for (i = 1; i <= NF; i++) column[$i] = i; next }
        $column["status"] ~ /\\// { next } # "DOWN 1/2" answers again
        $1 ~ /^svc_/ && $column["status"] ~ /^DOWN/ && $column["lastchg"] + 0 >= limit {
            service = substr($1, 5)
            if ((service, $2) in at) print "edge", service, $2, at[service, $2]
        }'
}

look() { # kind service slot container grace
    read -r running paused started health <<EOS
$(timeout 20 docker inspect -f "$state" "$4" 2>/dev/null)
EOS
    [ "$running $paused" = "true false" ] || return 0
    [ "$1" != docker ] || [ "$health" = unhealthy ] || return 0
    now=$(date +%s)
    [ $((now - $(date -d "$started" +%s))) -ge $(($5 + limit)) ] || return 0
    # Another one of this service began a moment ago: it may be the one that serves.
    other=0
    [ ! -f "$notes/$2" ] || read -r other <"$notes/$2"
    [ $((now - other)) -ge $(($5 + limit)) ] || return 0
    last=0 count=0
    [ ! -f "$notes/$2.$3" ] || read -r last count <"$notes/$2.$3"
    # Twice as long after each time, up to an hour; forgotten once it was well for as long again.
    wait=$((($5 + limit) << (count < 7 ? count : 7)))
    [ "$wait" -le 3600 ] || wait=3600
    [ $((now - last)) -ge "$wait" ] || return 0
    [ $((now - last)) -lt $((2 * wait + 600)) ] || count=0
    echo "$now" >"$notes/$2"
    echo "$now $((count + 1))" >"$notes/$2.$3"
    echo "<4>$3 hangs: it runs, and its health check fails; starting $4 again"
    timeout 60 docker restart -t 10 "$4" >/dev/null || echo "<3>$4 does not start again"
}

round() {
    for edge in $(timeout 20 docker ps -q --filter label=dev.quayside.role=edge 2>/dev/null); do
        suspects "$edge" | while read -r line; do
            # shellcheck disable=SC2086 # words, to be split
            look $line </dev/null
        done
    done
}

round
[ "${1:-}" != once ] || exit 0
while sleep 10; do round; done
""".replace("@limit@", str(LIMIT))

UNIT = f"""\
[Unit]
Description=Start of replicas that hang, on a host of a quayside fleet
After=docker.service

[Service]
ExecStart={HUNG}
Restart=always
RestartSec=30

[Install]
WantedBy=multi-user.target
"""


def hung_files() -> Mapping[str, HostFile]:
    """Path → file. They come over SSH: user data has no room for them."""
    return {HUNG: HostFile(0o755, SCRIPT), HUNG_UNIT: HostFile(0o644, UNIT)}
