# What the scripts that run inside the edge share. They run in the folder of its configuration.
set -u
cd /var/lib/haproxy || exit 1

servers() { sed -n 's/^#: server //p' "$1" 2>/dev/null; }
digest_of() { sed -n 's/^#: digest //p' "$1"; }
answering() { (timeout 2 wget -q -O - http://127.0.0.1:9903/) 2>/dev/null; }
# A question to a worker that ends meanwhile is never answered, nor closed, by HAProxy 3.2; nc itself waits for ever.
ask_master() { (echo "$1" | timeout 5 nc 127.0.0.1 9901) 2>/dev/null; }

# A client that is killed leaves its scripts running in here. The run that came last owns the edge: an older one notices
# and stops, and whoever holds the lock is waited for, so that two never write the configuration at once.
superseded() { [ "$(cat owner 2>/dev/null)" != "$QUAYSIDE_RUN" ]; }
give_way() { echo "a later release took over"; exit 1; }
# Asked again and again, because busybox's flock cannot wait for a limited time.
lock() {
    exec 9>release.lock
    end=$(($(date +%s) + 300))
    until flock -n 9; do
        superseded && give_way
        [ "$(date +%s)" -lt "$end" ] || { echo "another release has held the edge for five minutes; run again when it has ended"; exit 1; }
        sleep 0.2
    done
    ! superseded || give_way
}

# A configuration's public routes are in a file of its own, which is never changed: its name tells its content. HAProxy
# reads it when it starts, so it stays for as long as any configuration here names it. A file that lost a part of itself,
# on a disk that was full or without power, would answer visitors that there is no such page: what is in it is compared.
has_routes() { sed -n 's/^#: route //p' "$1" | cmp -s - "$2" 2>/dev/null; } # configuration file
lay_routes() { # configuration
    name=$(sed -n 's/^#: routes //p' "$1")
    [ -n "$name" ] && ! has_routes "$1" "routes/$name" || return 0
    mkdir -p routes
    sed -n 's/^#: route //p' "$1" >routes/.new
    has_routes "$1" routes/.new || { echo "its routes cannot be written; is its disk full?"; return 1; }
    mv routes/.new "routes/$name"
    for file in routes/*; do
        grep -qxF "#: routes ${file#routes/}" ./*.cfg "$1" || rm -f "$file"
    done
}
# Whether HAProxy takes a configuration; prints what it says.
sound() { # configuration
    lay_routes "$1" || return 1
    haproxy -c -f "$1" 2>&1
}

# What HAProxy says of a configuration it refuses, for people: no container need resolve yet.
spoken() { grep -v -e NOTICE -e 'could not resolve address' | sed 's/^/  /'; }
# Services that speak another protocol in one configuration than in another.
other_protocols() { # one other
    awk 'FNR == 1 { pass++ }
        /^[a-z]/ { name = $1 == "backend" && $2 ~ /^svc_/ ? substr($2, 5) : ""; if (name != "") tcp[pass, name] = 0 }
        name != "" && $1 == "mode" && $2 == "tcp" { tcp[pass, name] = 1 }
        END { for (key in tcp) { split(key, at, SUBSEP); if (at[1] == 1 && (2, at[2]) in tcp && tcp[key] != tcp[2, at[2]]) { print at[2] } }
    }' "$1" "$2" | sort | paste -s -d ' ' -
}

# Rename into place, reload, and wait until the new worker answers. Without an answer the old file comes back.
take() { # file
    digest=$(digest_of "$1")
    cp haproxy.cfg previous.cfg
    mv "$1" haproxy.cfg
    kill -USR2 1
    tries=0
    while [ "$(answering)" != "$digest" ]; do
        tries=$((tries + 1))
        if [ "$tries" -ge 100 ]; then
            mv previous.cfg haproxy.cfg
            kill -USR2 1
            return 1
        fi
        sleep 0.1
    done
}
not_taken() { echo "the edge did not take the configuration within 10 s; the old one serves on (see its logs)"; exit 1; }

# The names that services have for each other: the internal listener and the TCP ones.
# And what other hosts' edges may reach here: the gateway.
inner() { awk '/^[a-z]/ { on = $1 == "frontend" && ($2 ~ /^(internal|gateway)$/ || $2 ~ /^tcp_/) } on' "$1" | grep -v '^ *#'; }

# One configuration, and beside its own the names of another: who may call whom, by which port, what other hosts may ask
# the gateway for, and the services that only the other has. All else is as the one says, a port that both give away, too. In a release, containers of two versions
# run at the same time, and each keeps the names it was told.
union() { # one other digest fill
    awk -v digest="$3" -v fill="${4:-}" '
        function inner() { return kind == "frontend" && (name ~ /^(internal|gateway)$/ || name ~ /^tcp_/) }
        function callers() { return inner() && ($1 == "acl" || $1 == "use_backend") }
        # Without a server here, and with one there. Only then do the other servers answer for a backend of both.
        function filled() { return fill && name in wanted && !(name in serves) && name in offers }
        # What tells of the health of a backend (up_) comes with it.
        function needed() { return name in wanted || name ~ /^up_/ && ("svc_" substr(name, 4)) in wanted }
        FNR == 1 { pass++; kind = name = "" }
        /^(global|defaults|resolvers|frontend|backend)/ { kind = $1; name = $2 }
        kind == "frontend" && name == "digest" {
            if (pass < 3 && $0 != "") answer[pass] = answer[pass] $0 "\n"
            next
        }
        pass == 1 {
            section[kind, name]
            if ($1 == "#:") directive[$0]
            if (callers()) has[name, $0]
            if (kind == "frontend" && $1 == "bind") { bound[$2]; port[name] = $2 }
            if (kind == "backend" && $1 == "server") serves[name]
        }
        pass == 2 {
            if ($1 == "#:" && $2 == "network" && !($0 in directive)) networks = networks $0 "\n"
            if (callers() && !((name, $0) in has)) more[name, $1] = more[name, $1] $0 "\n"
            if (inner() && $1 == "bind") other[name] = $2
            if (inner() && $1 ~ /_backend$/) wanted[$2]
            if (kind == "backend" && $1 == "server") offers[name]
        }
        pass == 3 {
            if (FNR == 1) printf "#: digest %s\n%s", digest, networks
            if ($1 == "#:" && $2 == "digest" || kind == "backend" && filled()) next
            both = inner() && port[name] == other[name]
            if (both && $1 == "default_backend") printf "%s", more[name, "use_backend"]
            print
            if (both && $1 == "bind") printf "%s", more[name, "acl"]
        }
        pass == 4 && (kind == "resolvers" && !((kind, name) in section) \
            || kind == "backend" && needed() && (!((kind, name) in section) || filled()) \
            || inner() && !(other[name] in bound)) {
            # The same name at another port is a frontend of its own.
            if ($1 == "frontend" && (kind, name) in section) $0 = $0 "_" substr(other[name], 2)
            print
        }
        END {
            last = answer[1] != "" ? answer[1] : answer[2]
            sub(/string [^\n]*/, "string " digest, last)
            printf "\n%s", last
        }
    ' "$1" "$2" "$1" "$2"
}

