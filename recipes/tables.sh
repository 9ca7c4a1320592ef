#!/usr/bin/env bash
# The paper's design choices side by side (Sec. 4.1, Tables 3–5) at equal training FLOPs: rendered and real frames, rows of
# 4 frames, one seed. It compares LLaMA, GPT-2 and Mamba; 16×16 tokens, 32×32, and 16×16 then 32×32 with RoPE base 10,000
# and 50,000; dVAE, VQGAN layout and patches. The probe for the cube's position scores each. Writes docs/tables/*.md.
#
#   recipes/tables.sh toy VIDEO_FOLDER      about an hour on two CPU cores
#   recipes/tables.sh full VIDEO_FOLDER     base models on a GPU
#
# FLOPS is the budget of a run (toy 1.5e13). Finished steps are kept, unfinished steps go on.
set -euo pipefail
MODE=${1:?toy or full}
VIDEOS=$(realpath "${2:?a folder of real videos}")
cd "$(dirname "$0")/.."
WORK=${WORK:-data/tables-$MODE}
OUT=${OUT:-runs/tables-$MODE}
PY=${PY:-.venv/bin/python}
export MUJOCO_GL=${MUJOCO_GL:-egl}
if [ "$MODE" = toy ]; then
    FLOPS=${FLOPS:-1.5e13}; CLIPS=${CLIPS:-96}; PROBE=${PROBE:-160}; VQGAN=${VQGAN:-"steps=700 batch=8"}
    # Single frames come first: without them LLaMA and GPT-2 learn only the codes' frequencies on this budget (LOG.md).
    TRAIN="model=tiny short_share=0.6 short_batch=32 batch_rows=4 lr=1.5e-3 warmup_steps=20"
    FINE="short_batch=8 batch_rows=1"; MORE="lr=5e-4 warmup_steps=5"
else
    FLOPS=${FLOPS:-3e18}; CLIPS=${CLIPS:-20000}; PROBE=${PROBE:-960}; VQGAN=${VQGAN:-"preset=f8 vocab_size=1024 steps=200000 batch=64 device=cuda precision=bfloat16"}
    TRAIN="model=base batch_rows=256 micro_tokens=65600 lr=3e-4 warmup_steps=2000 device=cuda"; FINE="batch_rows=64"
    MORE="lr=1e-4 warmup_steps=500"
fi
DVAE=toto_robot/weights/toto_tiny
mkdir -p "$WORK" "$OUT" docs/tables
made() { [ -e "$1" ] || { "${@:2}"; touch "$1"; }; }
render() { $PY -m toto_robot.render image_size=256 frames=48 "$@"; }
made "$WORK/clips.done" render out="$WORK/clips" clips="$CLIPS" seed=21
made "$WORK/held_out.done" render out="$WORK/held_out" clips=$((CLIPS / 10)) seed=22
[ -e "$WORK/probe_256.npz" ] || render out="$WORK/probe_256.npz" labels=true clips="$PROBE" keep_every=8 seed=3 'looks=[nominal]'
[ -e "$WORK/probe_128.npz" ] || render out="$WORK/probe_128.npz" labels=true clips="$PROBE" keep_every=8 seed=3 'looks=[nominal]' image_size=128
[ -e "$WORK/vqgan/metrics.json" ] || $PY -m toto_robot.train_vqgan "$WORK/clips" "$WORK/vqgan" more="$VIDEOS" more_share=0.15 frames_every=2 $VQGAN \
    $([ -e "$WORK/vqgan/resume.pt" ] && echo resume=true)

tokenize() {   # name, tokenizer, size
    for part in clips real held_out; do
        source="$WORK/$part"; [ "$part" = real ] && source=$VIDEOS
        $PY -m toto_robot.tokenize "$source" "$WORK/$1/$part" tokenizer="$2" image_size="$3" frames=4 hop_s=0.4
    done
}
tokenize dvae_16 $DVAE 128
tokenize dvae_32 $DVAE 256
tokenize vqgan_16 "$WORK/vqgan" 128
tokenize patches_16 patches:8 128

run() {   # name, stores, tokenizer, part of the budget, then overrides
    if [ ! -e "$OUT/$1/result.json" ]; then
        $PY -m toto_robot.pretrain "stores=[$WORK/$2/clips,$WORK/$2/real]" 'weights=[0.8,0.2]' "validation=[$WORK/$2/held_out]" tokenizer="$3" \
            $TRAIN flops="$(awk -v f="$FLOPS" -v p="$4" 'BEGIN { print f * p }')" out="$OUT/$1" "${@:5}" $(compgen -G "$OUT/$1/resume/step-*" >/dev/null && echo resume=true)
    fi
    size=128; [ "$2" = dvae_32 ] && size=256
    [ -e "$OUT/$1/probe/probe.json" ] || $PY -m toto_robot.probe "$WORK/probe_$size.npz" encoder="$OUT/$1/model" controls=false out="$OUT/$1/probe"
}
run toto dvae_16 $DVAE 1
run gpt2 dvae_16 $DVAE 1 architecture=gpt2
run mamba dvae_16 $DVAE 1 architecture=mamba
run tokens_32 dvae_32 $DVAE 1 $FINE        # as many tokens in a batch as at 16×16
run tokens_16_first dvae_16 $DVAE 0.75
run tokens_16_to_32 dvae_32 $DVAE 0.25 init="$OUT/tokens_16_first/model" rope_theta=10000 $FINE $MORE
run tokens_16_to_32_base_50k dvae_32 $DVAE 0.25 init="$OUT/tokens_16_first/model" rope_theta=50000 $FINE $MORE
run vqgan vqgan_16 "$WORK/vqgan" 1
run patches patches_16 patches:8 1

write() { $PY -m toto_robot.model_table out="docs/tables/$1.md" title="$2" "runs=[$(for name in "${@:3}"; do echo "$OUT/$name"; done | paste -sd,)]"; }
write architectures "Architectures" toto gpt2 mamba
write resolutions "Resolutions: toto has 16×16 tokens a frame" toto tokens_32 tokens_16_to_32 tokens_16_to_32_base_50k
write tokenizers "Tokenizers: toto reads the dVAE's codes" toto vqgan patches
