#!/usr/bin/env bash
# Experts by reinforcement learning (pip install 'toto_robot[rl]'): PPO on the privileged state for franka_reach, a student of
# that expert by DAgger, PPO for franka_pick, and MVP's published baseline, PPO from pixels on frozen features.
# Finished runs are kept, unfinished runs go on. Arguments after the first are overrides (threads=1).
#
#   recipes/rl_experts.sh           PPO on franka_reach, and the student (2 CPU cores)
#   recipes/rl_experts.sh pick      PPO on franka_pick, 3 million steps (2.4 million took 88 minutes beside other jobs)
#   recipes/rl_experts.sh mvp       MVP's PPO in full on the eight PixMC environments, from state and from pixels: 4 to 16
#                                   million steps each, days on 2 cores
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PY:-.venv/bin/python}
run() {   # command, name, then overrides
    [ -e "runs/$2/result.json" ] && return
    $PY -m toto_robot."$1" run="$2" "${@:3}" "${MORE[@]}" $([ -e "runs/$2" ] && echo resume=true)
}
MORE=("${@:2}")
case "${1:-reach}" in
reach)
    run train_expert ppo_reach env=franka_reach
    $PY -m toto_robot.evaluate expert expert=runs/ppo_reach env=franka_reach
    run train_dagger ppo_reach_student env=franka_reach expert=runs/ppo_reach
    ;;
pick)
    run train_expert ppo_pick env=franka_pick algo=ppo_long
    ;;
mvp)
    for robot in franka kuka; do
        for task in reach cabinet pick move; do
            run train_expert "mvp_state_${robot}_$task" env="${robot}_${task}_pixmc" algo=ppo_mvp
            run train_expert "mvp_pixels_${robot}_$task" env="${robot}_${task}_pixmc" algo=ppo_mvp encoder=toto_tiny encoder.pooling=mean
        done
    done
    ;;
*)
    echo "expected reach, pick or mvp, got $1" >&2
    exit 2
    ;;
esac
