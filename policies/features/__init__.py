"""What a policy sees besides proprioception: frozen features, computed in parallel and cached on disk."""
