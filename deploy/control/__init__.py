"""The decisions of a run: the state machine, the limits, the gate. And the memory that its processes share."""
