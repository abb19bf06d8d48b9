# Waits until a host's registry can read its bucket: asked for an image that is in none, it has to look there to say so.
set -u
url=http://127.0.0.1:5000/v2/quayside/manifests/none
end=$(($(date +%s) + QUAYSIDE_WAIT))
while :; do
    answer=$(docker exec "$QUAYSIDE_REGISTRY" timeout 10 wget -O /dev/null "$url" 2>&1 | tail -n 1)
    case $answer in *" 404 "*) exit 0 ;; esac
    [ "$(date +%s)" -lt "$end" ] || break
    sleep 0.5
done
echo "$QUAYSIDE_HOST: the registry cannot read bucket $QUAYSIDE_BUCKET, after $QUAYSIDE_WAIT s: ${answer:-no answer}" >&2
docker inspect -f '  container: {{.State.Status}}, restarted {{.RestartCount}} times' "$QUAYSIDE_REGISTRY" >&2 || true
echo "  check bucket, endpoint, region and keys under quayside:registry/local; its last log lines:" >&2
docker logs --tail 5 "$QUAYSIDE_REGISTRY" 2>&1 | sed 's/^/    | /' >&2
exit 1
