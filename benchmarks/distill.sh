#!/bin/sh
# Distil and evaluate one cell: sh benchmarks/distill.sh DATA_ROOT NAME LIMIT ROUNDS SEED OUT [OPTION…]
# The test file is read once, by `pgkd evaluate`, after the run. A finished cell is left alone.
set -eu
data=$1/$2 limit=$3 rounds=$4 seed=$5 out=$6/$2-$3-s$5
shift 6
[ -f "$out/result.json" ] || { rm -rf "$out"; .venv/bin/pgkd distill --threads 1 \
  --train "$data/train.csv.gz" --limit "$limit" --rounds "$rounds" --samples 32 --patience 20 \
  --seed "$seed" --out "$out" "$@"; }
[ -s "$out.eval.json" ] || OMP_NUM_THREADS=1 .venv/bin/pgkd evaluate "$out" --data "$data/test.csv.gz" --json > "$out.eval.json"
