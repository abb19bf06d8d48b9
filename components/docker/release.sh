# One release on one host: join, accept, gate, switch, drain, leave. Reads the edge's whole configuration on stdin.
# Hosts of a fleet wait for each other between accept, route and forget: QUAYSIDE_PHASE says which, QUAYSIDE_HOST where.
# For a burst, permanent hosts do the same once more, by admit, burst and settle, which read what it lays over it.
# It runs where Pulumi runs and speaks to the host's engine by the docker CLI; the part that needs the edge's own
# network runs inside the edge (accept.sh, gate.sh and those named after them). When it fails before the switch, nothing old has been touched.
# shellcheck disable=SC2016 # what `owner` is given expands inside the edge
set -eu

config=$(cat)
phase=${QUAYSIDE_PHASE:-all}
step=$phase
on=${QUAYSIDE_HOST:+ on $QUAYSIDE_HOST}
in_phase() { [ "$phase" = all ] || [ "$phase" = "$1" ]; }
directives() { printf '%s\n' "$config" | sed -n "s/^#: $1 //p"; }
fail() { printf '%s\n' "${QUAYSIDE_HOST:+$QUAYSIDE_HOST: }$*" >&2; exit 1; }
in_edge() { docker exec -i -e QUAYSIDE_RUN="$run" -e QUAYSIDE_PHASE="$phase" "$QUAYSIDE_EDGE" sh -c "$1"; }
# The run that came last owns the edge: every script of an older one that is still at work notices, and stops.
owner() { QUAYSIDE_LIMIT=120 in_edge "cd /var/lib/haproxy && exec 8>owner.lock && flock 8 && $1" </dev/null; }

docker inspect "$QUAYSIDE_EDGE" >/dev/null 2>&1 || fail "the edge's container $QUAYSIDE_EDGE is gone; run \`pulumi refresh\`, then up again"
run=$$-$(date +%s)
owner 'echo "$QUAYSIDE_RUN" >owner'

if [ "$phase" = files ]; then
    problem=$(printf '%s\n' "$config" | in_edge "$QUAYSIDE_FILES" 2>&1) || fail "the edge's files: $problem"
    exit 0
fi

joined() {
    docker inspect -f '{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}} {{if $it.IPAMConfig}}{{$it.IPAMConfig.IPv4Address}}{{end}}
{{end}}' "$QUAYSIDE_EDGE"
}
# Joins what the edge's own declaration does not name: a change there would replace its container.
join() {
    now=$(joined)
    directives network | while read -r network address; do
        at=$(printf '%s\n' "$now" | awk -v n="$network" '$1 == n { print $NF }')
        [ "$at" = "$address" ] && continue
        [ -z "$at" ] || docker network disconnect "$network" "$QUAYSIDE_EDGE"
        docker network connect --ip "$address" "$network" "$QUAYSIDE_EDGE"
    done
}
# Leaves the stack's networks that are not listed, or Docker could not remove them.
leave() { # networks
    joined | awk 'NF { print $1 }' | while read -r network; do
        case $network in "$QUAYSIDE_PREFIX"*) ;; *) continue ;; esac
        printf '%s\n' "$1" | awk -v n="$network" '$1 == n { found = 1 } END { exit !found }' && continue
        owner '[ "$(cat owner)" = "$QUAYSIDE_RUN" ]' || break
        docker network disconnect "$network" "$QUAYSIDE_EDGE"
    done
}

# A release that fails leaves nothing behind that would hold up its own removal: if its author takes the change back, this
# command does not run again. Where a later release has taken over, all of that is its own affair.
undo() {
    [ "$1" != 0 ] || return 0
    # Later, other hosts may send here already.
    in_phase accept || return 0
    owner '[ "$(cat owner)" = "$QUAYSIDE_RUN" ] && echo "$QUAYSIDE_RUN-undone" >owner' || return 0
    run=$run-undone
    needed=$(in_edge "$QUAYSIDE_RESTORE" </dev/null) || return 0
    leave "$needed"
}
trap 'undo $?' EXIT
trap 'exit 130' INT TERM

running=$(docker exec "$QUAYSIDE_EDGE" cat /var/lib/haproxy/haproxy.cfg 2>/dev/null | sed -n 's/^#: server //p' || true)
is_new() { ! printf '%s\n' "$running" | awk -v c="$1" -v i="$2" '$3 == c && $4 == i { found = 1 } END { exit !found }'; }
state_of() { docker inspect -f '{{.State.Status}} {{.RestartCount}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' "$1" 2>/dev/null || echo "gone 0 none"; }
health_of() { docker inspect -f '{{if .State.Health}}{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}
{{end}}{{end}}' "$1" 2>/dev/null | sed '/^$/d' | tail -n 1; }

report() { # service slot container id answer
    printf 'release of "%s" stopped%s: replica %s did not become healthy\n' "$1" "$on" "$2" >&2
    printf '  health: %s\n' "$5" >&2
    docker inspect -f '  container: {{.State.Status}}, restarted {{.RestartCount}} times, last exit code {{.State.ExitCode}}' "$3" >&2 2>/dev/null || true
    if ! printf '%s\n' "$running" | awk -v s="$1" '$1 == s { found = 1 } END { exit !found }'; then
        echo "  it is new here: no older version of it serves" >&2
    elif [ "$4" = - ]; then
        echo "  the old version serves on" >&2
    else
        echo "  a service with a volume stops before its successor starts: it is down until this is mended" >&2
    fi
    printf '  last log lines of %s:\n' "$3" >&2
    docker logs --tail 15 "$3" 2>&1 | sed 's/^/    | /' >&2 || true
}

# Prints what the script said, or tells what failed, a line a replica.
carry_out() { # script
    status=0
    verdict=$(printf '%s\n' "$config" | in_edge "$1") || status=$?
    [ "$status" != 0 ] || return 0
    printf '%s\n' "$verdict" | while IFS= read -r line; do
        case $line in
            "unhealthy "*)
                read -r _word service slot container id answer <<EOF
$line
EOF
                report "$service" "$slot" "$container" "$id" "$answer"
                ;;
            *) printf '%s\n' "${QUAYSIDE_HOST:+$QUAYSIDE_HOST: }$line" >&2 ;;
        esac
    done
    exit 1
}
said() { printf '%s\n' "$verdict" | grep -v '^retired ' || true; }

