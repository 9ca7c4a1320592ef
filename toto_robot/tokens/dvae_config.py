"""The keys of a dVAE's training run."""
from dataclasses import dataclass

from toto_robot.errors import UserError
from toto_robot.tokens.dvae import PATCH, preset
from toto_robot.tokens.training import TokenizerTrainingConfig


@dataclass
class TrainDVAEConfig(TokenizerTrainingConfig):
    """`preset`: tiny, or dalle (on a GPU, with far more steps)."""

    decoder_share: float = 0.35
    """Share of the steps, at the end, that train the decoder alone on hard codes."""
    bottleneck: int = 16
    """Dimensions of the continuous start's z."""
    bottleneck_nats: float = 2.0
    """What z carries in the start, in units of log(vocab_size) a token."""
    start_entropy: float = 1.0
    """Mean entropy in nats of a token's posterior when codes are written; sets their sharpness κ."""
    beta: float = 0.1
    """Final weight β of the divergence from uniform. DALL·E's 6.6 is for 8,192 codes and photographs."""
    usage: float = 0.4
    """Weight of the divergence from uniform of a batch's mean posterior (ours: keeps codes in use)."""
    temperature_end: float = 1 / 16
    """Last relaxation temperature; the first is 1."""

    @property
    def patch(self) -> int:
        return PATCH

    def __post_init__(self):
        preset(self.preset)
        super().__post_init__()
        if self.bottleneck < 1:
            raise UserError(f"bottleneck: expected at least 1, got {self.bottleneck}")
        if not 0 <= self.decoder_share < 1:
            raise UserError(f"decoder_share: expected a share from 0 to below 1, got {self.decoder_share}")
        if not (self.bottleneck_nats > 0 and self.start_entropy > 0 and 0 < self.temperature_end <= 1):
            raise UserError("bottleneck_nats, start_entropy and temperature_end must be above 0 (the last at most 1)")
        if self.start_share + self.decoder_share >= 1:
            raise UserError(f"start_share + decoder_share: expected less than 1, got {self.start_share + self.decoder_share}")

    @property
    def decoder_from(self) -> int:
        """The step at which the encoder is frozen."""
        return max(self.start_steps + 1, self.steps - round(self.steps * self.decoder_share))
