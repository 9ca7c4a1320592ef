"""Recording of demonstrations: by experts, by policies, by a person."""
