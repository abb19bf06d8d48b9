# Inside the edge: gate new replicas by their health path, before anything is switched. Standard output is read by
# release.sh, one line a replica that failed.
lock
cat >next.cfg

probe() { # container port path host timeout
    # Not wget's own -T: it crashes the busybox of Debian 12.
    (timeout "$5" wget -S -O /dev/null --header "Host: $4" "http://$1:$2$3" 2>&1) 2>/dev/null \
        | awk 'match($0, /HTTP\/[0-9.]+ [0-9][0-9][0-9].*/) { print substr($0, RSTART); found = 1; exit } { last = $0 } END { if (!found) print last }'
}
reach() { # container port timeout
    (
        timeout "$(($3 + 1))" nc -w "$3" "$1" "$2" </dev/null >/dev/null 2>&1
        case $? in
            # Ended by us: it is connected to what waits for its client to speak.
            0 | 124 | 143) echo open ;;
            *) echo "port $2 refuses connections" ;;
        esac
    ) 2>/dev/null # where the shell says that something was ended
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
    # Nothing is on this host: the one line is empty.
    case $kind in "" | docker) continue ;; esac
    grep -qxF "$container $id" serving && continue
    gate "$service" "$slot" "$container" "$id" "$kind" "$port" "$path" "$host" "$timeout" "$grace" >>verdict &
    waiting="$waiting $!"
done <<EOF
$(servers next.cfg)
EOF
for job in $waiting; do wait "$job"; done
if [ -s verdict ]; then cat verdict; exit 1; fi
