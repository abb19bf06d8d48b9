# Prepares one host over SSH; what runs on it comes on stdin and may run any number of times.
#
# QUAYSIDE_HOST         its name, for messages
# QUAYSIDE_OPTIONS      arguments of ssh with the stack's key; QUAYSIDE_OWN_OPTIONS: with a person's own, or empty
# QUAYSIDE_DESTINATION  user@address; QUAYSIDE_PORT
# QUAYSIDE_SHELL        what runs the script there
# QUAYSIDE_PUBLIC_KEY   the stack's key, as authorized_keys has it
# QUAYSIDE_PREVIOUS_OPTIONS  arguments of ssh with the key that the stack's key replaces, or empty
# QUAYSIDE_OWNER        the stack's mark: a host with another's is left as it is
# QUAYSIDE_WAIT         seconds that a host may take to let us in
# QUAYSIDE_BOOTS        1: cloud-init is at work there at first
# QUAYSIDE_MACHINE      id of a machine that the program made; QUAYSIDE_REACH: seconds that one which was there may take
# QUAYSIDE_JUMP         user@host that it is reached through, or empty
# QUAYSIDE_RANGES       what SSH is to be open to
#
# It prints what the next run needs: the machine, and what SSH is open to there.
set -u
script=$(cat)
before=${PULUMI_COMMAND_STDOUT-}

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

another_owner() {
    mark=${1#*owner }
    fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) belongs to another stack, $mark, so nothing was changed there; this is $owner" \
        "    two stacks on one server would overwrite each other's packet filter and Docker settings: use another server" \
        "    to hand it over, take it out of that stack and run \`up\` there, which frees it" \
        "    where that stack or its state is gone, free the ports of its containers on the server (its volumes stay there):" \
        "    docker ps -aq -f label=dev.quayside.stack=${mark% *} | xargs -r docker rm -f" \
        "    then sudo rm /etc/quayside/owner there, and run this \`up\` again"
}

owner=${QUAYSIDE_OWNER-}
# Where the mark is; another place only for tests.
file=${QUAYSIDE_OWNER_FILE-/etc/quayside/owner}
# Claims the server for us or says whose it is, in one step, so that two who come at once are told apart, too. A mark is
# there as a whole or not at all: an empty one, of a full disk or a loss of power, is nobody's.
claim="ours='$owner' file='$file'"'
[ "$task" = look ] || {
    mkdir -p "${file%/*}" && { [ ! -e "$file" ] || [ -s "$file" ] || rm -f "$file"; } || exit 1
    (umask 022 && echo "$ours" >"$file.$$" && { ln "$file.$$" "$file" 2>/dev/null || :; }) && rm -f "$file.$$" &&
        [ -s "$file" ] || { rm -f "$file.$$"; echo "whose it is cannot be written to $file"; exit 1; }
}
[ -e "$file" ] && read -r mark <"$file" && [ "$mark" != "$ours" ] || exit 0
echo "owner $mark"
exit 3'

with_stack_key() { eval "ssh $QUAYSIDE_OPTIONS \"\$@\""; }
with_own_key() { eval "ssh $QUAYSIDE_OWN_OPTIONS \"\$@\""; }
with_previous_key() { eval "ssh -o ControlMaster=no -o ControlPath=none $QUAYSIDE_PREVIOUS_OPTIONS \"\$@\""; }

# By $1, with another key, the stack's key is let in from now on.
let_in() {
    printf '%s\n' "$QUAYSIDE_PUBLIC_KEY" | "$1" "$QUAYSIDE_DESTINATION" '
        umask 077 && mkdir -p ~/.ssh && touch ~/.ssh/authorized_keys && read -r key || exit 1
        grep -qxF "$key" ~/.ssh/authorized_keys && exit
        [ -z "$(tail -c 1 ~/.ssh/authorized_keys)" ] || echo >>~/.ssh/authorized_keys
        printf "%s\n" "$key" >>~/.ssh/authorized_keys' 2>/dev/null &&
        with_stack_key "$QUAYSIDE_DESTINATION" true </dev/null
}

other_key() {
    fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) shows another host key than the one that is known, so nothing was done:" \
        "$1" \
        "    if it is the right machine, correct host_key: ssh-keyscan -p $QUAYSIDE_PORT -t ed25519 ${QUAYSIDE_DESTINATION#*@}"
}

# Another machine may have had this address a moment ago.
with_stack_key -O exit "$QUAYSIDE_DESTINATION" >/dev/null 2>&1

