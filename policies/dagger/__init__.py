"""DAgger: collect with student and expert, aggregate, learn."""
