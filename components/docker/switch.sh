# Inside the edge: check the configuration, gate new replicas by their health path, switch, drain what was retired.
# Its standard output is read by release.sh; on failure each line says one reason.
lock
cat >next.cfg
digest=$(digest_of next.cfg)

if ! problem=$(haproxy -c -f next.cfg 2>&1); then
    echo "the edge refuses the new configuration; the old one serves on:"
    echo "$problem" | grep -v NOTICE | sed 's/^/  /'
    exit 1
fi

probe() { # container port path host timeout
    # Not wget's own -T: it crashes the busybox of Debian 12.
    (timeout "$5" wget -S -O /dev/null --header "Host: $4" "http://$1:$2$3" 2>&1) 2>/dev/null \
        | awk 'match($0, /HTTP\/[0-9.]+ [0-9][0-9][0-9].*/) { print substr($0, RSTART); found = 1; exit } { last = $0 } END { if (!found) print last }'
}
reach() { # container port timeout
    nc -w "$3" "$1" "$2" </dev/null >/dev/null 2>&1 && echo open || echo "port $2 refuses connections"
}

gate() { # service slot container id gate port path host timeout grace
    end=$(($(date +%s) + ${10}))
    while :; do
        if [ "$5" = http ]; then answer=$(probe "$3" "$6" "$7" "$8" "$9"); else answer=$(reach "$3" "$6" "$9"); fi
        case $answer in
            HTTP/*\ 2??* | HTTP/*\ 3??* | open) return 0 ;;
        esac
        [ "$(date +%s)" -lt "$end" ] || break
        superseded && break
        sleep 0.3
    done
    [ "$5" = http ] && answer="GET $7 answered ${answer:-nothing}"
    echo "unhealthy $1 $2 $3 $4 $answer, for ${10} s"
    return 1
}

# Every new replica at once; those that serve already passed this gate when they came.
servers haproxy.cfg | awk '{ print $3, $4 }' >serving
waiting=
: >verdict
while read -r service slot container id kind port path host timeout grace _drain; do
    [ "$kind" != docker ] || continue
    grep -qxF "$container $id" serving && continue
    gate "$service" "$slot" "$container" "$id" "$kind" "$port" "$path" "$host" "$timeout" "$grace" >>verdict &
    waiting="$waiting $!"
done <<EOF
$(servers next.cfg)
EOF
for job in $waiting; do wait "$job"; done
if [ -s verdict ]; then cat verdict; exit 1; fi

superseded && give_way

names=new
if [ "$(answering)" = "$digest" ] && cmp -s next.cfg haproxy.cfg; then
    echo "routing is current"
else
    servers haproxy.cfg | awk '{ print $3, $NF }' >>drains
    # Names that only old containers use live as long as those: they have requests to finish, and a worker has no request.
    old=haproxy.cfg
    [ ! -f before.cfg ] || old=before.cfg
    union next.cfg "$old" "both-$digest" >both.cfg
    if [ "$(inner both.cfg)" != "$(inner next.cfg)" ] && haproxy -c -f both.cfg >/dev/null 2>&1; then
        names=both
        take both.cfg || not_taken
    else
        take next.cfg || not_taken
    fi
    echo "routing switched"
fi
rm -f before.cfg both.cfg

# Drain. An old worker lives as long as any of its connections, those of other services too, so we wait only for
# connections to containers that the new configuration does not name, each at most its service's drain.
servers haproxy.cfg | awk '{ print $3 }' >serving
# No answer is not "none": a master that is busy reloading would otherwise end the drain before it began.
old_workers() {
    tries=0
    until listing=$(ask_master "show proc") && echo "$listing" | grep -q '^# workers'; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || return 1
        sleep 0.2
    done
    echo "$listing" | awk '/^# old workers/ { old = 1; next } /^#/ { old = 0 } old && $1 ~ /^[0-9]+$/ { print $1 }'
}
# Prints backend/server, container and connections of what this worker still serves and the new one does not.
retired_sessions() { # pid
    states=$(ask_master "@!$1 show servers state")
    connections=$(ask_master "@!$1 show servers conn")
    case $states in *srv_fqdn*) ;; *) return 1 ;; esac
    case $connections in *used_cur*) ;; *) return 1 ;; esac
    # Columns are found by their headings, which begin with a "#" that the rows do not have.
    printf '%s\n%s\n' "$states" "$connections" | awk 'FILENAME == "serving" { serving[$1] = 1; next }
        $1 == "#" { for (i = 2; i <= NF; i++) { if ($i == "srv_fqdn") fqdn = i - 1; if ($i == "used_cur") { used = i - 1; fqdn = 0 } } next }
        fqdn && NF > fqdn { name[$2 "/" $4] = $fqdn; next }
        used && $1 ~ /\// && $used > 0 && name[$1] != "" && name[$1] != "-" && !(name[$1] in serving) { print $1, name[$1], $used }' serving -
}
switched=$(date +%s)
keepalive=6 # an idle connection of the old worker may bring one more request for this long
while :; do
    superseded && give_way
    workers=$(old_workers) || { echo "the edge's master process does not answer, so the drain cannot be watched"; exit 1; }
    [ -n "$workers" ] || break
    elapsed=$(($(date +%s) - switched))
    busy=0
    for pid in $workers; do
        retired_sessions "$pid" >sessions || {
            # It ended between two questions, or is too busy to answer.
            [ ! -d "/proc/$pid" ] || busy=1
            continue
        }
        while read -r server container connections; do
            drain=$(awk -v c="$container" '$1 == c { d = $2 } END { print (d == "" ? 30 : d) }' drains 2>/dev/null || echo 30)
            if [ "$elapsed" -ge "$drain" ] && [ "$elapsed" -ge "$keepalive" ]; then
                echo "closing $connections connections of $container after its drain of $drain s"
                ask_master "@!$pid shutdown sessions server $server" >/dev/null
            else
                busy=1
            fi
        done <sessions
    done
    [ "$busy" = 1 ] || [ "$elapsed" -lt "$keepalive" ] || break
    sleep 0.2
done
rm -f verdict sessions
if [ "$names" = both ]; then
    # What is left of the old, each container once with its drain: first who only calls, then who is called.
    awk 'FILENAME == "serving" { serving[$1]; next }
        FILENAME == "haproxy.cfg" { if ($1 == "server") { sub(/:.*/, "", $3); named[$3] } next }
        !($1 in serving) && !($1 in said) { said[$1]; print "retired", ($1 in named ? "called" : "caller"), $1, $2 }' serving haproxy.cfg drains
else
    rm -f drains next.cfg
fi
rm -f serving
