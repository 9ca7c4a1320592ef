"""What decides: the state machine, the limits, the gate; what the processes share."""
