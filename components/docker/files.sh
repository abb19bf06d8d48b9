# Inside the edge: lay down the files of its mesh, which come on standard input, each after a line `#: put NAME`. Their
# names tell their content, so one that is there is never changed.
umask 077
lock
mkdir -p mesh
rm -rf mesh/.new
mkdir mesh/.new || exit 1
awk '$1 == "#:" && $2 == "put" { close(file); file = $3 ~ /^[A-Za-z0-9][A-Za-z0-9._-]*$/ ? "mesh/.new/" $3 : "" }
    $1 != "#:" && file != "" { print >file }'
for file in mesh/.new/*; do
    [ ! -f "$file" ] || mv -f "$file" mesh/ || exit 1
done
rmdir mesh/.new
