# Old workers live as long as any of their connections, those of other services too. Waits until none serves what goes
# any more, each session at most its drain and never less than the keepalive, and ends what stays longer. Takes
#
# - a command that prints a line a worker: its pid, and what the next is told beside it;
# - a command that prints, of one worker, a line a server that goes: backend/server, what to call it, its drain, how
#   many connections it has. It fails where the worker gave no answer;
# - the seconds for which an idle connection of an old worker may bring one more request.
wait_drained() { # workers sessions keepalive
    switched=$(date +%s)
    while :; do
        superseded && give_way
        found=$("$1") || { echo "the edge's master process does not answer, so the drain cannot be watched"; exit 1; }
        [ -n "$found" ] || break
        elapsed=$(($(date +%s) - switched))
        busy=0
        while read -r pid only; do
            "$2" "$pid" "$only" >sessions || {
                # It ended between two questions, or is too busy to answer.
                [ ! -d "/proc/$pid" ] || busy=1
                continue
            }
            while read -r server called drain connections; do
                if [ "$elapsed" -ge "$drain" ] && [ "$elapsed" -ge "$3" ]; then
                    echo "closing $connections connections of $called after its drain of $drain s"
                    ask_master "@!$pid shutdown sessions server $server" >/dev/null
                else
                    busy=1
                fi
            done <sessions
        done <<EOF
$found
EOF
        [ "$busy" = 1 ] || [ "$elapsed" -lt "$3" ] || break
        sleep 0.2
    done
    rm -f sessions
}
