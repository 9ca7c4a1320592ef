"""How an action becomes motion: the real arm's protocol, PixMC's, and the deployment of a real arm."""

from envs.protocols.deployment import Deployment
from envs.protocols.pixmc import PixMC
from envs.protocols.real_arm import RealArm

PROTOCOLS = {protocol.name: protocol for protocol in (RealArm, PixMC, Deployment)}
