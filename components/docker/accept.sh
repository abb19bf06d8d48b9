# Inside the edge, before anything is gated: let the stack's services reach each other by the new plan's names, too, while
# the public and every service that already runs are served as before. Without it, a new service whose health needs
# another new one could never become healthy, since the gate comes before the switch.
lock
cat >next.cfg

if ! problem=$(haproxy -c -f next.cfg 2>&1); then
    echo "the edge refuses the new configuration; the old one serves on:"
    echo "$problem" | grep -v NOTICE | sed 's/^/  /'
    exit 1
fi

# What a killed release had accepted is not the old configuration.
old=haproxy.cfg
[ ! -f before.cfg ] || old=before.cfg
union "$old" next.cfg "accept-$(digest_of next.cfg)" fill >accept.cfg
[ "$(inner haproxy.cfg)" != "$(inner accept.cfg)" ] || exit 0

# A service that changed its protocol cannot be both at once; its callers then meet it after the switch.
haproxy -c -f accept.cfg >/dev/null 2>&1 || { rm -f accept.cfg; exit 0; }
[ -f before.cfg ] || cp haproxy.cfg before.cfg
take accept.cfg || not_taken
