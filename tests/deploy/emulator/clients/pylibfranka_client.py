"""What the tests do with pylibfranka, in a process of its own.

`python pylibfranka_client.py SCENARIO IP` prints JSON.
"""

import json
import math
import sys
import time

import numpy as np
import pylibfranka as p

K, D = np.array([600, 600, 600, 600, 250, 150, 50.0]), np.array([50, 50, 50, 50, 30, 25, 15.0])


def connect(ip):
    return p.Robot(ip, p.RealtimeConfig.kIgnore)


def names(errors):
    return [n for n in dir(errors) if not n.startswith("_") and getattr(errors, n) is True]


def fresh(robot):
    robot.read_once()
    return robot.read_once()


def state(ip):
    robot = connect(ip)
    s = fresh(robot)
    model = robot.load_model()
    return {
        "q": list(s.q),
        "O_T_EE": list(s.O_T_EE),
        "mode": s.robot_mode.name,
        "errors": names(s.current_errors),
        "gravity": list(model.gravity(s)),
        "tau_J": list(s.tau_J),
        "m_total": s.m_total,
    }


def setters(ip):
    robot = connect(ip)
    robot.set_collision_behavior([21.0] * 7, [22.0] * 7, [23.0] * 6, [24.0] * 6)
    robot.set_joint_impedance([3000.0] * 7)
    robot.set_cartesian_impedance([3000.0] * 3 + [300.0] * 3)
    robot.set_load(0.5, [0, 0, 0.05], [0.001, 0, 0, 0, 0.001, 0, 0, 0, 0.001])
    robot.set_EE([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0.1, 1])
    s = fresh(robot)
    robot.set_load(0.0, [0, 0, 0], [0.0] * 9)  # an arm keeps its settings
    robot.set_EE(list(np.eye(4).ravel()))
    return {"m_load": s.m_load, "F_x_Cload": list(s.F_x_Cload), "F_T_EE": list(s.F_T_EE)}


def motion(robot, seconds, amplitude):
    control = robot.start_joint_position_control(p.ControllerMode.JointImpedance)
    q0, elapsed = None, 0.0
    while True:
        s, dt = control.readOnce()
        elapsed += dt.to_sec()
        q0 = list(s.q_d) if q0 is None else q0
        q = list(q0)
        q[3] += amplitude * (1 - math.cos(math.pi * min(elapsed / seconds, 1.0))) / 2
        command = p.JointPositions(q)
        command.motion_finished = elapsed >= seconds
        control.writeOnce(command)
        if command.motion_finished:
            return q0, q, s


def joint_motion(ip):
    robot = connect(ip)
    q0, goal, s = motion(robot, 0.6, 0.05)
    end = fresh(robot)
    return {
        "start": q0,
        "goal": goal,
        "q": list(end.q),
        "mode": end.robot_mode.name,
        "success_rate": s.control_command_success_rate,
    }


def torque_hold(ip):
    robot = connect(ip)
    control = robot.start_torque_control()
    q0, worst = None, 0.0
    for i in range(401):
        s, _ = control.readOnce()
        q0 = np.array(s.q) if q0 is None else q0
        worst = max(worst, float(np.abs(np.array(s.q) - q0).max()))
        command = p.Torques(list(K * (q0 - s.q) - D * np.array(s.dq)))
        command.motion_finished = i == 400
        control.writeOnce(command)
    return {"worst": worst, "mode": fresh(robot).robot_mode.name}


def async_targets(ip):
    robot = connect(ip)
    handler_type = p.AsyncPositionControlHandler
    result = handler_type.configure(
        robot, handler_type.Configuration(maximum_joint_velocities=[1.0] * 7, goal_tolerance=0.01)
    )
    if result.error_message:
        return {"error": result.error_message}
    handler, goal = result.handler, np.array(fresh(robot).q)
    for _k in range(10):
        goal[6] += 0.02
        handler.set_joint_position_target(handler_type.JointPositionTarget(list(goal)))
        time.sleep(0.02)
    for _ in range(400):
        feedback = handler.get_target_feedback()
        status = feedback.status.name
        if "EXECUTING" not in status.upper():
            break
    handler.stop_control()
    del handler, result
    s = fresh(robot)
    return {"goal": list(goal), "q": list(s.q), "status": status, "mode": s.robot_mode.name}


def gripper(ip):
    hand = p.Gripper(ip)
    out = {"homing": hand.homing(), "open": hand.read_once().width, "move": hand.move(0.06, 0.1)}
    out |= {"width": hand.read_once().width, "version": hand.server_version()}
    out |= {"empty_grasp": hand.grasp(0.04, 0.1, 20.0), "is_grasped": hand.read_once().is_grasped}
    return out


def until_error(ip):
    """Holds still until an error comes. Returns the error and the result of the recovery."""
    robot, out = connect(ip), {}
    try:
        control = robot.start_torque_control()
        for i in range(10**6):
            s, _ = control.readOnce()
            control.writeOnce(p.Torques([0.0] * 7))
            if i == 20:
                print("moving", flush=True)
    except Exception as error:
        out |= described(error)
    return out | after(robot)


def described(error):
    return {"type": type(error).__name__, "is_runtime_error": isinstance(error, RuntimeError), "message": str(error)}


def after(robot):
    out = {}
    try:
        s = fresh(robot)
        out |= {"mode": s.robot_mode.name, "errors": names(s.current_errors), "last": names(s.last_motion_errors)}
        robot.automatic_error_recovery()
        out["recovered"] = fresh(robot).robot_mode.name
    except Exception as error:
        out["after"] = described(error)
    return out


def async_until_error(ip):
    robot = connect(ip)
    handler_type = p.AsyncPositionControlHandler
    result = handler_type.configure(
        robot, handler_type.Configuration(maximum_joint_velocities=[1.0] * 7, goal_tolerance=0.01)
    )
    handler, goal = result.handler, list(fresh(robot).q)
    for i in range(10**6):
        handler.set_joint_position_target(handler_type.JointPositionTarget(goal))
        feedback = handler.get_target_feedback()
        if feedback.error_message:
            handler.stop_control()
            del handler, result
            return {"status": feedback.status.name, "message": feedback.error_message} | after(robot)
        if i == 5:
            print("moving", flush=True)


def jump(ip):
    """Commands a position that is half a degree away in one step."""
    robot, out = connect(ip), {}
    try:
        control = robot.start_joint_position_control(p.ControllerMode.JointImpedance)
        for i in range(200):
            s, _ = control.readOnce()
            if i == 0:
                q = list(s.q_d)
            q[0] += 0.01 * (i == 100)
            control.writeOnce(p.JointPositions(q))
    except Exception as error:
        out |= described(error)
    return out | after(robot)


def cartesian(ip):
    robot = connect(ip)
    try:
        robot.start_cartesian_pose_control(p.ControllerMode.JointImpedance)
    except Exception as error:
        return described(error) | {"mode": fresh(robot).robot_mode.name}


def connect_only(ip):
    try:
        connect(ip)
        return {"connected": True}
    except Exception as error:
        return described(error)


def gripper_fails(ip):
    try:
        return {"move": p.Gripper(ip).move(0.05, 0.1)}
    except Exception as error:
        return described(error)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](sys.argv[2])), flush=True)
