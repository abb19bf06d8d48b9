# Brings an edge that was just made back to the routing that it had, and waits until it serves. Of one that was there
# already, nothing changes. It speaks to the host's engine by the docker CLI.
#
# QUAYSIDE_EDGE     its container's name
# QUAYSIDE_HOST     its host's, for messages; empty on this machine
# QUAYSIDE_SETTLE   seconds until a balancer has seen that it serves
# shellcheck disable=SC2016 # what `inside` is given expands inside the edge
set -u
on=${QUAYSIDE_HOST:+ on $QUAYSIDE_HOST}
inside() { QUAYSIDE_LIMIT=120 docker exec "$QUAYSIDE_EDGE" sh -c "cd /var/lib/haproxy && $1"; }
fail() {
    printf '%s\n' "the edge$on does not serve: $*" "  its last log lines:" >&2
    docker logs --tail 10 "$QUAYSIDE_EDGE" 2>&1 | sed 's/^/    | /' >&2
    exit 1
}

limit=$(($(date +%s) + 30))
late() { [ "$(date +%s)" -ge "$limit" ]; }
until inside 'test -s haproxy.cfg' 2>/dev/null; do
    state=$(docker inspect -f '{{.State.Status}} {{.State.Error}}' "$QUAYSIDE_EDGE" 2>&1)
    late && fail "its container does not run ($state)"
    case $state in
    # It was made, and could not start: another program had its port. Pulumi has it as done, and starts it no more.
    created* | exited*) docker start "$QUAYSIDE_EDGE" >/dev/null 2>&1 || sleep 1 ;;
    esac
    sleep 0.2
done
if ! inside '[ "$(cat joined 2>/dev/null)" = "$HOSTNAME" ]'; then
    # What the last release did: its networks are no part of the container's declaration, where a change would replace it.
    inside "sed -n 's/^#: network //p' haproxy.cfg" | while read -r network address; do
        # A network that is gone is for the next release to see to.
        docker network connect --ip "$address" "$network" "$QUAYSIDE_EDGE" 2>/dev/null || :
    done
    inside 'printf %s "$HOSTNAME" >joined.new && mv joined.new joined' || fail "its volume cannot be written"
    new=1
fi
# HAProxy answers its own statistics socket as soon as it has taken the configuration.
until inside 'echo "show info" | timeout 2 nc 127.0.0.1 9902 | grep -q ^Pid' 2>/dev/null; do
    late && fail "it does not answer within 30 s"
    sleep 0.2
done
[ -n "${new-}" ] || exit 0
# A backend without a server that is up was perhaps without one before: that is no reason to stop.
limit=$(($(date +%s) + 5))
until inside 'echo "show stat" | timeout 2 nc 127.0.0.1 9902' 2>/dev/null | awk -F, '
    $1 ~ /^svc_/ && $2 != "BACKEND" { there[$1]; if ($18 ~ /^UP|^no check/) up[$1] }
    END { for (name in there) if (!(name in up)) exit 1 }'; do
    late && break
    sleep 0.2
done
if inside "grep -q '^#: server' haproxy.cfg"; then sleep "$QUAYSIDE_SETTLE"; fi
