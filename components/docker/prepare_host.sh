# Prepares one host over SSH; what runs on it comes on stdin and may run any number of times.
#
# QUAYSIDE_HOST         its name, for messages
# QUAYSIDE_OPTIONS      arguments of ssh with the stack's key; QUAYSIDE_OWN_OPTIONS: with a person's own, or empty
# QUAYSIDE_DESTINATION  user@address; QUAYSIDE_PORT
# QUAYSIDE_SHELL        what runs the script there
# QUAYSIDE_PUBLIC_KEY   the stack's key, as authorized_keys has it
# QUAYSIDE_WAIT         seconds that a host may take to let us in
# QUAYSIDE_BOOTS        1: cloud-init is at work there at first
set -u
script=$(cat)

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

with_stack_key() { eval "ssh $QUAYSIDE_OPTIONS \"\$@\""; }
with_own_key() { eval "ssh $QUAYSIDE_OWN_OPTIONS \"\$@\""; }

other_key() {
    fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) shows another host key than the one that is known, so nothing was done:" \
        "$1" \
        "    if it is the right machine, correct host_key: ssh-keyscan -p $QUAYSIDE_PORT -t ed25519 ${QUAYSIDE_DESTINATION#*@}"
}

# Another machine may have had this address a moment ago.
with_stack_key -O exit "$QUAYSIDE_DESTINATION" >/dev/null 2>&1

deadline=$(($(date +%s) + QUAYSIDE_WAIT))
while :; do
    said=$(with_stack_key "$QUAYSIDE_DESTINATION" true 2>&1 </dev/null) && break
    case $said in
    *"Host key verification failed"* | *"IDENTIFICATION HAS CHANGED"*)
        # One that boots shows its image's key until cloud-init has laid down ours; it is not spoken to either way.
        if [ "$QUAYSIDE_BOOTS" != 1 ] || [ "$(date +%s)" -ge "$deadline" ]; then other_key "$said"; fi
        ;;
    *"Permission denied"* | *"Too many authentication failures"*)
        if [ -n "$QUAYSIDE_OWN_OPTIONS" ]; then
            # The first time here: a person's own key lets us in, and lets the stack's key in from now on.
            printf '%s\n' "$QUAYSIDE_PUBLIC_KEY" | with_own_key "$QUAYSIDE_DESTINATION" '
                umask 077 && mkdir -p ~/.ssh && touch ~/.ssh/authorized_keys && read -r key || exit 1
                grep -qxF "$key" ~/.ssh/authorized_keys && exit
                [ -z "$(tail -c 1 ~/.ssh/authorized_keys)" ] || echo >>~/.ssh/authorized_keys
                printf "%s\n" "$key" >>~/.ssh/authorized_keys' &&
                with_stack_key "$QUAYSIDE_DESTINATION" true </dev/null && break
            fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) lets in neither this stack's key nor yours" \
                "    add to ~/.ssh/authorized_keys there: $QUAYSIDE_PUBLIC_KEY"
        fi
        ;;
    esac
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) does not let us in after $QUAYSIDE_WAIT s:" "$said" \
            "    if it is dead, say so and go on without it: capacity.down: [$QUAYSIDE_HOST]"
    sleep 2
done

if [ "$QUAYSIDE_BOOTS" = 1 ]; then
    # What it could not do, the script does, or says why not.
    with_stack_key "$QUAYSIDE_DESTINATION" 'command -v cloud-init >/dev/null && cloud-init status --wait' \
        >/dev/null 2>&1 </dev/null
fi
printf '%s\n' "$script" | with_stack_key "$QUAYSIDE_DESTINATION" "$QUAYSIDE_SHELL" >&2 ||
    fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) could not be prepared: see above"
echo ready
