#!/usr/bin/env bash
# What a training and a prediction cost on a GPU, in at most ten minutes: `bash benchmarks/gpu.sh`.
#
# It takes the options of gpu.py, such as `--limit-minutes 5 --out gpu.json`, and measures the
# sources beside it, whether semiseg is installed or not.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$here/../src${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1
exec python3 "$here/gpu.py" "$@"
