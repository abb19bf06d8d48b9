# Room on one host for what is placed there, before any of it is made; or an end of it, when the host leaves the program.
# Takes `make` or `away`. Prints what it made room for: that is what the next run compares with.
#
# QUAYSIDE_HOST         its name, for messages
# QUAYSIDE_OPTIONS      arguments of ssh; QUAYSIDE_DESTINATION: user@address
# QUAYSIDE_DOWN         1: the host is known to be dead, and is not called
# QUAYSIDE_OWNER        the stack's mark on its hosts
# QUAYSIDE_STACK        label of the stack's containers
# QUAYSIDE_KEEP         what stays as it is
# QUAYSIDE_DATA         services whose volume the host's engine has
# QUAYSIDE_WANTED       a line a slot: name, bytes, digest
# QUAYSIDE_THERE        the script that runs on the host
set -u
before=${PULUMI_COMMAND_STDOUT-}
had=$(printf '%s\n' "$before" | sed -n 's/^data //p')

refuse() {
    printf '%s\n' "$@" >&2
    exit 1
}

if [ "$QUAYSIDE_DOWN" = 1 ]; then
    [ "$1" = make ] || exit 0
    [ -n "$before" ] || [ -z "$QUAYSIDE_KEEP" ] ||
        refuse "$QUAYSIDE_HOST is declared down, and nothing was ever made there, which would take a call to it" \
            "    leave it out of capacity, and of capacity.down, until it is there"
    for service in $QUAYSIDE_DATA; do
        case " $had " in *" $service "*) continue ;; esac
        # A former version did not say.
        printf '%s\n' "$before" | grep -q '^data' || continue
        refuse "$service has no volume on $QUAYSIDE_HOST yet, and $QUAYSIDE_HOST is declared down, so none is made" \
            "    set services/$service/place to another host; or leave it out of this stack until $QUAYSIDE_HOST is back:" \
            "    quayside:services: {$service: null}"
    done
    # All that was placed there is forgotten meanwhile; by this word it is swept away once the host is back.
    printf 'down\ndata %s\n' "$QUAYSIDE_DATA"
    exit 0
fi
# Version and newest API of the client here, which asks nobody for it; `-` where there is none.
client=$(DOCKER_HOST=unix:///nowhere docker version --format '{{.Client.Version}} {{.Client.DefaultAPIVersion}}' 2>/dev/null | head -n 1)
said=$(
    {
        printf "client='%s'\n" "${client:--}"
        printf "owner='%s'\n" "${QUAYSIDE_OWNER-}"
        printf "task='%s'\nstack='%s'\nkeep='%s'\nwanted='%s'\nbefore='%s'\n" \
            "$1" "$QUAYSIDE_STACK" "$QUAYSIDE_KEEP" "${QUAYSIDE_WANTED-}" "$before"
        printf '%s\n' "$QUAYSIDE_THERE"
    } | eval "ssh -o ControlMaster=no -o ControlPath=none $QUAYSIDE_OPTIONS \"\$QUAYSIDE_DESTINATION\" sh -s" 2>&1
)
code=$?
if [ "$code" = 255 ]; then
    printf '%s\n' "cannot connect to $QUAYSIDE_HOST ($QUAYSIDE_DESTINATION), so nothing was done there:" "$said" \
        "$(advise "$QUAYSIDE_HOST" "$QUAYSIDE_DESTINATION" "")" >&2
    exit 1
fi
if [ "$code" != 0 ]; then
    printf '%s\n' "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION): $said" >&2
    exit 1
fi
[ -z "$said" ] || printf '%s\n' "$said" >&2
[ "$1" = make ] || exit 0
# A volume that was taken out of the program may be there yet: it is protected, and that `up` ended there.
for service in $had; do
    case " $QUAYSIDE_DATA " in *" $service "*) ;; *) QUAYSIDE_DATA="$QUAYSIDE_DATA $service" ;; esac
done
printf 'up\n%s\ndata %s\n' "$QUAYSIDE_WANTED" "$QUAYSIDE_DATA"
