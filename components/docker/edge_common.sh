# What accept.sh, switch.sh and restore.sh share. They run inside the edge, in the folder of its configuration.
set -u
cd /var/lib/haproxy || exit 1

servers() { sed -n 's/^#: server //p' "$1" 2>/dev/null; }
digest_of() { sed -n 's/^#: digest //p' "$1"; }
answering() { (timeout 2 wget -q -O - http://127.0.0.1:9903/) 2>/dev/null; }
ask_master() { echo "$1" | nc -w 5 127.0.0.1 9901 2>/dev/null; }

# A client that is killed leaves its scripts running in here. The run that came last owns the edge: an older one notices
# and stops, and whoever holds the lock is waited for, so that two never write the configuration at once.
lock() {
    exec 9>release.lock
    flock -w 300 9 2>/dev/null || flock 9 || { echo "another release holds the edge for five minutes already"; exit 1; }
}
superseded() { [ "$(cat owner 2>/dev/null)" != "$QUAYSIDE_RUN" ]; }

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
