#!/usr/bin/env bash
# Pre-trains Toto on a folder of your own videos, on any machine, and shows the result.
#
#   recipes/egocentric.sh VIDEO_FOLDER [OUT]
#
# Tokenizes with the embedded dVAE (5 % of the videos are held out) and trains the embedded model further: STEPS steps of
# one row of 16 frames, by default 100, which takes minutes on two CPU cores. Draws the loss, the loss by frame and the use
# of the codes, completes a held-out clip, and loads the encoder. A stopped run goes on.
# MODEL=tiny, base … begins with random weights of that size instead, with single frames for 90 % of the steps. It needs
# many more videos than ten and many more steps than a hundred (LOG.md).
# On a cluster: recipes/pretrain.slurm.
set -euo pipefail
VIDEOS=$(realpath "${1:?usage: recipes/egocentric.sh VIDEO_FOLDER [OUT]}")
cd "$(dirname "$0")/.."
OUT=${2:-runs/egocentric}
PY=${PY:-.venv/bin/python}
STEPS=${STEPS:-100}
if [ -n "${MODEL:-}" ]; then
    TRAIN="model=$MODEL short_steps=$((STEPS * 9 / 10)) short_batch=32 batch_rows=2 lr=1.5e-3 warmup_steps=$((STEPS / 8))"
else
    TRAIN="init=toto_tiny batch_rows=1 lr=3e-4 warmup_steps=$((STEPS / 10))"
fi
mkdir -p "$OUT"
$PY -m toto_robot.tokenize "$VIDEOS" "$OUT/tokens" part=train hop_s=0.5
$PY -m toto_robot.tokenize "$VIDEOS" "$OUT/tokens_held_out" part=held_out
$PY -m toto_robot.token_stats "$OUT/tokens" out="$OUT/token_stats"
if [ ! -e "$OUT/toto/result.json" ]; then
    $PY -m toto_robot.pretrain "stores=[$OUT/tokens]" "validation=[$OUT/tokens_held_out]" tokenizer=toto_tiny $TRAIN \
        out="$OUT/toto" steps="$STEPS" validate_every=20 checkpoint_every=20 log_every=10 \
        $(compgen -G "$OUT/toto/resume/step-*" >/dev/null && echo resume=true)
fi
CLIP=$($PY -c "import sys; from toto_robot.tokens.store.token_store import TokenStore
store = TokenStore(sys.argv[1])
print(next((store.row(i)['source'] for i in range(len(store)) if store.kind(i) == 0), ''))" "$OUT/tokens_held_out")
[ -z "$CLIP" ] || $PY -m toto_robot.generate "$VIDEOS/$CLIP" frames=4 encoder="$OUT/toto/model" out="$OUT/completed"
$PY -c "import sys, toto_robot; print(toto_robot.load_encoder(sys.argv[1]))" "$OUT/toto/model"
