#!/system/bin/sh
# Runs pocketllm-train with the libraries of this folder: `pocketllm train …`. Another processor than
# arm64 needs an emulator:
#   POCKETLLM_EMULATOR=qemu-aarch64-static ./pocketllm train --help
here=$(cd "$(dirname "$0")" && pwd) || exit 1
unset LD_PRELOAD LD_LIBRARY_PATH
refuse() {
    echo "pocketllm $1: error: this image holds pocketllm-train alone; $2" >&2
    exit 2
}
case "$*" in
"train --bundle="*" --train="*) refuse train "give --runtime=native" ;;
train*) shift ;;
--*) ;;
*) refuse "$1" "push the one with Python (pocketllm device image)" ;;
esac
exec $POCKETLLM_EMULATOR "$here/lib/ld-linux-aarch64.so.1" --library-path "$here/lib" \
    "$here/bin/pocketllm-train" "$@"
