# Runs a command where it finds Android's folders and an ARM processor's /proc/cpuinfo:
#   unshare --mount --pid --fork sh phone_root.sh CPUINFO DATA_SIZE COMMAND…
# / is a folder of links to the real one's folders, in a mount namespace that ends with the command;
# /data is its own file system of DATA_SIZE, empty at first, and so is /sdcard. /system/bin holds
# Android's shell (mksh) and tools (toybox) where they are installed, else this machine's.
set -e
cpuinfo=$1 data_size=$2
shift 2
root=${TMPDIR:-/tmp}/pocketllm-phone-root
mkdir -p "$root"
mount -t tmpfs none "$root"
for entry in /*; do
    if [ -L "$entry" ]; then
        cp -P "$entry" "$root$entry"
    elif [ "$entry" = /proc ]; then
        mkdir "$root/proc"
        mount -t proc proc "$root/proc"
    elif [ -d "$entry" ]; then
        mkdir "$root$entry"
        mount --rbind "$entry" "$root$entry"
    fi
done
mkdir -p "$root/data" "$root/sdcard" "$root/system/bin"
if toybox=$(command -v toybox) && mksh=$(command -v mksh); then
    for tool in $(toybox); do ln -s "$toybox" "$root/system/bin/$tool"; done
    ln -sf "$mksh" "$root/system/bin/sh"
else
    ln -s /bin/sh "$root/system/bin/sh"
fi
for tool in "$(dirname "$0")"/phone_bin/*; do
    rm -f "$root/system/bin/${tool##*/}"
    cp "$tool" "$root/system/bin/"
done
mount -t tmpfs -o "size=$data_size" none "$root/data"
mkdir -p "$root/data/local/tmp"
mount --bind "$cpuinfo" "$root/proc/cpuinfo"
here=$PWD
# Not exec: this shell is process 1 there, and buries the orphans.
chroot "$root" sh -c 'cd "$0" && "$@"' "$here" "$@"
