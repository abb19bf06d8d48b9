# Inside the edge, when every burst host serves: send to those that are, and drain those that are no more. Whom the gateway
# let in stays, for hosts that are drained elsewhere. Standard output is read by release.sh.
lock
cat >burst.new
grep -q '^#: burst ' burst.new || : >burst.new
[ -f main.cfg ] || { echo "this edge was never routed; up again"; exit 1; }

cp main.cfg next.cfg
[ ! -s burst.new ] || compose main.cfg burst.new >next.cfg
if ! problem=$(sound next.cfg); then
    echo "the edge refuses the burst; it serves on as it was:"
    echo "$problem" | spoken
    exit 1
fi
digest=$(digest_of next.cfg)
touch burst.cfg
# backend/server and drain of those that go. A run that gave up may have taken them out, and not seen them end.
{ cat going 2>/dev/null; sed -n 's/^#: drain //p' burst.cfg; } | awk 'FILENAME == "burst.new" { if ($2 == "drain") stays[$3]; next }
    !($1 in stays) && !($1 in said) { said[$1]; print }' burst.new - >going.new
mv going.new going

case $(answering) in
    "$digest" | "both-$digest") echo "burst is current" ;;
    *)
        union next.cfg haproxy.cfg "both-$digest" >both.cfg
        if [ "$(inner both.cfg)" != "$(inner next.cfg)" ] && sound both.cfg >/dev/null; then
            take both.cfg || not_taken
        else
            take next.cfg || not_taken
        fi
        echo "burst switched"
        ;;
esac
mv burst.new burst.cfg
rm -f both.cfg

leaving_sessions() { # pid
    connections=$(ask_master "@!$1 show servers conn")
    case $connections in *used_cur*) ;; *) return 1 ;; esac
    # Columns are found by their headings, which begin with a "#" that the rows do not have.
    printf '%s\n' "$connections" | awk 'FILENAME == "going" { drain[$1] = $2; next }
        $1 == "#" { for (i = 2; i <= NF; i++) if ($i == "used_cur") used = i - 1; next }
        used && $1 in drain && $used > 0 { print $1, $1, drain[$1], $used }' going -
}
[ ! -s going ] || wait_drained old_workers leaving_sessions 6
rm -f going
