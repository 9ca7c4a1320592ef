"""The parts that every command shares: read overrides, call a room with one validated dataclass, print one JSON
line."""

from toto_robot.command.compose import compose, compose_config, group_options
from toto_robot.command.help import field_docs, help_text
from toto_robot.command.run import print_json, run

__all__ = ["compose", "compose_config", "field_docs", "group_options", "help_text", "print_json", "run"]
