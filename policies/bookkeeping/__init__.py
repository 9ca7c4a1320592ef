"""What every training run shares: settings, run folder, lifetime, screen, saved state, final score."""
