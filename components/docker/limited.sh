# Docker may take a question and never answer it. Nothing waits for ever: two minutes for a question, two hours for work
# inside a container and for its end, whose own limits (grace, drain) are shorter. Said on standard error even where an
# answer is thrown away.
exec 6>&2
if (timeout --foreground 1 true) 2>/dev/null; then
    limited() { timeout --foreground "$@"; } # Ctrl-C still reaches what it runs
elif (timeout 1 true) 2>/dev/null; then
    limited() { timeout "$@"; }
else
    limited() { shift; command "$@"; } # macOS has none
fi
docker() (
    case $1 in exec | stop) limit=7200 ;; *) limit=120 ;; esac
    limit=${QUAYSIDE_LIMIT:-$limit} code=0
    limited "$limit" docker "$@" || code=$?
    [ "$code" != 124 ] || echo "Docker${QUAYSIDE_HOST:+ on $QUAYSIDE_HOST} takes connections and does not answer: \`docker $1\` has waited $limit s; restart it (\`sudo systemctl restart docker\`), then run this again" >&6
    exit "$code"
)

