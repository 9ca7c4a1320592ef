#!/usr/bin/env bash
# Does the frozen Toto matter? The same policy from different inputs, with the same steps, labels and updates.
#
#   recipes/verdicts.sh shifts            franka_pick by DAgger in many looks, then each look of the evaluation
#   recipes/verdicts.sh demonstrations    behaviour cloning from 5, 10, 20 and 40 demonstrations
#
# INPUTS, SEEDS, COUNTS and EPISODES choose a part. SMALL adds overrides to every training run.
# Finished runs are kept, unfinished runs go on. Two CPU cores need about 25 minutes for a run of `shifts` and 2 for a run
# of `demonstrations`.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
WHAT=${1:?shifts or demonstrations}
SEEDS=${SEEDS:-0 1 2}
INPUTS=${INPUTS:-toto_tiny toto_tiny_random dvae_codes mean_pixels none privileged}
EPISODES=${EPISODES:-100}
SHIFTS=${SHIFTS:-light colour camera noise all held_out}
mkdir -p docs/verdicts
list() { ls -d "$@" | paste -sd,; }
looks() {   # run: scores it under every look
    for shift in $SHIFTS; do
        [ -e "$1/shift_$shift.json" ] && continue
        $PY -m toto_robot.evaluate "$1" env="$2" shift="$shift" episodes="$EPISODES" | tail -1 > "$1/shift.tmp"
        mv "$1/shift.tmp" "$1/shift_$shift.json"
    done
}
train() {   # command, run, overrides
    [ -e "runs/$2/result.json" ] && return
    $PY -m "toto_robot.$1" run="$2" episodes="$EPISODES" "${@:3}" ${SMALL:-} $([ -e "runs/$2" ] && echo resume=true)
}
if [ "$WHAT" = shifts ]; then
    for seed in $SEEDS; do
        for input in $INPUTS; do
            train train_dagger "robust_$input-$seed" env=franka_pick dagger=robust encoder="$input" seed="$seed"
            case $input in none | privileged) ;; *) looks "runs/robust_$input-$seed" franka_pick ;; esac
        done
    done
    $PY -m toto_robot.verdict out=docs/verdicts/shifts.md title="franka_pick, DAgger in many looks" \
        "runs=[$(list runs/robust_*-?)]"
elif [ "$WHAT" = demonstrations ]; then
    DEMOS=${DEMOS:-data/verdict_demos}
    [ -e "$DEMOS.done" ] || {
        $PY -m demos.record env=franka_pick expert=scripted episodes=120 out="$DEMOS" $([ -e "$DEMOS" ] && echo resume=true)
        touch "$DEMOS.done"
    }
    for seed in $SEEDS; do
        for count in ${COUNTS:-5 10 20 40}; do
            for input in ${INPUTS/ privileged/}; do   # demonstrations hold no privileged state
                train train_bc "clone_$input-$count-$seed" env=franka_pick demos="$DEMOS" encoder="$input" \
                    data.use="$count" seed="$seed"
            done
        done
    done
    $PY -m toto_robot.verdict out=docs/verdicts/demonstrations.md title="franka_pick, behaviour cloning" \
        "runs=[$(list runs/clone_*-*-?)]"
else
    echo "recipes/verdicts.sh: expected shifts or demonstrations, got $WHAT" >&2
    exit 2
fi
