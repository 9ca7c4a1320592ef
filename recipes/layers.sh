#!/usr/bin/env bash
# Which layer and which pooling: a probe for the cube's position for every layer (docs/probe/), and DAgger from three
# layers and three poolings (docs/layers.png). About 1 hour on 2 CPU cores, with `recipes/controls.sh` run before: its
# runs/toto_tiny-0 is layer 3 with grid pooling. Finished runs are kept, unfinished ones go on.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
[ -e data/probe.npz ] || $PY -m toto_robot.render out=data/probe.npz labels=true clips=480 frames=60 keep_every=8 seed=3 'looks=[nominal]'
[ -e docs/probe/probe.json ] || $PY -m toto_robot.probe data/probe.npz out=docs/probe
run() {   # name, then overrides
    [ -e "runs/$1/result.json" ] && return
    $PY -m toto_robot.train_dagger env=franka_pick run="$1" dagger.eval_every=2 episodes=100 "${@:2}" $([ -e "runs/$1" ] && echo resume=true)
}
for layer in 1 6; do run "layer_$layer-grid" encoder.layer=$layer; done
for pooling in mean attention; do
    run "layer_3-$pooling" encoder.pooling=$pooling
    run "random_weights-$pooling" encoder=toto_tiny_random encoder.pooling=$pooling
done
$PY -m toto_robot.compare out=docs/layers.png title="franka_pick: DAgger from different layers and poolings" \
    "runs=[$(ls -d runs/toto_tiny-0 runs/layer_?-* runs/random_weights-{mean,attention} | paste -sd,)]"
