"""Who may enter a host over SSH: parts of the script that prepares it, and nobody is locked out by either.

The packet filter is refused where it does not admit the connection that brings it. Keys of the stack stand in a block
of their own in `authorized_keys`, which an `up` writes anew: a key that left the settings lets nobody in any more.
Keys outside the block are not the stack's, and stay.
"""

from __future__ import annotations

from collections.abc import Sequence

_END = "QUAYSIDE-KEYS"


def begin_of(owner: str) -> str:
    """The line that a stack's block begins with. ``owner`` is `project/stack`."""
    return f"# quayside {owner}: keys of this stack, which an up replaces"


def comment_of(owner: str) -> str:
    """The comment of the stack's own key."""
    return f"quayside:{owner}"


def end_of(owner: str) -> str:
    return f"# quayside {owner}: end"


def admission(host: str, ranges: Sequence[str]) -> str:
    """Shell that ends with 1 where SSH is about to be closed to whoever runs it over SSH. Nothing is changed before."""
    known = ", ".join(ranges)
    return (
        _ADMISSION.replace("@host@", host).replace("@ranges@", " ".join(ranges)).replace("@known@", known)
        if ranges
        else ""
    )


def authorized_keys(owner: str, keys: Sequence[str], revoked: Sequence[str] = ()) -> str:
    """Shell that writes the stack's block for the user who logged in, in one step.

    A key of the block that also stands outside it, where the cloud or a first login put it, is taken into the block.
    ``revoked`` keys go from the whole file.
    """
    lines = "\n".join(keys)
    if any(mark in line for line in (*keys, *revoked) for mark in ("\n", _END)):
        raise ValueError("a key is one line")
    return (
        _KEYS.replace("@begin@", begin_of(owner))
        .replace("@end@", end_of(owner))
        .replace("@keys@", lines)
        .replace("@revoked@", "\n".join(revoked))
    )


_ADMISSION = r"""
# Whether one of the ranges $2… has the address $1.
has_address() {
    awk '
    function binary(number, width,    text) {
        for (; width > 0; width--) { text = number % 2 text; number = int(number / 2) }
        return text
    }
    function hexadecimal(digits,    number, i) {
        for (i = 1; i <= length(digits); i++)
            number = number * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
        return number
    }
    function bits(address,    text, i, cut, left, right, front, back) {
        if (address !~ /:/) {
            split(address, front, ".")
            for (i = 1; i <= 4; i++) text = text binary(front[i], 8)
            return text
        }
        cut = index(address, "::")
        left = split(cut ? substr(address, 1, cut - 1) : address, front, ":")
        right = cut ? split(substr(address, cut + 2), back, ":") : 0
        for (i = 1; i <= 8; i++) {
            if (i <= left) text = text binary(hexadecimal(front[i]), 16)
            else if (i > 8 - right) text = text binary(hexadecimal(back[i - 8 + right]), 16)
            else text = text binary(0, 16)
        }
        return text
    }
    BEGIN {
        for (i = 2; i < ARGC; i++) {
            split(ARGV[i], range, "/")
            if ((ARGV[1] ~ /:/) != (range[1] ~ /:/)) continue
            if (substr(bits(ARGV[1]), 1, range[2]) == substr(bits(range[1]), 1, range[2])) exit 0
        }
        exit 1
    }' "$@"
}

# Nobody locks himself out: the connection that brings this has to be one that the packet filter below admits.
peer=${SSH_CONNECTION-}
peer=${peer%% *}
peer=${peer%%%*}
case $peer in ::ffff:*.*) peer=${peer#::ffff:} ;; esac
# shellcheck disable=SC2086 # ranges, to be split
if [ -n "$peer" ] && ! has_address "$peer" @ranges@; then
    case $peer in *:*) whole=128 ;; *) whole=32 ;; esac
    echo "@host@ sees this machine come from $peer, and SSH would be open to @known@ alone." >&2
    echo "Its packet filter would have locked you out, so nothing was changed on it." >&2
    echo "    add the address, and take others out by a later \`up\`, from one that stays:" >&2
    echo "    quayside:access: {ssh: [@known@, $peer/$whole]}" >&2
    exit 1
fi
"""

_KEYS = r"""
# The keys of this stack, in a block of their own; all others are left alone.
begin='@begin@'
end='@end@'
keys=$(cat <<'QUAYSIDE-KEYS'
@keys@
QUAYSIDE-KEYS
)
revoked=$(cat <<'QUAYSIDE-KEYS'
@revoked@
QUAYSIDE-KEYS
)
# Whom an `up` logs in as. Who runs this by hand to put something back may be another.
user=${QUAYSIDE_USER-}
if [ -n "$user" ]; then
    echo "$user" >"$state/user"
elif [ -s "$state/user" ]; then
    read -r user <"$state/user"
else
    user=${SUDO_USER:-$(id -un)}
fi
home=$(getent passwd "$user" | cut -d: -f6)
folder=$root$home/.ssh
[ -d "$folder" ] || install -d -m 0700 -o "$user" -g "$(id -g "$user")" "$folder"
# A link stays one.
authorized=$(readlink -f "$folder/authorized_keys")
[ -e "$authorized" ] || install -m 0600 -o "$user" -g "$(id -g "$user")" /dev/null "$authorized"
# With the owner and the mode that it has.
cp -p "$authorized" "$authorized.quayside"
{
    QUAYSIDE_BEGIN=$begin QUAYSIDE_END=$end QUAYSIDE_OWN="$keys
$revoked" awk '
    function other(line,    word) {
        split(line, word, " ")
        return !((word[1] " " word[2]) in own)
    }
    BEGIN {
        count = split(ENVIRON["QUAYSIDE_OWN"], lines, "\n")
        for (i = 1; i <= count; i++) if (split(lines[i], word, " ") > 1) own[word[1] " " word[2]] = 1
    }
    $0 == ENVIRON["QUAYSIDE_BEGIN"] { inside = 1; next }
    inside && $0 == ENVIRON["QUAYSIDE_END"] { inside = held = 0; next }
    inside { block[++held] = $0; next }
    other($0) { print }
    # A block that somebody cut the end off: what is behind it may be of others.
    END { for (i = 1; i <= held; i++) if (other(block[i])) print block[i] }
    ' "$authorized"
    printf '%s\n%s\n%s\n' "$begin" "$keys" "$end"
} >"$authorized.quayside"
if cmp -s "$authorized.quayside" "$authorized"; then
    rm "$authorized.quayside"
else
    mv "$authorized.quayside" "$authorized"
    echo "changed $home/.ssh/authorized_keys"
fi
"""
