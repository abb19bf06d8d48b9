# Lets a server be rebuilt only when nothing runs on it that could run elsewhere. Prints its generation.
#
# QUAYSIDE_HOST         its name, for messages
# QUAYSIDE_GENERATION   what it is to be
# QUAYSIDE_DOWN         1: it is known to be dead
# QUAYSIDE_STACK        label of the stack's containers
# QUAYSIDE_OPTIONS      arguments of ssh; QUAYSIDE_DESTINATION: user@address
set -u
before=${PULUMI_COMMAND_STDOUT-}

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

if [ -n "$before" ] && [ "${before%% *}" != "$QUAYSIDE_GENERATION" ]; then
    [ "$QUAYSIDE_DOWN" != 1 ] ||
        fail "$QUAYSIDE_HOST is declared down, and its generation changed from ${before%% *} to $QUAYSIDE_GENERATION:" \
            "    take it out of capacity.down to have it rebuilt, or set its generation back"
    case $before in
    *" down") ;; # It was given up by an earlier run: there is nothing on it to be asked for.
    *)
        list='timeout 120 docker ps --format "{{.Label \"dev.quayside.role\"}} {{.Label \"dev.quayside.slot\"}}"'
        list="$list --filter label=dev.quayside.stack=$QUAYSIDE_STACK"
        said=$(eval "ssh -o ControlMaster=no -o ControlPath=none $QUAYSIDE_OPTIONS \"\$QUAYSIDE_DESTINATION\" \"\$list\"" 2>&1) ||
            fail "cannot see whether $QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) is drained, so it was not rebuilt:" "$said" \
                "    if no host lets you in, quayside:access.ssh of the last \`up\` may not have your address" \
                "    if it is dead, set its generation back and declare it down; an \`up\` later, rebuild it"
        # What has its data there waits for the new machine.
        runs=$(printf '%s\n' "$said" | sed -n '/^\(edge\|stateful\|files\) /!s/^[a-z]* //p' | tr '\n' ' ')
        [ -z "$runs" ] ||
            fail "$QUAYSIDE_HOST is to be rebuilt (generation ${before%% *} to $QUAYSIDE_GENERATION), and is not drained, so nothing was done: $runs" \
                "    set its generation back and capacity.drain: [$QUAYSIDE_HOST], run \`up\`, and raise it then"
        ;;
    esac
fi
if [ "$QUAYSIDE_DOWN" = 1 ]; then
    echo "$QUAYSIDE_GENERATION down"
else
    echo "$QUAYSIDE_GENERATION"
fi
