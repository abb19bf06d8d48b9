# On the host of a volume: replace what is in it by the archive that comes on standard input. The service runs on while
# the archive is unpacked beside its data; what it has now goes only when all of it is there.
volume=$1 image=$2 container=$3 # a container to stop meanwhile, or nothing
stopped=

give_up() { trap '' HUP INT TERM PIPE; exit 1; }
end() { [ -z "$stopped" ] || docker start "$container" >/dev/null; }
trap end EXIT
trap give_up HUP INT TERM PIPE

# As root, to write files of every owner, and with no other right.
inside() {
    docker run --rm -i --pull never --network none --read-only --cap-drop ALL --cap-add DAC_OVERRIDE --cap-add CHOWN --cap-add FOWNER \
        --cap-add FSETID --security-opt no-new-privileges --user 0 --log-driver none -v "$volume:/data" --entrypoint sh \
        "$image" -c "set -eo pipefail; cd /data; $1"
}

if ! inside 'rm -rf .quayside-new && mkdir -m 700 .quayside-new && gunzip -c | tar -x -p -f - -C .quayside-new'; then
    inside 'rm -rf .quayside-new' </dev/null
    echo "the archive did not come whole, or there is no room for it beside the data; nothing was changed" >&2
    exit 1
fi
if [ -n "$container" ]; then
    docker stop "$container" >/dev/null || exit 1
    stopped=1
fi
# Renames only, so that the service is away for a moment; what was there is deleted when it runs again.
# shellcheck disable=SC2016 # it is for the shell in there
inside '
    mkdir -m 700 .quayside-old
    find . -mindepth 1 -maxdepth 1 ! -name .quayside-new ! -name .quayside-old -exec mv {} .quayside-old/ ";"
    find .quayside-new -mindepth 1 -maxdepth 1 -exec mv {} . ";"
    chown "$(stat -c %u:%g .quayside-new)" . && chmod "$(stat -c %a .quayside-new)" .
    rmdir .quayside-new' </dev/null || exit 1
if [ -n "$stopped" ]; then
    stopped=
    docker start "$container" >/dev/null || exit 1
fi
inside 'rm -rf .quayside-old' </dev/null
