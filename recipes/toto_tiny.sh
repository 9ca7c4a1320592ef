#!/usr/bin/env bash
# Makes the embedded encoder `toto_tiny` from nothing: rendered wrist-camera video (and real clips, if a folder is
# given) -> dVAE -> token stores -> Toto -> toto_robot/weights/toto_tiny.
#
#   recipes/toto_tiny.sh [VIDEO_FOLDER]
#
# About 50 minutes on 2 CPU cores that multiply bfloat16, two hours on 2 that don't. Every step is skipped when its
# result is there, so a stopped run goes on. WORK is the working folder (default data/toto_tiny); SCALE multiplies the
# clips and the training steps (default 1; 0.05 tries every step out in minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
VIDEOS=${1:-}
WORK=${WORK:-data/toto_tiny}
SCALE=${SCALE:-1}
PY=${PY:-.venv/bin/python}
export MUJOCO_GL=${MUJOCO_GL:-egl}
scaled() { awk -v n="$1" -v s="$SCALE" 'BEGIN { n = int(n * s + 0.5); print (n < 8 ? 8 : n) }'; }
mkdir -p "$WORK"

[ -e "$WORK/clips.done" ]     || { $PY -m toto_robot.render out="$WORK/clips" clips="$(scaled 640)" frames=72 seed=1; touch "$WORK/clips.done"; }
[ -e "$WORK/clips_val.done" ] || { $PY -m toto_robot.render out="$WORK/clips_val" clips="$(scaled 48)" frames=72 seed=2; touch "$WORK/clips_val.done"; }
if [ ! -e "$WORK/dvae/metrics.json" ]; then
    $PY -m toto_robot.train_dvae "$WORK/clips" "$WORK/dvae" ${VIDEOS:+more="$VIDEOS" more_share=0.12} frames_every=2 \
        steps="$(scaled 3300)" start_share=0.27 held_out=0.03 $([ -e "$WORK/dvae/resume.pt" ] && echo resume=true)
fi
tokenize() { $PY -m toto_robot.tokenize "$1" "$2" tokenizer="$WORK/dvae" "${@:3}"; }   # finished shards are kept
tokenize "$WORK/clips" "$WORK/tokens" hop_s=0.5
tokenize "$WORK/clips_val" "$WORK/tokens_val"
STORES="$WORK/tokens"; SHARES=1
if [ -n "$VIDEOS" ]; then
    tokenize "$VIDEOS" "$WORK/tokens_real" hop_s=0.5
    STORES="$WORK/tokens,$WORK/tokens_real"; SHARES=0.9,0.1
fi
if [ ! -e "$WORK/toto/model/config.yaml" ]; then
    $PY -m toto_robot.pretrain "stores=[$STORES]" "weights=[$SHARES]" "validation=[$WORK/tokens_val]" tokenizer="$WORK/dvae" \
        model=tiny out="$WORK/toto" short_steps="$(scaled 900)" steps="$(scaled 960)" short_batch=32 batch_rows=2 lr=1.5e-3 \
        $(compgen -G "$WORK/toto/resume/step-*" >/dev/null && echo resume=true)
fi
$PY -m toto_robot.publish "$WORK/toto/model" toto_tiny tokenizer_metrics="$WORK/dvae/metrics.json" rendered="$WORK/clips" \
    ${VIDEOS:+videos="$VIDEOS"} layer=3 pooling=grid
cp "$WORK/dvae/reconstructions.png" docs/reconstructions.png