# What stands of a burst is in burst.cfg, and lies over whatever configuration a release brings (planning/hosts/burst.py):
# servers of burst hosts, weights that count them, whom the gateway lets in beside. Prints one configuration of both.
compose() { # configuration overlay
    awk '
        # A section ends before the empty line that is between it and the next.
        function close_section() { if (open != "") { printf "%s", tail[open]; open = "" } }
        FNR == 1 { pass++; name = "" }
        $1 == "#:" && $2 == "burst" { mark = $3 }
        /^[a-z]/ { name = $1 " " $2 }
        pass == 1 {
            if ($1 == "#:") next
            if (name == $0) { order[++sections] = name; next }
            if ($1 == "weight") weight[name, $2] = $3
            else if ($0 != "") { line[name, ++lines[name]] = $0; server[name, lines[name]] = $1 == "server" ? $2 : "" }
        }
        pass == 2 {
            section[name]
            if ($1 == "server") has[name, $2]
            if (name == "frontend gateway" && $1 == "bind") { mesh = $0; sub(/^ *bind [^ ]+ /, "", mesh) }
        }
        pass == 3 && FNR == 1 {
            for (i = 1; i <= sections; i++) {
                at = order[i]
                # What tells of the health of a backend (up_) comes with it.
                if (!(at in section) && !(at ~ /^backend up_/ && ("backend svc_" substr(at, 12)) in section)) continue
                for (j = 1; j <= lines[at]; j++) {
                    text = line[at, j]
                    # A burst host that became a permanent one.
                    if (server[at, j] != "" && (at, server[at, j]) in has) continue
                    if (cut = index(text, "@mesh@")) text = substr(text, 1, cut - 1) mesh substr(text, cut + 6)
                    if (text ~ /^ *acl /) head[at] = head[at] text "\n"; else tail[at] = tail[at] text "\n"
                }
                if (!(at in section)) added = added at "\n" head[at] tail[at] "\n"
            }
        }
        pass == 3 {
            if (/^[a-z]/ || $0 == "") close_section()
            if (/^[a-z]/) open = name
            if ($1 == "#:" && $2 == "digest") $0 = $0 "." mark
            if ($1 == "server" && (name, $2) in weight) sub(/ weight [0-9]+/, " weight " weight[name, $2])
            if (name == "frontend digest") { if ($1 == "http-request") $0 = $0 "." mark; last = last $0 "\n"; next }
            # Rules are what they were; what they ask is before them.
            if ($1 == "acl" && name ~ /^backend / && !(name in begun)) { begun[name]; printf "%s", head[name] }
            print
            if ($1 == "bind" && !(name in begun)) { begun[name]; printf "%s", head[name] }
        }
        END { close_section(); printf "%s%s", added, last }
    ' "$2" "$1" "$1"
}
# Lays what stands of a burst over a file. What cannot be had together is said, and stops no release.
overlaid() { # file
    [ -s burst.cfg ] || return 0
    compose "$1" burst.cfg >overlaid.cfg
    if problem=$(sound overlaid.cfg); then mv overlaid.cfg "$1"; return 0; fi
    echo "burst hosts are left out until they have this release: $(echo "$problem" | grep -v NOTICE | head -n 3)"
    rm -f overlaid.cfg
}

# No answer is not "none": a master that is busy reloading would otherwise end a drain before it began.
old_workers() {
    tries=0
    until listing=$(ask_master "show proc") && echo "$listing" | grep -q '^# workers'; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || return 1
        sleep 0.2
    done
    echo "$listing" | awk '/^# old workers/ { old = 1; next } /^#/ { old = 0 } old && $1 ~ /^[0-9]+$/ { print $1 }'
}
