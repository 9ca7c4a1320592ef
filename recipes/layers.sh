#!/usr/bin/env bash
# Which layer and which pooling: a probe for the cube's position for every layer (docs/probe/), and DAgger from three layers
# with the paper's mean pooling and with the 4×4 grid (docs/layers.png). About an hour on 2 CPU cores. Run
# `recipes/controls.sh` first: its runs/toto_tiny_mean-0 and toto_tiny-0 are layer 3. Finished runs are kept.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
SMALL="dagger=small learner.updates_per_round=1000"
[ -e data/probe.npz ] || $PY -m toto_robot.render out=data/probe.npz labels=true clips=480 frames=60 keep_every=8 seed=3 'looks=[nominal]'
[ -e docs/probe/probe.json ] || $PY -m toto_robot.probe data/probe.npz out=docs/probe
run() {   # name, then overrides
    [ -e "runs/$1/result.json" ] && return
    $PY -m toto_robot.train_dagger env=franka_pick run="$1" $SMALL episodes=0 "${@:2}" $([ -e "runs/$1" ] && echo resume=true)
}
for layer in 1 6; do
    run "layer_${layer}_mean-0" encoder.layer=$layer encoder.pooling=mean
    run "layer_$layer-0" encoder.layer=$layer
done
$PY -m toto_robot.compare out=docs/layers.png title="franka_pick: DAgger from layers 1, 3 (toto_tiny) and 6" \
    "runs=[runs/layer_1_mean-0,runs/toto_tiny_mean-0,runs/layer_6_mean-0]" "second=[runs/layer_1-0,runs/toto_tiny-0,runs/layer_6-0]" \
    "titles=[mean pooling,4x4 grid]"
