#!/usr/bin/env bash
# From 16×16 to 32×32 tokens a frame (128 to 256 px): a 16×16 checkpoint trains further at the finer grid, with RoPE base
# 50,000 (Sec. 4.1, Table 4).
#
#   recipes/finetune_32.sh VIDEO_FOLDER [OUT]
#
# Variables: MODEL_FOLDER (by default the embedded toto_tiny), FRAMES, STEPS, DEVICE.
set -euo pipefail
VIDEOS=$(realpath "${1:?usage: recipes/finetune_32.sh VIDEO_FOLDER [OUT]}")
cd "$(dirname "$0")/.."
OUT=${2:-runs/finetune_32}
PY=${PY:-.venv/bin/python}
MODEL_FOLDER=${MODEL_FOLDER:-toto_robot/weights/toto_tiny}
FRAMES=${FRAMES:-4}
STEPS=${STEPS:-40}
DEVICE=${DEVICE:-cpu}
for part in train held_out; do
    $PY -m toto_robot.tokenize "$VIDEOS" "$OUT/tokens_$part" tokenizer="$MODEL_FOLDER" image_size=256 frames="$FRAMES" part=$part
done
$PY -m toto_robot.pretrain "stores=[$OUT/tokens_train]" "validation=[$OUT/tokens_held_out]" tokenizer="$MODEL_FOLDER" \
    init="$MODEL_FOLDER" rope_theta=50000 steps="$STEPS" batch_rows=2 warmup_steps=5 validate_every=10 checkpoint_every=10 \
    validation_rows=8 log_every=5 device="$DEVICE" out="$OUT/toto" $(compgen -G "$OUT/toto/resume/step-*" >/dev/null && echo resume=true)
