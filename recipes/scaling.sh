#!/usr/bin/env bash
# The scaling study (Sec. 4.8): sizes a1 to a6 at one learning rate, found at the base width and carried over by muP; a
# power law with its interval, and a plot.
#
#   recipes/scaling.sh toy STORES VALIDATION TOKENIZER     widths 32 to 128, two layers, on two CPU cores; rows of 4
#                                                          frames (tokenize with frames=4); takes minutes
#   recipes/scaling.sh full STORES VALIDATION TOKENIZER    a1 to a6 at full size, under torchrun with GPUS processes
set -euo pipefail
cd "$(dirname "$0")/.."
MODE=${1:?toy or full}; STORES=${2:?comma-separated token stores}; VALIDATION=${3:?a token store}; TOKENIZER=${4:?a tokenizer}
OUT=${OUT:-runs/scaling-$MODE}
PY=${PY:-.venv/bin/python}
if [ "$MODE" = toy ]; then
    SIZES="1 2 3 4"; RUN="$PY -m toto_robot.pretrain"
    COMMON="steps=${STEPS:-300} batch_rows=4 warmup_steps=30 validate_every=50 validation_rows=16 lr=${LR:-0.0078125}"
else
    SIZES="1 2 3 4 5 6"; RUN="$PY -m torch.distributed.run --nproc-per-node ${GPUS:-8} -m toto_robot.pretrain"
    COMMON="steps=${STEPS:-20000} batch_rows=256 micro_tokens=65600 warmup_steps=2000 validate_every=500 device=cuda lr=${LR:-0.0078125}"
fi
for n in $SIZES; do
    SHAPE=""
    [ "$MODE" = toy ] && SHAPE="width=$((32 * n)) heads=4 layers=2 intermediate=$((128 * n)) mup_base_width=32"
    [ -e "$OUT/a$n/result.json" ] || $RUN "stores=[$STORES]" "validation=[$VALIDATION]" tokenizer="$TOKENIZER" model="a$n" $SHAPE $COMMON \
        out="$OUT/a$n" $(compgen -G "$OUT/a$n/resume/step-*" >/dev/null && echo resume=true)
done
$PY -m toto_robot.scaling "runs=[$(for n in $SIZES; do echo "$OUT/a$n"; done | paste -sd,)]" out="$OUT/scaling.png"
