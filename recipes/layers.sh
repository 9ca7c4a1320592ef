#!/usr/bin/env bash
# Which layer and which pooling: a probe for the cube's position for every layer, and DAgger from three of them.
# Writes docs/probe/ (table, picture) and runs/layer*. About 40 minutes on 2 CPU cores.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
[ -e data/probe.npz ] || $PY -m toto_robot.render out=data/probe.npz labels=true clips=96 frames=60 keep_every=2 seed=3 'looks=[nominal]'
[ -e docs/probe ] || $PY -m toto_robot.probe data/probe.npz out=docs/probe
for layer in 1 3 6; do
    [ -e "runs/layer$layer-0/result.json" ] || $PY -m toto_robot.train_dagger env=franka_pick run="layer$layer-0" \
        encoder.layer=$layer dagger.eval_every=2 $([ -e "runs/layer$layer-0" ] && echo resume=true)
done
for pooling in mean attention; do
    [ -e "runs/$pooling-0/result.json" ] || $PY -m toto_robot.train_dagger env=franka_pick run="$pooling-0" \
        encoder.pooling=$pooling dagger.eval_every=2 $([ -e "runs/$pooling-0" ] && echo resume=true)
done
