# Inside the edge, after switch.sh: drain what was retired, then name it. Standard output is read by release.sh.
#
# We wait only for connections to containers that the new configuration does not name, each at most its service's drain.
servers haproxy.cfg | awk '{ print $3 }' >serving
workers() {
    old_workers || return 1
    # What other hosts sent here before they switched, which the worker of both configurations serves.
    [ "$QUAYSIDE_PHASE" != forget ] || echo "$listing" | awk '/^#/ { now = $2 == "workers"; next } now && $1 ~ /^[0-9]+$/ { print $1, "local_" }'
}
# Of what this worker still serves and the new configuration does not; a container without a drain has 30 s.
# Busybox finds an empty string nowhere, so no beginning is asked for apart.
retired_sessions() { # pid [beginning of backends]
    states=$(ask_master "@!$1 show servers state")
    connections=$(ask_master "@!$1 show servers conn")
    case $states in *srv_fqdn*) ;; *) return 1 ;; esac
    case $connections in *used_cur*) ;; *) return 1 ;; esac
    # Columns are found by their headings, which begin with a "#" that the rows do not have.
    printf '%s\n%s\n' "$states" "$connections" | awk -v only="${2:-}" 'FILENAME == "serving" { serving[$1] = 1; next }
        FILENAME == "drains" { drain[$1] = $2; next }
        $1 == "#" { for (i = 2; i <= NF; i++) { if ($i == "srv_fqdn") fqdn = i - 1; if ($i == "used_cur") { used = i - 1; fqdn = 0 } } next }
        fqdn && NF > fqdn { name[$2 "/" $4] = $fqdn; next }
        used && $1 ~ /\// && (only == "" || index($1, only) == 1) && $used > 0 && name[$1] != "" && name[$1] != "-" && !(name[$1] in serving) {
            print $1, name[$1], (drain[name[$1]] == "" ? 30 : drain[name[$1]]), $used
        }' serving drains -
}
touch drains
keepalive=6
[ "$QUAYSIDE_PHASE" != forget ] || keepalive=0 # it was waited for on every host
wait_drained workers retired_sessions "$keepalive"
rm -f verdict
case $(digest_of haproxy.cfg) in both-*) names=both ;; *) names=new ;; esac
if [ "$names" = both ]; then
    # What is left of the old, each container once with its drain: first who only calls, then who is called.
    awk 'FILENAME == "serving" { serving[$1]; next }
        FILENAME == "haproxy.cfg" { if ($1 == "server") { sub(/:.*/, "", $3); named[$3] } next }
        !($1 in serving) && !($1 in said) { said[$1]; print "retired", ($1 in named ? "called" : "caller"), $1, $2 }' serving haproxy.cfg drains
else
    rm -f drains next.cfg
fi
rm -f serving
