#!/usr/bin/env bash
# The learning curves of docs/controls.png: the same DAgger recipe on different inputs, 50 evaluation episodes a point.
# About 1.5 hours on 2 CPU cores. Finished runs are kept, unfinished ones go on.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
run() {   # name, then overrides
    [ -e "runs/$1/result.json" ] && return
    $PY -m toto_robot.train_dagger env=franka_pick run="$1" dagger.eval_every=2 "${@:2}" $([ -e "runs/$1" ] && echo resume=true)
}
for seed in 0 1 2; do
    run "toto_tiny-$seed" encoder=toto_tiny seed=$seed
    run "random_weights-$seed" encoder=toto_tiny_random seed=$seed episodes=100
done
run dvae_codes-0 encoder=dvae_codes episodes=100
run proprioception-0 encoder=none episodes=100
run privileged-0 encoder=privileged
$PY -m toto_robot.compare out=docs/controls.png title="franka_pick: DAgger from different inputs" \
    "runs=[$(ls -d runs/{toto_tiny,random_weights,dvae_codes,proprioception,privileged}-? | paste -sd,)]"
