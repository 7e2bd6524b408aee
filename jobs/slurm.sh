#!/usr/bin/env bash
# A sweep on a SLURM allocation: sbatch jobs/slurm.sh --job paper --data /shared/mvtec_ad --run /shared/runs/paper
#
# Ray starts on the allocation's nodes and ends with it. A preempted or timed-out job is put back into the queue, and goes on where it
# stopped: a requeue is a resume. The run folder, the dataset and this checkout must lie on storage that every node sees.
#SBATCH --job-name=apc-bench
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
set -euo pipefail

bin=${APC_BENCH_BIN:-$(cd "${SLURM_SUBMIT_DIR:-.}" && pwd)/.venv/bin}
port=${APC_BENCH_PORT:-6379}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$("$bin/python" -c 'import secrets; print(secrets.token_hex(32))')}
export RAY_USAGE_STATS_ENABLED=0
export RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=0 # the sweep has let its steps end by then

cpus=${SLURM_CPUS_PER_TASK:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(head -n 1 <<<"$nodes")
address=$head:$port

srun --nodes=1 --ntasks=1 --nodelist="$head" \
    "$bin/ray" start --head --node-ip-address="$head" --port="$port" --num-cpus="$cpus" --num-gpus="$gpus" --include-dashboard=false --block &
ray=$!
until "$bin/ray" health-check --address "$address" >/dev/null 2>&1; do
    kill -0 "$ray" 2>/dev/null || { echo "error: Ray did not start on $head, port $port; its reason stands above" >&2; exit 1; }
    sleep 2
done
others=$(tail -n +2 <<<"$nodes")
for node in $others; do
    srun --nodes=1 --ntasks=1 --nodelist="$node" "$bin/ray" start --address="$address" --num-cpus="$cpus" --num-gpus="$gpus" --block &
done

"$bin/apc-bench" sweep --address "$address" "$@" &
sweep=$!
requeue() {
    kill -TERM "$sweep" 2>/dev/null || true
    wait "$sweep" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap requeue TERM
wait "$sweep"
