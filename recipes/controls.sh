#!/usr/bin/env bash
# The learning curves of docs/controls.png: the same DAgger recipe on different inputs, 50 evaluation episodes a point,
# in smaller rounds than the default recipe, whose first point comes when all of them are near the end. About 1.5 hours
# on 2 CPU cores. Finished runs are kept, unfinished ones go on.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
SMALL="dagger.rounds=9 dagger.first_round_steps=2048 dagger.steps_per_round=1024 learner.updates_per_round=1000"
run() {   # name, then overrides
    [ -e "runs/$1/result.json" ] && return
    $PY -m toto_robot.train_dagger env=franka_pick run="$1" $SMALL dagger.eval_every=2 "${@:2}" $([ -e "runs/$1" ] && echo resume=true)
}
for seed in 0 1 2; do
    run "toto_tiny-$seed" encoder=toto_tiny seed=$seed episodes=0
    run "random_weights-$seed" encoder=toto_tiny_random seed=$seed episodes=0
done
run dvae_codes-0 encoder=dvae_codes episodes=0
run proprioception-0 encoder=none episodes=0
run privileged-0 encoder=privileged
$PY -m toto_robot.compare out=docs/controls.png title="franka_pick: DAgger from different inputs" \
    "runs=[$(ls -d runs/{toto_tiny,random_weights,dvae_codes,proprioception,privileged}-? | paste -sd,)]"
