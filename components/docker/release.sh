# One release on one host: join, accept, gate, switch, drain, leave. Reads the edge's whole configuration on stdin.
# It runs where Pulumi runs and speaks to the host's engine by the docker CLI; the part that needs the edge's own
# network runs inside the edge (accept.sh, switch.sh, restore.sh). When it fails, nothing old has been touched.
set -eu

config=$(cat)
directives() { printf '%s\n' "$config" | sed -n "s/^#: $1 //p"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }
in_edge() { docker exec -i -e QUAYSIDE_RUN="$run" "$QUAYSIDE_EDGE" sh -c "$1"; }

docker inspect "$QUAYSIDE_EDGE" >/dev/null 2>&1 || fail "the edge's container $QUAYSIDE_EDGE is gone; run \`pulumi refresh\`, then up again"

# Join. The edge's own declaration names none of these networks: a change there would replace its container.
joined() {
    docker inspect -f '{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}} {{if $it.IPAMConfig}}{{$it.IPAMConfig.IPv4Address}}{{end}}
{{end}}' "$QUAYSIDE_EDGE"
}
before=$(joined)
run=$$-$(date +%s)
printf '%s\n' "$run" | in_edge 'cat >/var/lib/haproxy/owner'

# A release that fails leaves nothing behind that would hold up its own removal: if its author takes the change back, this
# command does not run again.
undo() {
    [ "$1" != 0 ] || return 0
    in_edge "$QUAYSIDE_RESTORE" </dev/null >&2 || true
    joined | awk 'NF { print $1 }' | while read -r network; do
        printf '%s\n' "$before" | awk -v n="$network" '$1 == n { found = 1 } END { exit !found }' \
            || docker network disconnect "$network" "$QUAYSIDE_EDGE"
    done
}
trap 'undo $?' EXIT
trap 'exit 130' INT TERM

directives network | while read -r network address; do
    at=$(printf '%s\n' "$before" | awk -v n="$network" '$1 == n { print $NF }')
    [ "$at" = "$address" ] && continue
    [ -z "$at" ] || docker network disconnect "$network" "$QUAYSIDE_EDGE"
    docker network connect --ip "$address" "$network" "$QUAYSIDE_EDGE"
done

# Accept: what is new may reach what it uses, so that it can become healthy.
accepted=$(printf '%s\n' "$config" | in_edge "$QUAYSIDE_ACCEPT") || fail "$accepted"

# Gate, for what only the engine can tell: a Docker health check or, without one, running and not restarted.
running=$(docker exec "$QUAYSIDE_EDGE" cat /var/lib/haproxy/haproxy.cfg 2>/dev/null | sed -n 's/^#: server //p' || true)
is_new() { ! printf '%s\n' "$running" | awk -v c="$1" -v i="$2" '$3 == c && $4 == i { found = 1 } END { exit !found }'; }
state_of() { docker inspect -f '{{.State.Status}} {{.RestartCount}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' "$1" 2>/dev/null || echo "gone 0 none"; }
health_of() { docker inspect -f '{{if .State.Health}}{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}
{{end}}{{end}}' "$1" 2>/dev/null | sed '/^$/d' | tail -n 1; }

report() { # service slot container id answer
    printf 'release of "%s" stopped: replica %s did not become healthy\n' "$1" "$2" >&2
    printf '  health: %s\n' "$5" >&2
    docker inspect -f '  container: {{.State.Status}}, restarted {{.RestartCount}} times, last exit code {{.State.ExitCode}}' "$3" >&2 2>/dev/null || true
    if [ "$4" = - ]; then
        echo "  the old version serves on" >&2
    else
        echo "  a service with a volume stops before its successor starts: it is down until this is mended" >&2
    fi
    printf '  last log lines of %s:\n' "$3" >&2
    docker logs --tail 15 "$3" 2>&1 | sed 's/^/    | /' >&2 || true
}

# A container without a health check must run for a moment, so that one that crashes at start is not let through.
settle=3
failed=0
started=$(date +%s)
while read -r service slot container id gate _port _path _host _timeout grace _drain; do
    [ "$gate" = docker ] || continue
    is_new "$container" "$id" || continue
    while :; do
        read -r status restarts health <<EOF
$(state_of "$container")
EOF
        waited=$(($(date +%s) - started))
        [ "$health" = healthy ] && break
        [ "$health" = none ] && [ "$status" = running ] && [ "$restarts" = 0 ] && [ "$waited" -ge "$settle" ] && break
        if [ "$health" = none ] && { [ "$restarts" -ge 2 ] || [ "$status" = exited ] || [ "$status" = gone ]; } || [ "$waited" -ge "$grace" ]; then
            answer="container is $status, restarted $restarts times"
            [ "$health" = none ] || answer="$health: $(health_of "$container")"
            report "$service" "$slot" "$container" "$id" "$answer, after $waited s"
            failed=1
            break
        fi
        sleep 0.5
    done
done <<EOF
$(directives server)
EOF
[ "$failed" = 0 ] || exit 1

# Gate by health path, switch, drain: inside the edge. It prints what failed, a line a replica.
status=0
verdict=$(printf '%s\n' "$config" | in_edge "$QUAYSIDE_SWITCH") || status=$?
if [ "$status" != 0 ]; then
    printf '%s\n' "$verdict" | while IFS= read -r line; do
        case $line in
            "unhealthy "*)
                read -r _word service slot container id answer <<EOF
$line
EOF
                report "$service" "$slot" "$container" "$id" "$answer"
                ;;
            *) printf '%s\n' "$line" >&2 ;;
        esac
    done
    exit 1
fi
printf '%s\n' "$verdict"

# Leave the networks of services that are gone, or Docker could not remove them.
joined | awk 'NF { print $1 }' | while read -r network; do
    case $network in "$QUAYSIDE_PREFIX"-*) ;; *) continue ;; esac
    directives network | awk -v n="$network" '$1 == n { found = 1 } END { exit !found }' \
        || docker network disconnect "$network" "$QUAYSIDE_EDGE"
done
