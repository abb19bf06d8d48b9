# Room on one host for what is placed there, before any of it is made; or an end of it, when the host leaves the program.
# Takes `make` or `away`. Prints what it made room for: that is what the next run compares with.
#
# QUAYSIDE_HOST         its name, for messages
# QUAYSIDE_OPTIONS      arguments of ssh; QUAYSIDE_DESTINATION: user@address
# QUAYSIDE_DOWN         1: the host is known to be dead, and is not called
# QUAYSIDE_STACK        label of the stack's containers
# QUAYSIDE_KEEP         services that stay as they are
# QUAYSIDE_WANTED       a line a slot: name, bytes, digest
# QUAYSIDE_THERE        the script that runs on the host
set -u
if [ "$QUAYSIDE_DOWN" = 1 ]; then
    # All that was placed there is forgotten meanwhile; by this word it is swept away once the host is back.
    echo down
    exit 0
fi
said=$(
    {
        printf "task='%s'\nstack='%s'\nkeep='%s'\nwanted='%s'\nbefore='%s'\n" \
            "$1" "$QUAYSIDE_STACK" "$QUAYSIDE_KEEP" "$QUAYSIDE_WANTED" "${PULUMI_COMMAND_STDOUT-}"
        printf '%s\n' "$QUAYSIDE_THERE"
    } | eval "ssh -o ControlMaster=no -o ControlPath=none $QUAYSIDE_OPTIONS \"\$QUAYSIDE_DESTINATION\" sh -s" 2>&1
)
code=$?
if [ "$code" = 255 ]; then
    printf '%s\n' "cannot connect to $QUAYSIDE_HOST ($QUAYSIDE_DESTINATION), so nothing was done there:" "$said" \
        "    if it is dead, declare it down and run again: quayside:capacity: {down: [$QUAYSIDE_HOST]}" >&2
    exit 1
fi
if [ "$code" != 0 ]; then
    printf '%s\n' "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION): $said" >&2
    exit 1
fi
[ -z "$said" ] || printf '%s\n' "$said" >&2
printf 'up\n%s\n' "$QUAYSIDE_WANTED"