wait=$QUAYSIDE_WAIT
# One that was there at the last run does not boot.
case "
$before
" in *"
machine ${QUAYSIDE_MACHINE:-none}
"*) wait=${QUAYSIDE_REACH:-$wait} QUAYSIDE_BOOTS=0 ;; esac
deadline=$(($(date +%s) + wait))
while :; do
    said=$(with_stack_key "$QUAYSIDE_DESTINATION" true 2>&1 </dev/null) && break
    case $said in
    *"Host key verification failed"* | *"IDENTIFICATION HAS CHANGED"*)
        # One that boots shows its image's key until cloud-init has laid down ours; it is not spoken to either way.
        if [ "$QUAYSIDE_BOOTS" != 1 ] || [ "$(date +%s)" -ge "$deadline" ]; then other_key "$said"; fi
        ;;
    *"Permission denied"* | *"Too many authentication failures"*)
        # The key that it replaces; or, the first time here, a person's own: overlapping, so that nobody is locked out.
        if [ -n "${QUAYSIDE_PREVIOUS_OPTIONS-}" ] && let_in with_previous_key; then break; fi
        if [ -n "$QUAYSIDE_OWN_OPTIONS" ]; then
            # Not on a server that another stack has.
            if [ -n "$owner" ]; then
                whose=$(printf 'task=look\n%s\n' "$claim" | with_own_key "$QUAYSIDE_DESTINATION" sh -s 2>/dev/null)
                [ $? != 3 ] || another_owner "$whose"
            fi
            let_in with_own_key && break
            # One that boots has its host key a moment before it has ours.
            if [ "$QUAYSIDE_BOOTS" != 1 ] || [ "$(date +%s)" -ge "$deadline" ]; then
                fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) lets in neither this stack's key nor yours" \
                    "    add to ~/.ssh/authorized_keys there: $QUAYSIDE_PUBLIC_KEY"
            fi
        fi
        ;;
    *)
        if [ -n "${QUAYSIDE_JUMP-}" ]; then
            # What the jump host says is not heard on a connection that is to be shared.
            heard=$(eval "ssh -o ControlMaster=no -o ControlPath=none -o ControlPersist=no $QUAYSIDE_OPTIONS" \
                "\"\$QUAYSIDE_DESTINATION\"" true 2>&1 </dev/null) || said=$heard
            case $said in *"Permission denied"* | *"Too many authentication"* | *"Host key verification failed"*)
                fail "the jump host $QUAYSIDE_JUMP does not let us through to $QUAYSIDE_HOST ($QUAYSIDE_DESTINATION):" "$said" \
                    "    it has to know your own key or your CI's, in an agent or in ~/.ssh; the stack's key is for the hosts" \
                    "    its host key is quayside:access.jump_host_key, or else in your known hosts"
                ;;
            esac
        fi
        ;;
    esac
    if [ "$(date +%s)" -ge "$deadline" ]; then
        ranges=$(printf '%s\n' "$before" | sed -n 's/^ssh is open to //p')
        fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) does not let us in after $wait s:" "$said" \
            "$(advise "$QUAYSIDE_HOST" "$QUAYSIDE_DESTINATION" "${ranges:-${QUAYSIDE_RANGES-}}")"
    fi
    sleep 2
done

if [ "$QUAYSIDE_BOOTS" = 1 ]; then
    # What it could not do, the script does, or says why not.
    with_stack_key "$QUAYSIDE_DESTINATION" 'command -v cloud-init >/dev/null && cloud-init status --wait' \
        >/dev/null 2>&1 </dev/null
fi
if [ -n "$owner" ]; then
    said=$(printf 'task=claim\n%s\n' "$claim" | with_stack_key "$QUAYSIDE_DESTINATION" "$QUAYSIDE_SHELL" 2>&1)
    case $? in
    0) ;;
    3) another_owner "$said" ;;
    *) fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) could not be prepared:" "$said" ;;
    esac
fi
printf '%s\n' "$script" | with_stack_key "$QUAYSIDE_DESTINATION" "$QUAYSIDE_SHELL" >&2 ||
    fail "$QUAYSIDE_HOST ($QUAYSIDE_DESTINATION) could not be prepared: see above"
echo ready
[ -z "${QUAYSIDE_MACHINE-}" ] || echo "machine $QUAYSIDE_MACHINE"
[ -z "${QUAYSIDE_RANGES-}" ] || echo "ssh is open to $QUAYSIDE_RANGES"
