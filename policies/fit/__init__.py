"""What a policy's numbers mean, and whether it fits a robot: description, rules, conversions, the policy's folder."""
