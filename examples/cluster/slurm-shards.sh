#!/bin/bash
# Segments images by 64 jobs of a SLURM array. Each job may be killed and run again at any time.
#
#   RUN=/shared/run IMAGES=/shared/pool OUT=/shared/masks sbatch slurm-shards.sh
#   sbatch --dependency=afterany:JOB --wrap='semiseg predict /shared/run /shared/pool --out /shared/masks --merge'
#
# `--merge` prints the shards to run again, such as 3,7-9: sbatch --array=3,7-9 slurm-shards.sh
#
# With a GPU for each job, add `#SBATCH --gpus-per-task=1`.
#SBATCH --job-name=predict
#SBATCH --array=1-64
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
#SBATCH --requeue
set -euo pipefail

SHARDS=64  # the last number of --array; it stays the same when only some shards run again

semiseg predict "$RUN" "$IMAGES" --out "$OUT" \
  --shard "$SLURM_ARRAY_TASK_ID/$SHARDS" --threads "$SLURM_CPUS_PER_TASK"
