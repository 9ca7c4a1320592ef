#!/usr/bin/env bash
# Clones three sets of other robots, in three formats, without an environment, and judges them by held-out episodes. Makes
# docs/held_out.png and the numbers of docs/did_training_work.md, in minutes on two cores. Finished runs are kept.
#
#   recipes/foreign_sets.sh FOLDER      a folder with franka_fr3_stack, octo_bridge and g1_inspire_lerobot_v21
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
FROM=${1:?the folder of the sets}
convert() {   # folder, name, then what the files do not say
    [ -e "data/$2.zarr" ] || $PY -m demos.convert "$FROM/$1" "data/$2.zarr" to=zarr "${@:3}"
}
train() {     # name, then overrides
    [ -e "runs/$1/result.json" ] && return
    $PY -m toto_robot.train_bc env=none demos="data/$1.zarr" run="$1" data.held_out=0.2 threads=1 "${@:2}" $([ -e "runs/$1" ] && echo resume=true)
}
convert franka_fr3_stack fr3_stack hz=20 robot=fr3 'names=[x,y,z,qw,qx,qy,qz,gripper]' 'units=[m,m,m,1,1,1,1,1]'
convert octo_bridge bridge robot=widowx 'names=[dx,dy,dz,droll,dpitch,dyaw,gripper]'
convert g1_inspire_lerobot_v21 g1
train fr3_stack encoder=none 'env.binary_actions=[-1]' optim.epochs=40
train bridge data.camera=image_0 encoder.crop=centre 'env.binary_actions=[-1]' optim.epochs=100
train g1 encoder.crop=centre optim.epochs=100
$PY -m toto_robot.held_out_curve 'runs=[runs/fr3_stack,runs/bridge,runs/g1]' \
    'titles=[FR3 stacking from robomimic,WidowX bridge from RLDS,G1 from LeRobot v2.1]' out=docs/held_out.png
