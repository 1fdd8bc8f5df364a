#!/bin/bash
# Trains on one or several GPUs of a Slurm cluster. The job goes on by itself after a preemption, a
# failure of the machine, and at its time limit.
#
#   DATA=/shared/data RUN=/shared/runs/first sbatch slurm-train.sh
#
# Settings of the training follow the name of the script: sbatch slurm-train.sh --labels 23
# On four GPUs of one machine:
#
#   DATA=/shared/data RUN=/shared/runs/four sbatch --gpus-per-node=4 --ntasks-per-node=4 --mem=128G slurm-train.sh
#
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

# One process for each GPU: Slurm sets SLURM_NTASKS_PER_NODE if sbatch gets --ntasks-per-node.
# No --kill-on-bad-exit: the processes end with 130 one after the other, and srun would kill the last.
status=0
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" semiseg train "$DATA" --out "$RUN" --resume \
  ${SLURM_NTASKS_PER_NODE:+--devices "$SLURM_NTASKS_PER_NODE"} "$@" || status=$?

# Slurm sends INT two minutes before the time limit; semiseg then saves, and ends with the status 130.
# scancel sends TERM, and an error ends with another status: neither of them is queued again.
if [ "$status" -eq 130 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
