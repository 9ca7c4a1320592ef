"""The arms: one protocol (`base`), and a backend for each vendor's client behind it; `registry` finds one by name."""