if in_phase accept; then

join

# What the new configuration names and somebody stopped: the engine does not start it, and it could not become healthy.
directives server | while read -r _service slot container _rest; do
    [ "$(docker inspect -f '{{.State.Status}}' "$container" 2>/dev/null)" = exited ] || continue
    echo "$slot was stopped: starting $container" >&2
    docker start "$container" >/dev/null
done

# Accept: what is new may reach what it uses, so that it can become healthy.
accepted=$(printf '%s\n' "$config" | in_edge "$QUAYSIDE_ACCEPT") || fail "$accepted"
[ -z "$accepted" ] || printf '%s\n' "${QUAYSIDE_HOST:+$QUAYSIDE_HOST: }$accepted" >&2

# Gate, for what only the engine can tell: a Docker health check or, without one, running and not restarted.
# A container without a health check must run for a moment, so that one that crashes at start is not let through. Not for
# its whole `grace`: that is how long we wait for an unhealthy one, and every good release would take as long; a shorter
# one is enough. What counts is what it does from here on: before, it may have ended because what it uses was not reachable,
# and if that counted, no later release could ever let it in. The engine may be waiting to start it again: it is started now.
settle=5
failed=0
started=$(date +%s)
while read -r service slot container id gate _port _path _host _timeout grace _drain; do
    [ "$gate" = docker ] || continue
    is_new "$container" "$id" || continue
    before='' since=0 begun=''
    while :; do
        read -r status restarts health <<EOF
$(state_of "$container")
EOF
        waited=$(($(date +%s) - started))
        if [ -z "$before$begun" ] && [ "$status" = restarting ]; then
            docker restart "$container" >/dev/null 2>&1 || true
            begun=yes
            continue
        fi
        if [ -z "$before" ]; then
            before=$restarts
            [ "$restarts$begun" = 0 ] || since=$waited
        fi
        again=$((restarts - before))
        [ "$health" = healthy ] && break
        [ "$health" = none ] && [ "$status" = running ] && [ "$again" = 0 ] &&
            { [ $((waited - since)) -ge "$settle" ] || [ "$waited" -ge "$grace" ]; } && break
        if [ "$health" = none ] && { [ "$again" -ge 2 ] || [ "$status" = exited ] || [ "$status" = gone ]; } || [ "$waited" -ge "$grace" ]; then
            answer="container is $status, restarted $again times; a worker without health.command has to run for $settle s without that"
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

# A run that gave up may have left a network after we found it joined.
join

# Gate by health path, inside the edge.
carry_out "$QUAYSIDE_GATE"

fi
if in_phase route; then

[ "$phase" = all ] || join
carry_out "$QUAYSIDE_SWITCH"
said

fi
case $phase in
    admit) carry_out "$QUAYSIDE_ADMIT" ;;
    burst)
        carry_out "$QUAYSIDE_BURST"
        said
        ;;
    forget)
        # Standing burst hosts still ask for what the old release had, until they have the new one themselves.
        if owner '[ -s burst.cfg ]'; then phase=later; fi
        ;;
    settle)
        config=$(docker exec "$QUAYSIDE_EDGE" cat /var/lib/haproxy/main.cfg) || fail "this edge was never routed; up again"
        phase=forget
        ;;
esac
if in_phase forget; then

if [ "$phase" = forget ]; then
    carry_out "$QUAYSIDE_DRAIN"
    said
fi
# Names that only old containers use go when those have ended, so they end here and not by the engine, which would come
# only after us. What they still ask for while they shut down is answered.
if [ "$phase" = forget ] || printf '%s\n' "$verdict" | grep -q '^retired '; then
    for who in caller called; do
        printf '%s\n' "$verdict" | awk -v who="$who" '$1 == "retired" && $2 == who { print $3, $4 }' | {
            while read -r container drain; do
                docker stop -t "$drain" "$container" >/dev/null 2>&1 & # one that is gone already is as good
            done
            wait
        }
    done
    forgotten=$(in_edge "$QUAYSIDE_FORGET" </dev/null) || fail "$forgotten"
fi

leave "$(directives network)"
[ "$phase" = all ] || carry_out "$QUAYSIDE_TIDY"

fi
# What waits for this step runs again when it has.
[ "$step" = all ] || echo "$step $run"
