# On the host of a volume: write its archive to standard output, gzipped. Says on standard error, as its last line, how
# many files of how many bytes, and for how many seconds the container was held.
#
# A service is held (frozen, with all its connections) only while its files are copied beside, on the host's own disk:
# so the archive is of one moment, as after a loss of power, which is what a database recovers from.
volume=$1 image=$2 container=$3 # a container to hold, or nothing
spool=quayside-backup-$$-$(date +%s)
held=

give_up() { trap '' HUP INT TERM PIPE; exit 1; }
end() {
    [ -z "$held" ] || docker unpause "$container" >/dev/null
    # One whose client lost its pipe may still be there, and would hold the copy.
    docker rm -f "$spool" >/dev/null 2>&1
    docker volume rm -f "$spool" >/dev/null
}
trap end EXIT
trap give_up HUP INT TERM PIPE

# As root, to read whatever a service writes, and with no other right.
helper() {
    docker run --rm -i --name "$spool" --pull never --network none --read-only --cap-drop ALL --cap-add DAC_READ_SEARCH \
        --security-opt no-new-privileges --user 0 --log-driver none "$@"
}

docker volume create "$spool" >/dev/null || exit 1
# shellcheck disable=SC2016 # it is for the shell in there
sizes=$(helper -v "$volume:/data:ro" -v "$spool:/spool" --entrypoint sh "$image" -c '
    echo "$(find /data ! -type d | wc -l) $(du -sk /data | cut -f 1) $(df -Pk /spool | tail -n 1 | tr -s " " | cut -d " " -f 4)"') || exit 1
read -r files size free <<EOF
$sizes
EOF
if [ "$size" -ge "$free" ]; then
    echo "the copy needs $((size / 1024)) MiB on the disk of Docker there, and $((free / 1024)) MiB are free" >&2
    exit 1
fi
began=$(date +%s)
if [ -n "$container" ]; then
    docker pause "$container" >/dev/null || exit 1
    held=1
fi
# A mark of life while it copies: a copy that nothing is heard of is given up.
# shellcheck disable=SC2016 # it is for the shell in there
helper -v "$volume:/data:ro" -v "$spool:/spool" --entrypoint sh "$image" -c '
    tar -c -f /spool/data.tar -C /data . & while kill -0 $! 2>/dev/null; do sleep 0.2; n=$((${n:-0} + 1)); [ $((n % 100)) != 0 ] || echo ...; done
    wait $!' >&2 || exit 1
[ -z "$held" ] || docker unpause "$container" >/dev/null || exit 1
held=
seconds=$(($(date +%s) - began))
helper -v "$spool:/spool:ro" --entrypoint gzip "$image" -c /spool/data.tar || exit 1
echo "$files $((size * 1024)) $seconds" >&2
