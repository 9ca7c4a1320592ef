"""The pose of the camera in the hand."""
