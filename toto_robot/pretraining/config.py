"""Every setting of a pre-training run."""

import math
from dataclasses import asdict, dataclass, field

from omegaconf import MISSING

from toto_robot.features.pooling import check_pooling
from toto_robot.ground.errors import UserError, expected, unknown
from toto_robot.ground.precision import DTYPES
from toto_robot.pretraining.distributed import STRATEGIES

BOOKKEEPING = (
    "resume",
    "out",
    "log_every",
    "checkpoint_every",
    "parallel",
    "wandb",
    "device",
    "compile",
    "checkpoint_activations",
)
"""Settings that may change when a run is resumed, because no weight depends on them."""


@dataclass
class PretrainConfig:
    """Settings of `python -m toto_robot.pretrain`. The defaults are the paper's, if it gives a number."""

    stores: list[str] = MISSING
    """Token stores to train on, made by `python -m toto_robot.tokenize`."""
    weights: list[float] | None = None
    """Share of each store in every batch, in any unit. By default equal; but 20/10/10/60 (Sec. 3.3) if every store is
    made from ImageNet, Kinetics, Ego4D or HowTo100M. Stores of one data set divide its share."""
    validation: list[str] = field(default_factory=list)
    """Token stores of videos that are not in `stores`. The held-out loss is computed on them."""
    tokenizer: str = MISSING
    """Folder of the tokenizer that made the stores. It is copied into the exported model folder."""
    model: str = "tiny"
    """Size: tiny, base, large or 1b; for Toto also a1 to a6 (`models/presets.py`)."""
    architecture: str = "toto"
    """toto, gpt2 or mamba."""
    init: str | None = None
    """Name of an embedded model, or a model folder, to start from instead of random weights. It decides the size. Only
    `rope_theta` may differ: 50,000 to continue with 32×32 tokens a frame after 10,000 with 16×16 (Table 4)."""
    width: int | None = None
    """Replaces the size's width."""
    heads: int | None = None
    """Replaces the size's number of heads."""
    layers: int | None = None
    """Replaces the size's number of layers."""
    intermediate: int | None = None
    """Replaces the size's MLP width."""
    rope_theta: float | None = None
    """Replaces the size's rotary base."""
    tied: bool | None = None
    """Replaces whether the size's output head is its embedding matrix."""
    mup_base_width: int | None = None
    """Replaces the size's base width for muP: the width at which `lr` and `weight_decay` were tuned
    (`models/mup.py`)."""
    steps: int = 2000
    """Number of optimizer steps, the short ones included."""
    flops: float | None = None
    """Floating-point operations to train for, in place of `steps`. With it, runs of different models, tokenizers or
    resolutions have equal compute. Counted as in `models/flops.py`, with the causal half of attention."""
    short_share: float = 0.0
    """With `flops`: the share of them that goes into short steps, in place of `short_steps`."""
    batch_rows: int = 8
    """Full rows (16 frames, 4,098 tokens) in a step."""
    short_steps: int = 0
    """Number of first steps that see short rows instead. On a CPU a frame in a short row costs about 2/5 of the time of
    a frame in a full row: attention runs over 257 tokens instead of 4,098 (measured 7,500 against 2,900 tokens/s with
    tiny on two cores). The frames of a step also come from as many different clips. Therefore most of a small budget is
    best spent on short rows. The full rows that follow teach motion. One frame of each is then added as a short row
    (6 % more tokens), so that the model does not forget single frames."""
    short_frames: int = 1
    """Frames in a short row. 1 is `[image start] + 256 ids`, exactly what the encoder sees for a single frame."""
    short_batch: int = 64
    """Short rows in a step."""
    micro_tokens: int = 2100
    """Tokens that pass through the model at once. A step adds up the gradients of as many passes as it needs."""
    lr: float = 3e-4
    """Peak learning rate (Sec. 3.2). A run of minutes learns faster with a higher one: after the same 80 steps of 16
    short rows tiny reached a loss of 2.37 with 1e-3, and 3.41 with 3e-4."""
    warmup_steps: int = 100
    """Steps of linear warm-up (the paper: 2,000)."""
    final_lr: float = 0.1
    """Learning rate at the end of the cosine, as a share of `lr`."""
    beta1: float = 0.9
    """AdamW's first momentum."""
    beta2: float = 0.95
    """AdamW's second momentum."""
    weight_decay: float = 0.1
    """Weight decay of the matrices. The weights of the norms have none."""
    grad_clip: float = 1.0
    """Largest norm of the gradient."""
    dtype: str = "auto"
    """bfloat16 (autocast; weights and optimizer stay float32), float32, or auto: bfloat16 if the processor multiplies
    it in hardware."""
    device: str = "cpu"
    """Where it runs: cpu or cuda."""
    parallel: str = "auto"
    """How the processes of torchrun share the work: ddp (each holds all weights), fsdp (weights are split), none, or
    auto: ddp under torchrun."""
    compile: str = "auto"
    """torch.compile of each block: true, false, or auto: only on CUDA. On a CPU it gains 4 % and costs 19 s at the
    start."""
    checkpoint_activations: bool = False
    """Compute each block again in the backward pass instead of keeping its activations."""
    threads: int | None = None
    """CPU cores, each with whole micro-batches; by default all. Two runs give the same bits only at an equal number of
    cores and processes. Under torchrun each process has one core."""
    seed: int = 0
    """Seed of the weights and of the order of the data."""
    validation_rows: int = 32
    """Rows of the held-out loss, evenly spread over `validation`."""
    validate_every: int = 200
    """Steps between held-out losses."""
    log_every: int = 10
    """Steps between lines of the log."""
    checkpoint_every: int = 100
    """Steps between checkpoints. A killed run loses at most these steps. The last two checkpoints are kept."""
    layer: int | None = None
    """Layer that the exported encoder uses by default; by default the middle one."""
    pooling: str = "mean"
    """Pooling that the exported encoder uses by default."""
    wandb: str | None = None
    """Project of Weights & Biases that gets the log too (pip install wandb)."""
    out: str | None = None
    """Folder of the run; by default runs/toto-MODEL-TIME."""
    resume: bool = False
    """Continue the run in `out`, or the newest unfinished run under runs/ with the same settings."""

    def __post_init__(self):
        for name in (
            "steps",
            "batch_rows",
            "short_batch",
            "micro_tokens",
            "log_every",
            "checkpoint_every",
            "validate_every",
            "validation_rows",
            "short_frames",
        ):
            if getattr(self, name) < 1:
                raise expected(name, "at least 1", getattr(self, name))
        for name in ("warmup_steps", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise expected(name, "at least 0", getattr(self, name))
        for name in ("lr", "grad_clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise expected(name, "a number above 0", getattr(self, name))
        for name in ("beta1", "beta2", "final_lr"):
            if not 0 <= getattr(self, name) <= 1 or (name != "final_lr" and getattr(self, name) == 1):
                raise expected(name, "a number from 0 to 1", getattr(self, name))
        for name, exist in (
            ("dtype", ("auto", *DTYPES)),
            ("compile", ("auto", "true", "false")),
            ("parallel", STRATEGIES),
        ):
            if getattr(self, name) not in exist:
                raise unknown(name, getattr(self, name), exist)
        if self.threads is not None and self.threads < 1:
            raise expected("threads", "at least 1", self.threads)
        self._check_short()
        if self.init and (fixed := sorted(self.changes().keys() - {"rope_theta"})):
            raise UserError(
                f"init={self.init} decides the size, so {', '.join(fixed)} can't be set. Only rope_theta can."
            )
        check_pooling(self.pooling)

    def _check_short(self) -> None:
        """Check what decides the number of short steps."""
        if not 0 <= self.short_steps <= self.steps:
            raise expected("short_steps", f"0 to steps={self.steps}", self.short_steps)
        if self.flops is not None and (not 0 < self.flops < math.inf or self.short_steps):
            raise UserError(
                f"Expected flops above 0 and without short_steps, got {self.flops} and {self.short_steps}. "
                "With flops, short_share gives the share of the short steps."
            )
        if not 0 <= self.short_share < 1 or (self.short_share and self.flops is None):
            raise UserError(
                f"short_share: expected a share from 0 to below 1, got {self.short_share} with flops={self.flops}. "
                "It needs flops=; without it set short_steps."
            )

    def changes(self) -> dict:
        """The fields of the size that are replaced."""
        names = ("width", "heads", "layers", "intermediate", "rope_theta", "tied", "mup_base_width")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def what_decides_the_weights(self) -> dict:
        """The settings that a resumed run must share with the run that it continues."""
        return {key: value for key, value in asdict(self).items() if key not in BOOKKEEPING}
