#!/bin/bash
# Trains on one GPU of a Slurm cluster. The job goes on by itself after a preemption, a failure of
# the machine, and at its time limit.
#
#   DATA=/shared/data RUN=/shared/runs/first sbatch slurm-train.sh
#
# Settings of the training follow the name of the script: sbatch slurm-train.sh --labels 23
# Without a GPU, remove the line with --gpus-per-node.
#SBATCH --job-name=train
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --signal=INT@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

status=0
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" semiseg train "$DATA" --out "$RUN" --resume "$@" || status=$?

# Slurm sends INT two minutes before the time limit; semiseg then saves, and ends with the status 130.
# scancel sends TERM, and an error ends with another status: neither of them is queued again.
if [ "$status" -eq 130 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
