"""What a policy's numbers mean, and whether it fits a robot: description, rules, conversions, the policy's folder.

On the arrow: between a trained policy and whatever it drives. Nothing starts before it agrees.
"""
