def names(): return ["franka_pick_pixmc"]
