"""Protocols by name. A protocol says how an action becomes motion."""

from envs.protocols.deployment import Deployment
from envs.protocols.pixmc import PixMC
from envs.protocols.protocol import Protocol
from envs.protocols.real_arm import RealArm

PROTOCOLS: dict[str, type[Protocol]] = {protocol.name: protocol for protocol in (RealArm, PixMC, Deployment)}
