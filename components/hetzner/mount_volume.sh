# Mounts a volume on the host that it was attached to; runs there, as root, and may run any number of times.
# It never makes a file system: the volume came with one, and what has none here is not the one that is meant.
set -eu
device=$1
folder=$2

waited=0
until [ -b "$device" ]; do
    if [ "$waited" -ge 60 ]; then
        echo "$device has not appeared within 60 s: is the volume attached to this host?" >&2
        exit 1
    fi
    waited=$((waited + 1))
    sleep 1
done
if [ -z "$(blkid -o value -s TYPE "$device")" ]; then
    echo "$device has no file system, and none is made where there may be data" >&2
    exit 1
fi
mkdir -p "$folder"
# A host starts without it rather than not at all; and Docker after it, whose containers need what is on it.
line="$device $folder ext4 defaults,nofail,discard,noatime,x-systemd.before=docker.service 0 2"
if ! grep -qxF "$line" /etc/fstab; then
    sed -i "\\|^[^ ]* $folder |d" /etc/fstab
    printf '%s\n' "$line" >>/etc/fstab
fi
if [ "$(findmnt -n -o SOURCE --target "$folder" | xargs -r readlink -f)" != "$(readlink -f "$device")" ]; then
    mount "$folder"
fi
resize2fs "$device" # up to the volume's size, which may have been raised; nothing to do otherwise
# Containers get a folder in it: databases refuse one with lost+found in it, and where the volume is not mounted, there is
# no such folder, so that Docker refuses to start the container instead of giving it an empty disk.
mkdir -p "$folder/data"
