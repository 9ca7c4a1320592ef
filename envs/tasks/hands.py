"""PixMC's numbers that depend on the hand, keyed by `Robot.hand`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class HandNumbers:
    """What a task takes from the kind of hand."""

    cube_half_m: float
    """Half the edge of the cube."""
    reach_weights: tuple[float, ...]
    """Weight of 1/(0.04 + d) in picking and moving, for each finger."""
    reach_floor_m: float
    """A finger nearer to the object than this counts as this near."""
    lifted_m: float
    """Height gained that counts as lifted."""
    at_goal_m: float
    """Distance to the goal that earns the bonus."""
    fallen_m: float
    """Depth below the table that ends a PixMC episode."""
    fingers: tuple[str, ...]
    """Names of the fingers, in the order of `Robot.finger_bodies`."""
    palm: bool
    """Whether the privileged state begins with the palm."""


HANDS = {
    "parallel": HandNumbers(0.0225, (0.08, 0.08), 0.02, 0.015, 0.04, 0.04, ("left", "right"), False),
    "allegro": HandNumbers(0.03, (0.04, 0.04, 0.04, 0.08), 0.03, 0.02, 0.06, 0.06, ("index", "middle", "ring", "thumb"), True),
}
