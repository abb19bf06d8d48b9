# Inside the edge, when the old containers have ended: the new configuration alone, without the names that only they used.
lock
case $(digest_of haproxy.cfg) in both-*) take next.cfg || not_taken ;; esac
rm -f drains next.cfg
