#!/bin/bash
# Compares methods on a Slurm cluster. Each job of the array trains the runs of one seed, all in OUT.
#
#   export DATA=/shared/data OUT=/shared/compare
#   first=$(sbatch --parsable --array=0 slurm-compare.sh)
#   rest=$(sbatch --parsable --array=1-4 --dependency=afterok:$first slurm-compare.sh)
#   SEEDS=0,1,2,3,4 sbatch --array=0 --dependency=afterany:$rest slurm-compare.sh
#
# The first job measures the methods and writes their steps to OUT/compare.yaml, so that those of the
# other seeds are the same. The last job trains what is missing and writes the tables of all seeds.
# Change the methods, the labels and the steps below before the first job.
#SBATCH --job-name=compare
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=INT@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

SEEDS="${SEEDS:-$SLURM_ARRAY_TASK_ID}"

status=0
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" semiseg compare "$DATA" --methods supervised,css-stored \
  --labels 23,46 --steps 1500 --seeds "$SEEDS" --out "$OUT" || status=$?

# As in slurm-train.sh. Of an array, one job has the number of the whole array.
if [ "$status" -eq 130 ]; then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
