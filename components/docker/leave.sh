# The stack goes: take the edge out of every service's network, or Docker could not remove them.
set -u
docker inspect "$QUAYSIDE_EDGE" >/dev/null 2>&1 || exit 0
docker inspect -f '{{range $name, $it := .NetworkSettings.Networks}}{{$name}}
{{end}}' "$QUAYSIDE_EDGE" | while read -r network; do
    case $network in "$QUAYSIDE_PREFIX"*) docker network disconnect "$network" "$QUAYSIDE_EDGE" ;; esac
done
