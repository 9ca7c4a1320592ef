"""Where the camera sits in the hand."""
