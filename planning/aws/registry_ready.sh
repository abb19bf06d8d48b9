#!/bin/sh
# Ends once the registry of this instance reads its bucket: asked for an image that is in none, it has to look there to
# say so. Until then no task comes here, so this never gives up, and says on the console twice a minute why it waits.
set -u
url=http://127.0.0.1:$1/v2/quayside/manifests/none
tries=0
while :; do
    answer=$(curl --noproxy '*' --silent --max-time 10 --output /dev/null --write-out '%{http_code}' "$url")
    [ "$answer" != 404 ] || exit 0
    if [ $((tries % 30)) -eq 5 ]; then
        echo "the registry cannot read bucket $2 (HTTP $answer)"
        echo "  check bucket and region under quayside:registry/local; the last line of its log:"
        journalctl _SYSTEMD_UNIT=quayside-registry.service --lines 1 --output cat --no-pager 2>&1 | sed 's/^/    | /'
    fi
    tries=$((tries + 1))
    sleep 1
done
