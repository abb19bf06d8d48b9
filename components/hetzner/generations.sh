# One host is rebuilt an `up`: two at once could be all that a service had.
# QUAYSIDE_GENERATIONS is a line a host. What it prints is what the next run compares with.
set -u
line='
'
raised=
while read -r host generation; do
    case $line${PULUMI_COMMAND_STDOUT-}$line in
    *"$line$host $generation$line"*) ;;
    *"$line$host "*) raised="$raised $host" ;;
    esac
done <<END
$QUAYSIDE_GENERATIONS
END
# shellcheck disable=SC2086 # names, to be split
set -- $raised
if [ $# -gt 1 ]; then
    echo "one host is rebuilt at a time, and the generations of$raised changed, so nothing was done" >&2
    echo "    take all but one of them back to what they were, and run \`up\` for each, drained before:" >&2
    echo "    docs/hosts.md, \"Patching and rolling\"" >&2
    exit 1
fi
printf '%s\n' "$QUAYSIDE_GENERATIONS"
