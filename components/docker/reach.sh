# Runs a script with a host's Docker engine in reach: an ssh connection of its own, with the engine's socket at this end.
# It ends with the script, or with us, however that ends: its far end waits for a pipe that only we hold open.
# Takes the script; QUAYSIDE_OPTIONS are ssh's, quoted for a shell.
set -u
script=$1
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
folder=$(mktemp -d /tmp/quayside.XXXXXX) || exit 1
ssh=
cleanup() {
    [ -z "$ssh" ] || kill "$ssh" 2>/dev/null
    rm -rf "$folder"
}
trap cleanup EXIT
# The script gets the signal, too, and has to undo what it did by this connection: it is waited for.
trap : INT TERM HUP

fail() {
    echo "cannot $1 $QUAYSIDE_HOST ($QUAYSIDE_DESTINATION):" >&2
    tail -n 5 "$folder/log" | sed 's/^/  /' >&2
    advise "$QUAYSIDE_HOST" "$QUAYSIDE_DESTINATION" "" >&2
    exit 1
}

mkfifo "$folder/life"
# Nobody else's connection: one that is shared would outlive us, or end under us.
eval "set -- -o ControlMaster=no -o ControlPath=none -o ControlPersist=no $QUAYSIDE_OPTIONS"
ssh "$@" -o ExitOnForwardFailure=yes -o StreamLocalBindUnlink=yes -L "$folder/docker.sock:/var/run/docker.sock" \
    "$QUAYSIDE_DESTINATION" 'exec cat >/dev/null' <"$folder/life" >"$folder/log" 2>&1 &
ssh=$!
exec 7>"$folder/life"
until [ -S "$folder/docker.sock" ]; do
    kill -0 "$ssh" 2>/dev/null || fail "connect to"
    sleep 0.05
done
export DOCKER_HOST="unix://$folder/docker.sock"
docker version -f '{{.Server.Version}}' >>"$folder/log" 2>&1 || fail "reach Docker on"

sh -c "$script"
