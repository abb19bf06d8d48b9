# Inside the edge, before anything is gated: let the stack's services reach each other by the new plan's names, too, while
# the public and every service that already runs are served as before. Without it, a new service whose health needs
# another new one could never become healthy, since the gate comes before the switch.
lock
cat >next.cfg

if ! problem=$(sound next.cfg); then
    echo "the edge refuses the new configuration; the old one serves on:"
    echo "$problem" | spoken
    exit 1
fi

# What a killed release had accepted is not the old configuration.
old=haproxy.cfg
[ ! -f before.cfg ] || old=before.cfg
union "$old" next.cfg "accept-$(digest_of next.cfg)" fill >accept.cfg
[ "$(inner haproxy.cfg)" != "$(inner accept.cfg)" ] || exit 0

if ! problem=$(sound accept.cfg); then
    rm -f accept.cfg
    changed=$(other_protocols "$old" next.cfg)
    if [ -n "$changed" ]; then
        # Expected: nothing is both at once.
        echo "nothing new can be reached before the switch, since services change their protocol: $changed"
        exit 0
    fi
    echo "the edge cannot serve the old names and the new ones at once, as a release has to; nothing was changed:"
    echo "$problem" | spoken
    exit 1
fi
[ -f before.cfg ] || cp haproxy.cfg before.cfg
take accept.cfg || not_taken
