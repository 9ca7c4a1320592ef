#!/usr/bin/env bash
# The learning curves of docs/controls.png: DAgger from different inputs, 50 evaluation episodes a point, with the
# paper's mean pooling and with the default 4×4 grid. The rounds are smaller than in the default recipe, because there
# most curves are near their end at the first point. About 2.5 hours on 2 CPU cores.
# Finished runs are kept, unfinished runs go on.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
SMALL="dagger=small learner.updates_per_round=1000"
run() {   # name, then overrides
    [ -e "runs/$1/result.json" ] && return
    $PY -m toto_robot.train_dagger env=franka_pick run="$1" $SMALL "${@:2}" $([ -e "runs/$1" ] && echo resume=true)
}
for seed in 0 1 2; do
    run "toto_tiny_mean-$seed" encoder=toto_tiny encoder.pooling=mean seed=$seed episodes=0
    run "random_weights_mean-$seed" encoder=toto_tiny_random encoder.pooling=mean seed=$seed episodes=0 dagger.eval_every=4
done
run dvae_codes_mean-0 encoder=dvae_codes encoder.pooling=mean episodes=0
run proprioception-0 encoder=none episodes=0
run privileged-0 encoder=privileged
for seed in 0 1; do run "toto_tiny-$seed" encoder=toto_tiny seed=$seed episodes=0; done
run random_weights-0 encoder=toto_tiny_random episodes=0
run dvae_codes-0 encoder=dvae_codes episodes=0
list() { ls -d "$@" | paste -sd,; }
$PY -m toto_robot.compare out=docs/controls.png title="franka_pick: DAgger from different inputs" \
    "runs=[$(list runs/{toto_tiny_mean,random_weights_mean,dvae_codes_mean,proprioception,privileged}-?)]" \
    "second=[$(list runs/{toto_tiny,random_weights,dvae_codes}-?)]" "titles=[mean pooling,4x4 grid]"
