"""The keys of `python -m toto_robot.train_dvae`."""

from dataclasses import dataclass

from toto_robot.ground.errors import UserError, expected
from toto_robot.tokens.dvae import PATCH, preset
from toto_robot.tokens.training.trainer import TokenizerTrainingConfig


@dataclass
class TrainDVAEConfig(TokenizerTrainingConfig):
    """`preset`: tiny, or dalle (on a GPU, with far more steps)."""

    canonical_exposure: bool = True
    """Bring every frame to one exposure and white balance before it is encoded (`video/frames.py`)."""
    start_share: float = 0.6
    """Share of the steps that train the continuous start; the decoder learns from codes in the rest."""
    bottleneck: int = 16
    """Dimensions of z in the continuous start."""
    bottleneck_nats: float = 2.0
    """Information that z carries in the start, in units of log(vocab_size) a token."""
    consistency: float = 20.0
    """Weight of the divergence between the posteriors of two looks of one state. With 1, a nat of it counts like a nat
    of the likelihood."""
    whitening_floor: float = 0.1
    """Added to each direction's variance between two looks, before z is divided by its root; a share of the mean."""
    start_entropy: float = 1.0
    """Mean entropy in nats of a token's posterior when the codes are written. It sets their sharpness κ."""
    batch: int = 4
    """States a step, two looks of each."""
    crop: int = 0
    """Pixels on the side of a training crop. 0 is the whole frame, because a code may depend on its surroundings."""

    @property
    def patch(self) -> int:
        return PATCH

    def __post_init__(self):
        preset(self.preset)
        self.crop = self.crop or self.image_size
        super().__post_init__()
        if self.bottleneck < 1:
            raise expected("bottleneck", "at least 1", self.bottleneck)
        if self.consistency < 0 or not self.whitening_floor > 0:
            raise UserError(
                "Expected consistency of at least 0 and whitening_floor above 0, got "
                f"{self.consistency} and {self.whitening_floor}."
            )
        if not (self.bottleneck_nats > 0 and self.start_entropy > 0):
            got = f"{self.bottleneck_nats} and {self.start_entropy}"
            raise UserError(f"Expected bottleneck_nats and start_entropy above 0, got {got}.")
