"""The keys of a dVAE's training run."""
from dataclasses import dataclass

from toto_robot.errors import UserError
from toto_robot.tokens.dvae import DVAE, PATCH, preset


@dataclass
class TrainDVAEConfig:
    videos: str = "???"
    """Folder of videos."""
    out: str = "???"
    """Folder for dvae.safetensors, config.yaml, metrics.json, log.jsonl and reconstructions.png."""
    more: str = ""
    """A second folder of videos (real ones beside rendered ones, say), or nothing."""
    more_share: float = 0.15
    """Share of each batch that comes from the second folder."""
    preset: str = "tiny"
    """Size: tiny, or dalle (on a GPU, with far more steps)."""
    vocab_size: int = 0
    """Codes; 0 takes the preset's."""
    image_size: int = 128
    """Pixels on the side of a frame."""
    frames_every: int = 1
    """Keep each n-th frame of a video."""
    frames_max: int = 40000
    """Frames held in memory for each folder (49 KB a frame at 128 px)."""
    held_out: float = 0.05
    """Share of the videos, whole, on which the result is scored; as in tokenize."""
    steps: int = 8000
    """Optimizer steps of all phases together."""
    start_share: float = 0.3
    """Share of the steps that train the continuous start."""
    decoder_share: float = 0.35
    """Share of the steps, at the end, that train the decoder alone on hard codes."""
    full_share: float = 0.05
    """Share of the steps, at the end, on whole frames (with as many pixels a batch)."""
    batch: int = 16
    """Crops a step."""
    crop: int = 64
    """Pixels on the side of a training crop, a multiple of 8."""
    bottleneck: int = 16
    """Dimensions of the continuous start's z."""
    bottleneck_nats: float = 2.0
    """What z carries in the start, in units of log(vocab_size) a token."""
    start_entropy: float = 1.0
    """Mean entropy in nats of a token's posterior when codes are written; sets their sharpness κ."""
    lr: float = 3e-3
    """Peak learning rate of both phases."""
    beta: float = 0.1
    """Final weight β of the divergence from uniform. DALL·E's 6.6 is for 8,192 codes and photographs."""
    usage: float = 0.4
    """Weight of the divergence from uniform of a batch's mean posterior (ours: keeps codes in use)."""
    temperature_end: float = 1 / 16
    """Last relaxation temperature; the first is 1."""
    average: float = 0.998
    """Decay of the averaged weights, which are what is saved."""
    reseed_every: int = 100
    """Steps between re-seedings of dead codes, until 80 % of the discrete phase."""
    precision: str = "float32"
    """float32, or bfloat16 for the convolutions but the codes' own: equal scores in 0.65 of the time on a CPU that
    multiplies in bfloat16 (avx512_bf16 in /proc/cpuinfo), slower on one that doesn't."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    device: str = "cpu"
    """cpu or cuda."""
    resume: bool = False
    """Go on from OUT/resume.pt, which a killed run with an equal config left."""
    checkpoint_s: float = 60.0
    """Seconds between checkpoints."""

    def __post_init__(self):
        preset(self.preset)
        DVAE.grid(self.image_size)
        if self.crop % PATCH or not PATCH <= self.crop <= self.image_size:
            raise UserError(f"crop: expected a multiple of {PATCH} up to image_size={self.image_size}, got {self.crop}")
        for name in ("steps", "batch", "bottleneck", "reseed_every", "frames_every", "frames_max"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.precision not in ("float32", "bfloat16"):
            raise UserError(f"precision: expected float32 or bfloat16, got {self.precision!r}")
        for name in ("start_share", "decoder_share", "full_share", "more_share"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: expected a share from 0 to below 1, got {getattr(self, name)}")
        if not (self.lr > 0 and self.bottleneck_nats > 0 and self.start_entropy > 0 and 0 < self.temperature_end <= 1):
            raise UserError("lr, bottleneck_nats, start_entropy and temperature_end must be above 0 (the last at most 1)")

        if self.start_share + self.decoder_share >= 1:
            raise UserError(f"start_share + decoder_share: expected less than 1, got {self.start_share + self.decoder_share}")

    @property
    def decoder_from(self) -> int:
        """The step at which the encoder is frozen."""
        return max(self.start_steps + 1, self.steps - round(self.steps * self.decoder_share))

    @property
    def start_steps(self) -> int:
        """Steps of the continuous phase, at least one."""
        return max(1, round(self.steps * self.start_share))
