# On the host of a volume: how many files it has, and when the newest was written (seconds since 1970; 0: there is none).
volume=$1 image=$2
# As root, to read whatever a service writes, and with no other right.
# shellcheck disable=SC2016 # it is for the shell in there
docker run --rm -i --pull never --network none --read-only --cap-drop ALL --cap-add DAC_READ_SEARCH \
    --security-opt no-new-privileges --user 0 --log-driver none -v "$volume:/data:ro" --entrypoint sh "$image" -c '
    find /data ! -type d ! -path "/data/.quayside-*" | wc -l
    find /data ! -type d ! -path "/data/.quayside-*" -exec stat -c %Y {} + | sort -n | tail -n 1' </dev/null
