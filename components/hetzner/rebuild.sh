# Lets a server be rebuilt only when nothing runs on it that could run elsewhere. Prints its generation.
#
# QUAYSIDE_HOST         its name, for messages
# QUAYSIDE_GENERATION   what it is to be
# QUAYSIDE_DOWN         1: it is known to be dead
# QUAYSIDE_TYPE         server type, and QUAYSIDE_LOCATION, that it is made anew with
# HCLOUD_TOKEN          empty: nobody asks whether Hetzner has one
# QUAYSIDE_STACK        label of the stack's containers
# QUAYSIDE_OPTIONS      arguments of ssh; QUAYSIDE_DESTINATION: user@address
set -u
before=${PULUMI_COMMAND_STDOUT-}

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Before the old one is deleted: a type that is sold out, or not sold there any more, would leave none.
in_stock() {
    [ -n "${HCLOUD_TOKEN-}" ] && [ "${QUAYSIDE_REBUILD_ANYWAY-}" != 1 ] || return 0
    command -v python3 >/dev/null || {
        echo "$QUAYSIDE_HOST: there is no python3 here to ask Hetzner with whether it has a $QUAYSIDE_TYPE in $QUAYSIDE_LOCATION" >&2
        return 0
    }
    python3 - <<'END' || exit 1
import json, os, sys, urllib.error, urllib.request

host, kind, place = (os.environ["QUAYSIDE_" + name] for name in ("HOST", "TYPE", "LOCATION"))
base = os.environ.get("HCLOUD_ENDPOINT") or "https://api.hetzner.cloud/v1"
asked = urllib.request.Request(
    f"{base}/server_types?name={kind}", headers={"Authorization": "Bearer " + os.environ["HCLOUD_TOKEN"]}
)
try:
    with urllib.request.urlopen(asked, timeout=20) as answer:
        types = json.load(answer)["server_types"]
except (OSError, ValueError, KeyError) as error:
    sys.exit(f"{host} is to be rebuilt, and Hetzner does not say whether it has a {kind} in {place}, so nothing was done: {error}\n"
             "    run `up` again, or without this question: QUAYSIDE_REBUILD_ANYWAY=1 pulumi up")
offers = [offer for one in types for offer in one.get("locations") or [] if offer.get("name") == place]
if not types or not offers:
    trouble = f"Hetzner does not sell a {kind} in {place}"
elif offers[0].get("available") is False:
    trouble = f"Hetzner has no {kind} in {place} now"
else:
    sys.exit(0)
others = sorted({offer["name"] for one in types for offer in one.get("locations") or [] if offer.get("available")})
sys.exit(f"{host} is to be rebuilt, and {trouble}, so nothing was done"
         + (f" (there are some in {', '.join(others)}; a host stays where its address is)" if others else "") + "\n"
         "    take another type, wait, or set its generation back; or try all the same: QUAYSIDE_REBUILD_ANYWAY=1 pulumi up")
END
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
                "    if access.deploy_key was raised as well: set the generation back, run \`up\`, and raise it then" \
                "    if no host lets you in, quayside:access.ssh of the last \`up\` may not have your address" \
                "    if it is dead, set its generation back and declare it down; an \`up\` later, rebuild it"
        # What has its data there waits for the new machine.
        runs=$(printf '%s\n' "$said" | sed -n '/^\(edge\|stateful\|files\) /!s/^[a-z]* //p' | tr '\n' ' ')
        [ -z "$runs" ] ||
            fail "$QUAYSIDE_HOST is to be rebuilt (generation ${before%% *} to $QUAYSIDE_GENERATION), and is not drained, so nothing was done: $runs" \
                "    set its generation back and capacity.drain: [$QUAYSIDE_HOST], run \`up\`, and raise it then"
        ;;
    esac
    in_stock
fi
if [ "$QUAYSIDE_DOWN" = 1 ]; then
    echo "$QUAYSIDE_GENERATION down"
else
    echo "$QUAYSIDE_GENERATION"
fi
