"""Every setting of a pre-training run."""

import math
from dataclasses import asdict, dataclass, field

from omegaconf import MISSING

from toto_robot.features.pooling import check_pooling
from toto_robot.ground.errors import UserError
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
    """Settings of `python -m toto_robot.pretrain`; the defaults are the paper's where it gives a number."""

    stores: list[str] = MISSING
    """Token stores to train on, made by `python -m toto_robot.tokenize`."""
    weights: list[float] | None = None
    """Share of each store in every batch, in any unit. By default 20/10/10/60 (Sec. 3.3) where every store is of ImageNet,
    Kinetics, Ego4D or HowTo100M, stores of one data set sharing its part; equal otherwise."""
    validation: list[str] = field(default_factory=list)
    """Token stores of videos that are not in `stores`; the held-out loss comes from them."""
    tokenizer: str = MISSING
    """Folder of the dVAE that made the stores; it goes into the exported model folder."""
    model: str = "tiny"
    """Size: tiny, base, large or 1b; of Toto also a1 to a6 (`models/presets.py`)."""
    architecture: str = "toto"
    """toto, gpt2 or mamba."""
    init: str | None = None
    """Name of an embedded model, or a model folder, to start from instead of random weights; it decides the size. Only
    `rope_theta` may differ: 50,000 to go on with 32×32 tokens a frame after 10,000 with 16×16 (Table 4)."""
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
    """Replaces the size's width of muP: the width at which `lr` and `weight_decay` were tuned (`models/mup.py`)."""
    steps: int = 2000
    """Optimizer steps in all, the short ones included."""
    flops: float | None = None
    """Floating-point operations to train for, in place of `steps`: runs of different models, tokenizers or resolutions
    at equal compute. Counted as in `models/flops.py`, attention at its causal half."""
    short_share: float = 0.0
    """With `flops`: the part of them that goes into short steps, in place of `short_steps`."""
    batch_rows: int = 8
    """Full rows (16 frames, 4,098 tokens) in a step."""
    short_steps: int = 0
    """First steps that see short rows instead. A frame in a short row costs about 2/5 of the time of one in a full
    row on a CPU (attention over 257 tokens instead of 4,098: measured 7,500 against 2,900 tokens/s with tiny on two
    cores), and the frames of a step come from as many different clips, so most of a small budget is best spent on
    them. The full rows that follow teach motion; one frame of each is then added as a short row (6 % more tokens),
    so that what a frame looks like on its own isn't forgotten."""
    short_frames: int = 1
    """Frames in a short row. 1 is `[image start] + 256 ids`, just what the encoder sees for a single frame."""
    short_batch: int = 64
    """Short rows in a step."""
    micro_tokens: int = 2100
    """Tokens that go through the model at once; a step adds up the gradients of as many passes as it needs."""
    lr: float = 3e-4
    """Peak learning rate (Sec. 3.2). A run of minutes learns faster with more: tiny reached a loss of 2.37 with 1e-3
    and 3.41 with 3e-4 after the same 80 steps of 16 short rows."""
    warmup_steps: int = 100
    """Steps of linear warm-up (the paper: 2,000)."""
    final_lr: float = 0.1
    """Learning rate at the end of the cosine, as a part of `lr`."""
    beta1: float = 0.9
    """AdamW's first momentum."""
    beta2: float = 0.95
    """AdamW's second momentum."""
    weight_decay: float = 0.1
    """Decay of the matrices; the norms' weights have none."""
    grad_clip: float = 1.0
    """The gradient's largest norm."""
    dtype: str = "auto"
    """bfloat16 (autocast; weights and optimizer stay float32), float32, or auto: bfloat16 where the processor
    multiplies it."""
    device: str = "cpu"
    """Where it runs: cpu or cuda."""
    parallel: str = "auto"
    """How the processes of torchrun work together: ddp (whole weights in each), fsdp (split), none, or auto: ddp
    under torchrun."""
    compile: str = "auto"
    """torch.compile of each block: true, false, or auto: on CUDA (on a CPU it gains 4 % and costs 19 s at the start)."""
    checkpoint_activations: bool = False
    """Compute each block again in the backward pass instead of keeping its activations."""
    threads: int | None = None
    """CPU cores, each with whole micro-batches; by default all. Runs are equal bit for bit only at an equal number
    of cores and processes. Under torchrun each process has one."""
    seed: int = 0
    """Seed of the weights and of the order of the data."""
    validation_rows: int = 32
    """Rows of the held-out loss, evenly spread over `validation`."""
    validate_every: int = 200
    """Steps between held-out losses."""
    log_every: int = 10
    """Steps between lines of the log."""
    checkpoint_every: int = 100
    """Steps between checkpoints; a killed run loses at most these. The last two are kept."""
    layer: int | None = None
    """Layer that the exported encoder uses by default; by default the middle one."""
    pooling: str = "mean"
    """Pooling that the exported encoder uses by default."""
    wandb: str | None = None
    """Project of Weights & Biases to log to as well (pip install wandb)."""
    out: str | None = None
    """Folder of the run; by default runs/toto-MODEL-TIME."""
    resume: bool = False
    """Go on with the run in `out`, or with the newest unfinished run of equal settings under runs/."""

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
        ):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, but it is {getattr(self, name)}")
        if not 0 <= self.short_steps <= self.steps:
            raise UserError(f"short_steps must be from 0 to steps={self.steps}, but it is {self.short_steps}")
        if self.flops is not None and (not 0 < self.flops < math.inf or self.short_steps):
            raise UserError(
                f"flops must be above 0 and without short_steps (short_share says how many of the steps are short), "
                f"but they are {self.flops} and {self.short_steps}"
            )
        if not 0 <= self.short_share < 1 or (self.short_share and self.flops is None):
            raise UserError(
                f"short_share must be from 0 to below 1, and needs flops, but they are {self.short_share} and {self.flops}"
            )
        if not self.warmup_steps >= 0:
            raise UserError(f"warmup_steps must be at least 0, but it is {self.warmup_steps}")
        if self.short_frames < 1:
            raise UserError(f"short_frames must be at least 1, but it is {self.short_frames}")
        for name in ("lr", "grad_clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{name} must be above 0, but it is {getattr(self, name)}")
        for name in ("beta1", "beta2", "final_lr"):
            if not 0 <= getattr(self, name) <= 1 or (name != "final_lr" and getattr(self, name) == 1):
                raise UserError(f"{name} must be from 0 to 1, but it is {getattr(self, name)}")
        if self.weight_decay < 0:
            raise UserError(f"weight_decay must be at least 0, but it is {self.weight_decay}")
        if self.dtype not in ("auto", *DTYPES):
            raise UserError(f"dtype must be auto, bfloat16 or float32, but it is {self.dtype!r}")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads must be at least 1, but it is {self.threads}")
        if self.compile not in ("auto", "true", "false"):
            raise UserError(f"compile must be auto, true or false, but it is {self.compile!r}")
        if self.parallel not in STRATEGIES:
            raise UserError(f"parallel must be one of {', '.join(STRATEGIES)}, but it is {self.parallel!r}")
        if self.init and (fixed := sorted(self.changes().keys() - {"rope_theta"})):
            raise UserError(
                f"init={self.init} decides the size, so {', '.join(fixed)} can't be set; only rope_theta can"
            )
        check_pooling(self.pooling)

    def changes(self) -> dict:
        """The fields of the size that are replaced."""
        names = ("width", "heads", "layers", "intermediate", "rope_theta", "tied", "mup_base_width")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def what_decides_the_weights(self) -> dict:
        """The settings that a resumed run must share with the run that it goes on with."""
        return {key: value for key, value in asdict(self).items() if key not in BOOKKEEPING}
