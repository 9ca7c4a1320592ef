#!/usr/bin/env bash
# The table of experts in docs/environments.md: each scripted expert on 200 unseen evaluation seeds at the real arm's protocol
# and on 40 at PixMC's, without drawing. Takes about ten minutes on 2 CPU cores, and prints the table. The results
# are in runs/experts.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
mkdir -p runs
: > runs/experts.jsonl
score() { $PY -m toto_robot.evaluate expert env="$1" episodes="$2" | tail -1 >> runs/experts.jsonl; }
for robot in franka kuka kuka_gripper; do
    for task in reach cabinet pick move; do score "${robot}_$task" 200; done
done
for task in pick_clutter pick_hidden; do score "franka_$task" 200; done
for robot in franka kuka; do
    for task in reach cabinet pick move; do score "${robot}_${task}_pixmc" 40; done
done
$PY -c 'import json
print("| environment | success | 95 % interval | mean steps |\n|---|---|---|---|")
for r in map(json.loads, open("runs/experts.jsonl")):
    low, high = (100 * x for x in r["wilson95"])
    print(f"| {r['"'env'"']} | {r['"'successes'"']}/{r['"'episodes'"']} | {low:.1f}–{high:.1f} % | {r['"'mean_steps'"']:.1f} |")'
