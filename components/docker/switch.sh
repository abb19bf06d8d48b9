# Inside the edge: check the configuration and switch to it. Where old containers have names that the new configuration
# does not, both are served until forget.sh. Standard output is read by release.sh.
lock
cat >next.cfg

if ! problem=$(sound next.cfg); then
    echo "the edge refuses the new configuration; the old one serves on:"
    echo "$problem" | spoken
    exit 1
fi
# By itself, for the burst that comes after it.
cp next.cfg main.new
if grep -q '^#: rented' next.cfg; then rm -f burst.cfg; fi
overlaid next.cfg
digest=$(digest_of next.cfg)

if [ "$(answering)" = "$digest" ] && cmp -s next.cfg haproxy.cfg; then
    echo "routing is current"
else
    servers haproxy.cfg | awk '{ print $3, $NF }' >>drains
    # Names that only old containers use live as long as those: they have requests to finish, and a worker has no request.
    old=haproxy.cfg
    [ ! -f before.cfg ] || old=before.cfg
    union next.cfg "$old" "both-$digest" >both.cfg
    taken=next.cfg
    if [ "$(inner both.cfg)" != "$(inner next.cfg)" ]; then
        if problem=$(sound both.cfg); then
            taken=both.cfg
        else
            echo "the edge cannot serve the old names and the new ones at once, so old containers lose theirs before they end:"
            changed=$(other_protocols "$old" next.cfg)
            if [ -n "$changed" ]; then echo "  $changed: another protocol"; else echo "$problem" | spoken; fi
        fi
    fi
    take "$taken" || not_taken
    echo "routing switched"
fi
mv main.new main.cfg
rm -f before.cfg both.cfg
