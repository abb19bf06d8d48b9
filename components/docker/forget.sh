# Inside the edge, when the old containers have ended: the new configuration alone, without the names that only they used.
lock
take next.cfg || not_taken
rm -f drains next.cfg
