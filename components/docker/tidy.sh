# Inside the edge: remove the files that the configuration does not name. What an old worker has of them is in memory.
lock
sed -n 's/^#: file //p' haproxy.cfg >named
for file in mesh/*; do
    grep -qxF "${file#mesh/}" named || rm -rf "$file"
done
rm -f named
