#!/usr/bin/env bash
# Pre-trains Toto on a folder of videos of your own, on whatever machine this is, and shows what came of it.
#
#   recipes/egocentric.sh VIDEO_FOLDER [OUT]
#
# Tokenizes with the embedded dVAE (5 % of the videos held out), trains `MODEL` (default tiny) for STEPS steps (default
# 240: minutes on two CPU cores), draws the loss, the loss by frame and the use of the codes, completes a held-out clip,
# and loads the encoder. A stopped run goes on. On a cluster: recipes/pretrain.slurm.
set -euo pipefail
VIDEOS=$(realpath "${1:?usage: recipes/egocentric.sh VIDEO_FOLDER [OUT]}")
cd "$(dirname "$0")/.."
OUT=${2:-runs/egocentric}
PY=${PY:-.venv/bin/python}
MODEL=${MODEL:-tiny}
STEPS=${STEPS:-240}
mkdir -p "$OUT"
$PY -m toto_robot.tokenize "$VIDEOS" "$OUT/tokens" part=train hop_s=0.5
$PY -m toto_robot.tokenize "$VIDEOS" "$OUT/tokens_held_out" part=held_out
$PY -m toto_robot.token_stats "$OUT/tokens" out="$OUT/token_stats"
if [ ! -e "$OUT/toto/result.json" ]; then
    $PY -m toto_robot.pretrain "stores=[$OUT/tokens]" "validation=[$OUT/tokens_held_out]" tokenizer=toto_tiny model="$MODEL" \
        out="$OUT/toto" steps="$STEPS" short_steps=$((STEPS * 9 / 10)) short_batch=32 batch_rows=2 lr=1.5e-3 warmup_steps=30 \
        validate_every=60 checkpoint_every=30 $(compgen -G "$OUT/toto/resume/step-*" >/dev/null && echo resume=true)
fi
CLIP=$($PY -c "import sys; from toto_robot.tokens.store import TokenStore
store = TokenStore(sys.argv[1])
print(next((store.row(i)['source'] for i in range(len(store)) if store.kind(i) == 0), ''))" "$OUT/tokens_held_out")
[ -z "$CLIP" ] || $PY -m toto_robot.generate "$VIDEOS/$CLIP" frames=4 encoder="$OUT/toto/model" out="$OUT/completed"
$PY -c "import sys, toto_robot; print(toto_robot.load_encoder(sys.argv[1]))" "$OUT/toto/model"
