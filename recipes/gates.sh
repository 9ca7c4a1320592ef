#!/usr/bin/env bash
# docs/gates.png: success on franka_pick against the states in which the expert was asked, for each gate, one seed, 50
# evaluation episodes a point. The expert's first round is short, so that the later queries matter. About 45 minutes on
# 2 CPU cores. Finished runs are kept, unfinished runs go on. Arguments are overrides (threads=1 beside other jobs).
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
SETTINGS="dagger=small dagger.rounds=7 dagger.num_envs=16 dagger.first_round_steps=1024 learner.updates_per_round=600"
GATES=${GATES:-vanilla beta safe lazy ensemble thrifty hg}
for gate in $GATES; do
    run="gate_$gate-${SEED:-0}"
    [ -e "runs/$run/result.json" ] && continue
    $PY -m toto_robot.train_dagger env=franka_pick gate=$gate run="$run" seed="${SEED:-0}" episodes=0 $SETTINGS "$@" \
        $([ -e "runs/$run" ] && echo resume=true)
done
list=$(for gate in $GATES; do echo "runs/gate_$gate-${SEED:-0}"; done | paste -sd,)
$PY -m toto_robot.compare "runs=[$list]" axis=expert_queries lowest=70 out=docs/gates.png \
    title="franka_pick: success against what the expert was asked"
