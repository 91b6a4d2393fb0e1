#!/system/bin/sh
# Runs pocketllm, or $POCKETLLM_MODULE, with the Python of this folder. Another processor than arm64
# needs an emulator:
#   POCKETLLM_EMULATOR=qemu-aarch64-static ./pocketllm --help
here=$(cd "$(dirname "$0")" && pwd) || exit 1
unset LD_PRELOAD LD_LIBRARY_PATH PYTHONPATH
export PYTHONHOME="$here/python" PYTHONUTF8=1
# Compiled modules stay out of the folders that `device push` compares.
export PYTHONPYCACHEPREFIX="$here/cache"
exec $POCKETLLM_EMULATOR "$here/lib/ld-linux-aarch64.so.1" --library-path "$here/lib" \
    "$here/python/bin/python3.11" -sP -m "${POCKETLLM_MODULE:-pocketllm.runtime.cli}" "$@"
