# On the host, behind lines that set client, owner, task, stack, keep, wanted and before.
# shellcheck disable=SC2154
set -u
line='
'
root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# The server may have been handed over since it was prepared, or freed.
base=${QUAYSIDE_ROOT-} mark=
[ ! -e "$base/etc/quayside/owner" ] || read -r mark <"$base/etc/quayside/owner"
if [ "$task" = make ] && [ -n "$mark" ] && [ "$mark" != "$owner" ]; then
    echo "belongs to another stack now, $mark, so nothing was made there; this is $owner"
    echo "    take it out of this stack's capacity; or take it out of that one and run \`up\` there, which frees it"
    exit 1
fi

# What others changed of the files that prepared it is put back, and its packet filter stands.
repair() {
    sums=$base/var/lib/quayside/sums prepare=$base/usr/local/sbin/quayside-prepare
    [ -s "$sums" ] || return 0
    changed=$(root sha256sum --check --quiet "$sums" 2>/dev/null | sed 's/: .*//' | tr '\n' ' ')
    if [ -n "$changed" ]; then
        echo "somebody changed what this stack put there, and it is put back: $changed"
        root "$prepare" >/dev/null || {
            echo "    which did not succeed: see above; \`sudo quayside-prepare\` there says it again"
            return 1
        }
    fi
    for where in "INPUT -j QUAYSIDE-INPUT" "DOCKER-USER -j QUAYSIDE-DOCKER"; do
        # shellcheck disable=SC2086 # a rule, to be split
        root iptables -w 10 -C $where 2>/dev/null && continue
        echo "the packet filter was not in force (no $where), and is again"
        root "$base/usr/local/sbin/quayside-firewall" || return 1
    done
}

stays() {
    case " $keep " in *" $1 "*) return 0 ;; esac
    return 1
}

# Of "SERVICE THING" lines, the things of services that do not stay.
others() {
    while read -r service thing; do
        stays "$service" || echo "$thing"
    done
}

sweep() {
    mine="label=dev.quayside.stack=$stack"
    gone=$(docker ps -a --no-trunc --filter "$mine" --format '{{.Label "dev.quayside.service"}} {{.ID}}' | others)
    if [ -n "$gone" ]; then
        # The edge would ask for every name of them whenever it reads the configuration that it had: seconds each.
        # shellcheck disable=SC2086 # ids, to be split
        unnamed=$(docker inspect -f '{{.Name}}' $gone | sed 's|^/\(.*\)|s/ \1:/ 127.0.0.1:/|')
        for edge in $(docker ps -q --filter "$mine" --filter label=dev.quayside.service=edge); do
            docker exec "$edge" sed -i "$unnamed" /var/lib/haproxy/haproxy.cfg /var/lib/haproxy/main.cfg || :
        done
        # Each as long as it asked for: they may serve somebody yet.
        # shellcheck disable=SC2086 # ids, to be split
        docker stop $gone >/dev/null && docker rm -f -v $gone >/dev/null || return 1
    fi
    for network in $(docker network ls --filter "$mine" --format '{{.Label "dev.quayside.service"}} {{.Name}}' | others); do
        for joined in $(docker network inspect -f '{{range .Containers}}{{.Name}} {{end}}' "$network"); do
            docker network disconnect -f "$network" "$joined" || return 1
        done
        docker network rm "$network" >/dev/null || return 1
    done
    # Never data: of services that have any, what `files` names, and of the edge of a burst host what it had.
    for role in files edge; do
        for volume in $(docker volume ls --filter "$mine" --filter "label=dev.quayside.role=$role" \
            --format '{{.Label "dev.quayside.service"}} {{.Name}}' | others); do
            docker volume rm "$volume" >/dev/null || return 1
        done
    done
}

