#!/bin/bash
# Runs a sweep on all nodes of a Slurm allocation. From Trytable's folder, on the login node:
#
#   make ray
#   sbatch --nodes=2 --gpus-per-node=4 --cpus-per-task=32 --time=4:00:00 examples/slurm.sh NAME=dropout
#
# What follows the script's name are make's variables, as for `make sweep`. The folder of Trytable
# and RUNS must lie on a file system that all nodes share. Slurm ends the job two minutes after it
# has asked: until then the running trials are saved, and the same command goes on with them.

#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:TERM@120
#SBATCH --output=slurm-%j.log

set -euo pipefail

ray=.venv/bin/ray
python=.venv/bin/python
nodes=$SLURM_JOB_NUM_NODES

# Every port of Ray runs what it is sent, and other users of the cluster reach it, too. So Ray asks
# for a token that only this job knows; srun hands it to the nodes with the environment.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$("$python" -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN
export RAY_USAGE_STATS_ENABLED=0

# Two jobs may share a node: no port and no folder is a fixed one.
mapfile -t names < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head_node=${names[0]}
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head_node" hostname --ip-address | awk '{print $1}')
export RAY_ADDRESS=$head_ip:$((20000 + SLURM_JOB_ID % 20000))
has=(
	--num-cpus="${SLURM_CPUS_PER_TASK:-1}"
	--num-gpus="${SLURM_GPUS_ON_NODE:-0}"
	--min-worker-port=0 --max-worker-port=0
	--block
)

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head_node" \
	"$ray" start --head --node-ip-address="$head_ip" --port="${RAY_ADDRESS##*:}" \
	--include-dashboard=false --temp-dir="/tmp/ray-$SLURM_JOB_ID" "${has[@]}" &
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT

if ((nodes > 1)); then
	srun --overlap --nodes=$((nodes - 1)) --ntasks=$((nodes - 1)) --exclude="$head_node" \
		"$ray" start --address="$RAY_ADDRESS" "${has[@]}" &
fi

# The sweep counts the slots when it starts, so all nodes must be there by then.
for ((tries = 60; ; tries--)); do
	joined=$("$python" - 2>/dev/null <<'END' || true
import logging, os, ray
ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False, logging_level=logging.ERROR)
print(sum(node["Alive"] for node in ray.nodes()))
END
	)
	if [[ $joined == "$nodes" ]]; then break; fi
	if ((tries == 0)); then
		echo "Only ${joined:-0} of $nodes nodes have joined the Ray cluster." >&2
		exit 1
	fi
	sleep 2
done

# Slurm's signal comes to this script; make hands it on, and the sweep saves its trials.
make sweep ENGINE=ray "$@" &
sweep=$!
trap 'kill -TERM $sweep 2>/dev/null || true' TERM
status=0
wait "$sweep" || status=$?
while kill -0 "$sweep" 2>/dev/null; do # a signal ends a wait before what is waited for
	status=0
	wait "$sweep" || status=$?
done
exit "$status"
