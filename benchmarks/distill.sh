#!/bin/sh
# Distil and evaluate one cell: sh benchmarks/distill.sh DATA_ROOT NAME LIMIT ROUNDS SEED OUT
# The test file is read once, by `pgkd evaluate`, after the run. A finished cell is left alone.
set -eu
out=$6/$2-$3-s$5
[ -f "$out/result.json" ] || { rm -rf "$out"; .venv/bin/pgkd distill --threads 1 \
  --train "$1/$2/train.csv.gz" --limit "$3" --rounds "$4" --samples 32 --patience 20 --seed "$5" --out "$out"; }
[ -s "$out.eval.json" ] || .venv/bin/pgkd evaluate "$out" --data "$1/$2/test.csv.gz" --json > "$out.eval.json"
