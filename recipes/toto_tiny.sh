#!/usr/bin/env bash
# Makes the embedded encoder `toto_tiny` from nothing: rendered video of every environment (and real clips, if a folder is
# given) -> dVAE -> token stores -> Toto -> toto_robot/weights/toto_tiny.
#
#   recipes/toto_tiny.sh [VIDEO_FOLDER]
#
# A step is skipped if its result exists, so a stopped run goes on. WORK is the working folder (by default
# data/toto_tiny). SCALE multiplies the clips and the training steps (by default 1; 0.05 tries every step in minutes).
# The looks of the evaluation are never filmed: only random looks and the nominal one.
set -euo pipefail
cd "$(dirname "$0")/.."
VIDEOS=${1:-}
WORK=${WORK:-data/toto_tiny}
SCALE=${SCALE:-1}
PY=${PY:-.venv/bin/python}
export MUJOCO_GL=${MUJOCO_GL:-egl}
scaled() { awk -v n="$1" -v s="$SCALE" 'BEGIN { n = int(n * s + 0.5); print (n < 8 ? 8 : n) }'; }
mkdir -p "$WORK"

LOOKS='looks=[random,random,random,nominal]'
[ -e "$WORK/clips.done" ]     || { $PY -m toto_robot.render out="$WORK/clips" clips="$(scaled 840)" frames=64 env=all side=true twins=true "$LOOKS" seed=1; touch "$WORK/clips.done"; }
[ -e "$WORK/clips_val.done" ] || { $PY -m toto_robot.render out="$WORK/clips_val" clips="$(scaled 84)" frames=64 env=all side=true "$LOOKS" seed=2; touch "$WORK/clips_val.done"; }
if [ -n "$VIDEOS" ]; then
    $PY recipes/real_clips.py "$VIDEOS" "$WORK/real"       # whole repositories are held out
fi
if [ ! -e "$WORK/dvae/metrics.json" ]; then
    $PY -m toto_robot.train_dvae "$WORK/clips" "$WORK/dvae" twins="$WORK/clips_twins" ${VIDEOS:+more="$WORK/real/train" more_share=0.18} \
        frames_every=3 steps="$(scaled 3600)" start_share=0.55 consistency=30 jitter.noise_std=16 held_out=0.03 \
        $([ -e "$WORK/dvae/resume.pt" ] && echo resume=true)
fi
$PY -m toto_robot.looks "$WORK/dvae" ${VIDEOS:+real="$WORK/real/held_out"} out="$WORK/looks_dvae" ${LOOKS_SIZE:-}
tokenize() { $PY -m toto_robot.tokenize "$1" "$2" tokenizer="$WORK/dvae" "${@:3}"; }   # finished shards are kept
tokenize "$WORK/clips" "$WORK/tokens" hop_s=0.5
tokenize "$WORK/clips_val" "$WORK/tokens_val"
STORES="$WORK/tokens"; SHARES=1; VALIDATION="$WORK/tokens_val"
if [ -n "$VIDEOS" ]; then
    tokenize "$WORK/real/train" "$WORK/tokens_real" hop_s=0.5
    STORES="$WORK/tokens,$WORK/tokens_real"; SHARES=0.8,0.2
    if [ -e "$WORK/real/held_out" ]; then
        tokenize "$WORK/real/held_out" "$WORK/tokens_real_val"
        VALIDATION="$VALIDATION,$WORK/tokens_real_val"
    fi
fi
if [ ! -e "$WORK/toto/model/config.yaml" ]; then
    $PY -m toto_robot.pretrain "stores=[$STORES]" "weights=[$SHARES]" "validation=[$VALIDATION]" tokenizer="$WORK/dvae" \
        model=tiny out="$WORK/toto" short_steps="$(scaled 900)" steps="$(scaled 2400)" short_batch=32 batch_rows=2 lr=1.5e-3 \
        $(compgen -G "$WORK/toto/resume/step-*" >/dev/null && echo resume=true)
fi
$PY -m toto_robot.completion "$WORK/toto/model" "$WORK/tokens_val" table_from="$WORK/tokens" out="$WORK/completion"
$PY -m toto_robot.looks "$WORK/toto/model" ${VIDEOS:+real="$WORK/real/held_out"} out="$WORK/looks" ${LOOKS_SIZE:-}
$PY -m toto_robot.publish "$WORK/toto/model" toto_tiny tokenizer_metrics="$WORK/dvae/metrics.json" rendered="$WORK/clips" \
    ${VIDEOS:+videos="$WORK/real/train"} layer=3 pooling=grid
cp "$WORK/dvae/reconstructions.png" docs/reconstructions.png
