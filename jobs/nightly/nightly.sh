#!/usr/bin/env bash
# One night: a sweep, the gate, the trend page. jobs/nightly/nightly.sh FOLDER [SWEEP OPTIONS, such as --job paper --data /data/mvtec_ad]
#
#   FOLDER/nights/DATE-REVISION   every night's run, and history.html
#   FOLDER/passed/                links to the nights that the gate let pass; the newest is what the next night is judged against
#   FOLDER/gate.txt, gate.xml     what the gate said last, for people and (JUnit) for a CI system
#   FOLDER/cache/                 empty between nights but for downloaded weights
#
# The exit code is the gate's, or the sweep's where it did not come to a run. A first night ends with 3, since nothing is there to judge it against, and
# passes. A change that is meant is accepted with: ln -s ../nights/DATE-REVISION FOLDER/passed/
set -euo pipefail

usage="usage: nightly.sh FOLDER [SWEEP OPTIONS]"
mkdir -p "${1:?$usage}/nights" "$1/passed"
folder=$(cd "$1" && pwd)
shift
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
apc_bench=${APC_BENCH:-$here/.venv/bin/apc-bench}
[ -x "$apc_bench" ] || apc_bench=apc-bench
revision=$(git -C "$here" rev-parse --short HEAD 2>/dev/null || true)
night=${APC_BENCH_NIGHT:-$(date -u +%F)${revision:+-$revision}}
run=$folder/nights/$night

# Features that another night's code left in the cache would hide what tonight's code does; weights are looked up by their hash and stay.
cache=$folder/cache
clear_cache() { find "$cache" -mindepth 1 -maxdepth 1 ! -name weights -exec rm -rf {} +; }
mkdir -p "$cache/weights"
exec 9>"$folder/.lock"
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "error: another night is still at work in $folder" >&2
    exit 2
fi
clear_cache
trap clear_cache EXIT

swept=0
"$apc_bench" sweep --job nightly --run "$run" --cache "$cache" "$@" 9>&- || swept=$? # what Ray may leave behind must not hold the lock
[ "$swept" -le 1 ] || exit "$swept" # 1: some steps failed, and the gate says what it cannot judge

judged=0
"$apc_bench" gate "$run" --against "$folder/passed" --junit "$folder/gate.xml" ${GATE_OPTIONS:-} >"$folder/gate.txt" || judged=$?
cat "$folder/gate.txt"
"$apc_bench" history "$folder/nights" | tail -n 1
if [ "$swept" -eq 0 ] && { [ "$judged" -eq 0 ] || [ -z "$(ls "$folder/passed")" ]; }; then
    ln -sfn "../nights/$night" "$folder/passed/$night"
fi
exit "$judged"
