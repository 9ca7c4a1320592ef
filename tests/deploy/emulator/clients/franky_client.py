"""What the tests do with franky, in a process of its own.

`python franky_client.py SCENARIO IP [JSON]` prints one JSON line.
"""

import json
import sys
import threading
import time

import franky
import numpy as np

K, D = np.array([600, 600, 600, 600, 250, 150, 50.0]), np.array([50, 50, 50, 50, 30, 25, 15.0])


def connect(ip):
    robot = franky.Robot(ip, realtime_config=franky.RealtimeConfig.Ignore)
    robot.relative_dynamics_factor = 0.2
    return robot


def positions(robot):
    return np.array(robot.current_joint_state.position)


def state(ip):
    robot = connect(ip)
    s = robot.state
    model = robot.model
    frames = [
        franky.Frame.Joint1,
        franky.Frame.Joint4,
        franky.Frame.Joint7,
        franky.Frame.Flange,
        franky.Frame.EndEffector,
    ]
    return {
        "q": list(s.q),
        "poses": [np.array(model.pose(frame, s).matrix).tolist() for frame in frames],
        "jacobian": np.array(model.zero_jacobian(franky.Frame.EndEffector, s)).tolist(),
        "mass": np.array(model.mass(s)).tolist(),
    }


def joint_motion(ip):
    robot = connect(ip)
    goal = positions(robot) + [0.1, 0, 0, -0.1, 0, 0.1, 0.2]
    robot.move(franky.JointMotion(goal.tolist()))
    return {"goal": goal.tolist(), "q": list(robot.state.q)}


def tracker(ip):
    """Targets at 20 Hz of wall time, 0.01 rad further each time."""
    robot = connect(ip)
    goal = positions(robot)
    with franky.JointImpedanceTracker(robot, stiffness=K, damping=D, period=0.05) as session:
        for _ in range(20):
            session.tick()
            goal[6] += 0.01
            session.set_target(goal)
        end_s = session.state.time.to_sec() + 3.0  # of the robot's time: D/K of the law is 0.3 s
        while session.state.time.to_sec() < end_s:
            time.sleep(0.01)
        q = np.array(session.state.q)
    return {"goal": goal.tolist(), "q": q.tolist()}


def gripper(ip):
    hand = franky.Gripper(ip)
    return {"homing": hand.homing(), "open": hand.width, "move": hand.move(0.03, 0.1), "width": hand.width}


def until_error(ip):
    robot, out = connect(ip), {}
    try:
        with franky.JointImpedanceTracker(robot, stiffness=K, damping=D) as session:
            print("moving", flush=True)
            while session.is_running:
                time.sleep(0.005)
            robot.join_motion()
    except Exception as error:
        out |= described(error)
    try:
        robot.recover_from_errors()
        out["recovered"] = robot.state.robot_mode.name
    except Exception as error:
        out["after"] = described(error)
    return out


def described(error):
    return {"type": type(error).__name__, "message": str(error)}


def grasp(ip, plan):
    """Goes through the waypoints `plan["q"]` (N, 7), closing after the one before the last, while the console grants
    time: a tracker for the whole of it, set-points every 100 ms."""
    from deploy.emulator.console import Console

    console, robot, hand = Console(ip), connect(ip), franky.Gripper(ip)
    now = console.ask("info")["time_ms"]

    def pass_time(ms):
        nonlocal now
        now += ms
        console.ask("grant", until_ms=now)

    def during(blocking, counter):
        """Starts `blocking` in a thread and waits until the emulator has heard of it."""
        before = console.ask("counters")[counter]
        thread = threading.Thread(target=blocking)
        thread.start()
        while console.ask("counters")[counter] == before:
            time.sleep(0.001)
        return thread

    q = np.array(console.ask("physics")["qpos"][:7])
    motion = franky.JointImpedanceTrackingMotion(stiffness=K, damping=D)
    motion.set_reference(franky.JointReference(q=q))
    start = during(lambda: robot.move(motion, asynchronous=True), "moves")
    start.join()
    pass_time(100)
    for i, goal in enumerate(np.array(plan["q"])):
        for share in np.linspace(0, 1, plan["pieces"] + 1)[1:]:
            motion.set_reference(franky.JointReference(q=q + share * (goal - q)))
            pass_time(100)
        q = goal
        pass_time(400)
        if i == len(plan["q"]) - 2:
            held = []
            closing = during(lambda: held.append(hand.grasp(0.045, 0.1, 40.0, 0.03, 0.03)), "gripper_commands")
            pass_time(1600)  # the servo takes 1.4 s to press with 40 N
            closing.join()
    out = {"physics": console.ask("physics"), "held": held, "counters": console.ask("counters")}
    stopping = threading.Thread(target=lambda: console_free(ip), daemon=True)
    stopping.start()
    robot.stop()
    return out


def console_free(ip):
    from deploy.emulator.console import Console

    Console(ip).ask("grant", until_ms=10**9)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2], *(json.loads(a) for a in sys.argv[3:]))), flush=True)