# Client and engine have to have a version of Docker's API in common. Docker 29.0 to 29.2, of either, begin at 1.44
# (Docker 25), where those before began at 1.24 or earlier, and those after at 1.40 (moby, client and daemon, by their tags).
speak() {
    engine=$(timeout 60 docker version --format '{{.Server.Version}} {{.Server.MinAPIVersion}} {{.Server.APIVersion}}' 2>&1) || {
        echo "its Docker does not answer: ${engine:-nothing within 60 s}"
        return 1
    }
    # shellcheck disable=SC2086 # words, to be split
    set -- $engine $client
    there=$1 least=${2#1.} most=${3#1.} here=$4 newest=${5-}
    if [ "$most" -lt 41 ]; then
        echo "has Docker $there, and 20.10 is the oldest that a release is tried on: upgrade it there, or take another server"
        return 1
    fi
    [ "$here" != - ] && [ -n "$newest" ] || return 0
    case $here in
    29.0.* | 29.1.* | 29.2.*) oldest=44 ;;
    29.* | [3-9][0-9].*) oldest=40 ;;
    *) oldest=24 ;;
    esac
    if [ "$oldest" -gt "$most" ] || [ "${newest#1.}" -lt "$least" ]; then
        echo "has Docker $there (API 1.$least to 1.$most), and the client on the machine that deploys is $here (API 1.$oldest to $newest):"
        echo "    they have no version in common, so nothing was made; what fits every host, Debian 12's 20.10 as Ubuntu's 29, is a"
        echo "    client from 25.0 to 28, or from 29.3 on, on the machine that deploys: docker-cli or docker-ce-cli"
        return 1
    fi
}

images=$base/usr/local/sbin/quayside-images
if [ "$task" = make ]; then
    repair || exit 1
    speak || exit 1
    # What runs until now is what one would go back to.
    # On a full disk it cannot be written down before what nobody uses has gone.
    [ ! -x "$images" ] || root "$images" note || { root "$images" prune now && root "$images" note; } || exit 1
fi
case $task:$before in
away:* | make:down*) sweep || exit 1 ;;
esac
if [ "$task" = away ]; then
    [ "$mark" != "$owner" ] || root rm -f "$base/etc/quayside/owner"
    exit 0
fi

# What runs and is not known to have been asked for yet: a state was lost, and it will be taken over or replaced.
running=$(docker ps --filter "label=dev.quayside.stack=$stack" --format '{{.Label "dev.quayside.slot"}}')
need=0 news=
while read -r slot bytes digest; do
    [ -n "$slot" ] || continue
    case $line$before$line in *"$line$slot $bytes $digest$line"*) continue ;; esac
    case $digest:$before in
    *: | -:*)
        # Also what is replaced stop-first, and was left out by an `up` that could not delete it.
        case $line$running$line in *"$line$slot$line"*) continue ;; esac
        ;;
    esac
    # Of the same container only the limit changes, which is done in place.
    had=$(printf '%s\n' "$before" | sed -n "s/^$slot \([0-9]*\) $digest\$/\1/p")
    if [ -n "$had" ]; then
        [ "$bytes" -gt "$had" ] || continue
        bytes=$((bytes - had))
    elif [ "$digest" = - ]; then
        case $line$before in *"$line$slot "*) continue ;; esac
    fi
    need=$((need + bytes)) news="$news $slot"
done <<END
$wanted
END
free=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo) * 1024))
if [ "$need" -gt "$free" ]; then
    echo "has $((free / 1048576)) MiB of memory free, and what is to be made there needs $((need / 1048576)) MiB:$news"
    echo "    nothing was made; see what else runs there, lower memory or replicas, or add a host"
    echo "    (a larger type takes effect when the host's generation is raised, and is planned with at once)"
    exit 1
fi

# Images are pulled next, and nobody knows their size before: with less than this a host soon does nothing right.
floor=2097152
disk() {
    set -- "$(docker info --format '{{.DockerRootDir}}')"
    # Docker 29 has its images there.
    [ ! -d "$base/var/lib/containerd" ] || set -- "$@" "$base/var/lib/containerd"
    df -Pk "$@" | awk 'NR > 1 && (least == "" || $4 < least) { least = $4 } END { print least }'
}
if [ -n "$news" ] && [ "$(disk)" -lt "$floor" ]; then
    [ ! -x "$images" ] || root "$images" prune now
    left=$(disk)
    if [ "$left" -lt "$floor" ]; then
        echo "has $((left / 1024)) MiB of disk free for Docker, and a release takes at least $((floor / 1024)) MiB for its images"
        echo "    nothing was made; images that none of the last 5 releases used are removed already: see what else takes it,"
        echo "    there by \`docker system df\` and \`du -xh / | sort -h | tail\`, free it or take a larger disk, and run \`up\` again"
        exit 1
    fi
fi
