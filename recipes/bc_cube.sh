#!/usr/bin/env bash
# Behaviour cloning on franka_cube. Records 300 demonstrations of the scripted expert, makes the embedded policy bc_cube
# with its card, and trains MLP and transformer side by side. Draws success against the number of demonstrations for Toto,
# random features and a ResNet that is trained end to end (docs/bc_demonstrations.png).
# Finished runs are kept, unfinished runs go on.
#
#   recipes/bc_cube.sh              everything
#   recipes/bc_cube.sh policy       the demonstrations and bc_cube only
#
# RECORD and TRAIN add overrides to recording and to the training of bc_cube, for example RECORD="noise_std=0.1".
# COUNTS and SEEDS choose the points of the sweep, with 50 unseen episodes each.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
ENV=${ENV:-franka_cube}
DEMOS=${DEMOS:-data/bc_cube}
COUNTS=${COUNTS:-30 60 120 240}
SEEDS=${SEEDS:-0}
[ -e "$DEMOS.done" ] || {
    $PY -m demos.record env="$ENV" expert=scripted episodes=300 out="$DEMOS" ${RECORD:-} $([ -e "$DEMOS" ] && echo resume=true)
    touch "$DEMOS.done"
}
run() {   # name, then overrides
    [ -e "runs/$1/result.json" ] && return
    $PY -m toto_robot.train_bc env="$ENV" demos="$DEMOS" run="$1" "${@:2}" $([ -e "runs/$1" ] && echo resume=true)
}
run bc_cube data.augment.jitter=0.3 data.augment.copies=1 ${TRAIN:-}
[ -e runs/bc_cube/trials16.json ] || {
    $PY -m toto_robot.evaluate runs/bc_cube env="$ENV" protocol=trials16 seed=54321 > runs/bc_cube/trials16.tmp
    mv runs/bc_cube/trials16.tmp runs/bc_cube/trials16.json
}
$PY -m toto_robot.publish_policy runs/bc_cube bc_cube recipe=recipes/bc_cube.sh 'scores=[runs/bc_cube/trials16.json]'
[ "${1:-}" = policy ] && exit
for seed in $SEEDS; do
    run "transformer-240-$seed" policy=bc_transformer optim=rpt_fast seed="$seed" episodes=50   # beside toto_tiny-240, the MLP
    for count in $COUNTS; do
        run "toto_tiny-$count-$seed" encoder=toto_tiny data.use="$count" seed="$seed" episodes=50
        run "random_weights-$count-$seed" encoder=toto_tiny_random data.use="$count" seed="$seed" episodes=50
        run "resnet-$count-$seed" encoder=resnet optim=scratch_fast data.use="$count" seed="$seed" episodes=50
    done
done
list() { ls -d "$@" | paste -sd,; }
$PY -m toto_robot.demo_curve out=docs/bc_demonstrations.png title="$ENV: behaviour cloning" \
    "runs=[$(list runs/{toto_tiny,random_weights,resnet,transformer}-*-?)]"
