# Inside the edge, before anything is gated: let the stack's services reach each other by the new plan's names, while the
# public and every service that already runs are served as before. Without it, a new service whose health needs another
# new one could never become healthy, since the gate comes before the switch.
lock
superseded && { echo "a later release took over"; exit 1; }
cat >next.cfg

if ! problem=$(haproxy -c -f next.cfg 2>&1); then
    echo "the edge refuses the new configuration; the old one serves on:"
    echo "$problem" | grep -v NOTICE | sed 's/^/  /'
    exit 1
fi

# The names that services have for each other: the internal listener and the TCP ones.
inner() { awk '/^[a-z]/ { on = $1 == "frontend" && ($2 == "internal" || $2 ~ /^tcp_/) } on' "$1" | grep -v '^ *#'; }
[ "$(inner haproxy.cfg)" != "$(inner next.cfg)" ] || exit 0

# Sections of the new configuration for the names, and for services that the old one does not serve; all else is the old.
awk -v digest="accept-$(digest_of next.cfg)" '
    function served() { return substr(name, 5) in serves }
    BEGIN { print "#: digest " digest }
    FNR == 1 { pass++; kind = name = "" }
    /^(global|defaults|resolvers|frontend|backend)/ { kind = $1; name = $2 }
    pass == 1 && $1 == "#:" && $2 == "server" { serves[$3] = 1 }
    pass == 1 && kind == "resolvers" { resolvers = 1 }
    pass == 1 && kind == "frontend" && $1 == "bind" { port[name] = $2 }
    pass == 2 && kind == "frontend" { renewed[name] = 1; if ($1 == "bind") bound[$2] = 1 }
    pass == 3 && !($1 == "#:" && $2 == "digest") {
        if (kind == "frontend" && name != "public" && (name in renewed || port[name] in bound)) next
        if (kind == "backend" && (name == "not_in_uses" || name ~ /^svc_/ && !served())) next
        print
    }
    pass == 4 && $1 != "#:" {
        if (kind == "frontend" && name != "public" \
            || kind == "backend" && (name == "not_in_uses" || name ~ /^svc_/ && !served()) \
            || kind == "resolvers" && !resolvers) {
            if (name == "digest") sub(/string .*/, "string " digest)
            print
        }
    }
' haproxy.cfg next.cfg haproxy.cfg next.cfg >accept.cfg

# A service that changed its protocol cannot be both at once; its callers then meet it after the switch.
haproxy -c -f accept.cfg >/dev/null 2>&1 || { rm -f accept.cfg; exit 0; }
[ -f before.cfg ] || cp haproxy.cfg before.cfg
take accept.cfg || { echo "the edge did not take the configuration within 10 s; the old one serves on (see its logs)"; exit 1; }
