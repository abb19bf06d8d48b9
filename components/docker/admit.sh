# Inside the edge, when a burst is about to come: its hosts may reach what their services use, so that these can become
# healthy. Nothing is sent to them yet, and those that stand keep what they have.
lock
cat >burst.new
[ -f main.cfg ] || { echo "this edge was never routed; up again"; exit 1; }
grep -q '^#: burst ' burst.new || { rm -f burst.new; exit 0; }

compose main.cfg burst.new >admit.cfg
union haproxy.cfg admit.cfg "admit-$(digest_of admit.cfg)" >both.cfg
if [ "$(inner haproxy.cfg)" != "$(inner both.cfg)" ]; then
    if ! problem=$(sound both.cfg); then
        echo "the edge refuses the burst; it serves on as it was:"
        echo "$problem" | spoken
        exit 1
    fi
    take both.cfg || not_taken
fi
rm -f burst.new admit.cfg both.cfg
