"""Train a tokenizer of the VQGAN's layout on video frames: `train_vqgan(cfg)`.

It follows Esser et al. 2021, Sec. 3.1: the nearest code of a codebook, straight-through gradients, |x − x̂| and the two
codebook terms (β = 0.25). It has no perceptual and no adversarial term, because these need a VGG and a discriminator.
The result is a VQ autoencoder of that layout. It is blurrier than a VQGAN at the same rate. The three phases are ours:
  1 continuous  `start_share` of the steps without a codebook,
  2 codes       k-means on the encoder's output gives the codebook,
  3 discrete    quantized. Until 80 % of it, codes that no token chose are moved onto tokens far from every code.
"""

import copy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toto_robot.ground.errors import UserError, expected, unknown
from toto_robot.tokens.training.frames import FramePool
from toto_robot.tokens.training.kmeans import kmeans, nearest_centroid
from toto_robot.tokens.training.trainer import TokenizerTrainer, TokenizerTrainingConfig, rate_of, train_tokenizer
from toto_robot.tokens.vqgan import VQGAN, VQGANConfig

PRESETS = {
    # Not narrower than 64: the norms have 32 groups, and a group of one channel forgets how bright a frame is.
    "tiny": VQGANConfig(
        vocab_size=1024, embed_dim=16, z_channels=64, ch=64, ch_mult=(1, 1, 2, 2), num_res_blocks=1, attention=(3,)
    ),
    "f8": VQGANConfig(vocab_size=8192, embed_dim=256, z_channels=256, ch=128, ch_mult=(1, 1, 2, 4), attention=(3,)),
    "f16": VQGANConfig(vocab_size=1024),
}


@dataclass
class TrainVQGANConfig(TokenizerTrainingConfig):
    """`preset`: tiny (8×8 pixels a token), f8, or f16 with taming's widths (both on a GPU, with far more steps)."""

    commitment: float = 0.25
    """β: weight of pulling the encoder's output to its code; the code is pulled to it with weight 1."""
    codebook: float = 1.0
    """Weight of both codebook terms beside the reconstruction's."""
    lr: float = 1e-3
    """Peak learning rate of both phases."""
    reseed_every: int = 100
    """Steps between re-seedings of dead codes, until 80 % of the discrete phase."""

    @property
    def patch(self) -> int:
        return 2 ** (len(self.network.ch_mult) - 1)

    @property
    def network(self) -> VQGANConfig:
        """The preset, with `vocab_size` if that is given."""
        if self.preset not in PRESETS:
            raise unknown("VQGAN preset", self.preset, PRESETS)
        sizes = PRESETS[self.preset]
        return replace(sizes, vocab_size=self.vocab_size or sizes.vocab_size)

    def __post_init__(self):
        super().__post_init__()
        if self.reseed_every < 1:
            raise expected("reseed_every", "at least 1", self.reseed_every)
        if self.commitment < 0 or not self.codebook > 0:
            raise UserError(
                f"Expected commitment of at least 0 and codebook above 0, got {self.commitment} and {self.codebook}."
            )


class Counts(nn.Module):
    """How often each code was chosen since the last re-seeding."""

    def __init__(self, codes: int):
        super().__init__()
        self.register_buffer("chosen", torch.zeros(codes, dtype=torch.int64))


class VQGANTrainer(TokenizerTrainer):
    """The state of a run: the tokenizer, its average, the optimizer, the counts, the step."""

    parts = ("model", "average", "optimizer", "counts")

    def __init__(self, cfg: TrainVQGANConfig, pool: FramePool):
        super().__init__(cfg, pool)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(cfg.seed)
            self.model = VQGAN(cfg.network).to(cfg.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.counts = Counts(cfg.network.vocab_size).to(cfg.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=cfg.lr, betas=(0.9, 0.99), weight_decay=1e-4)

    def advance(self) -> dict:
        cfg, step = self.cfg, self.step
        if step == cfg.start_steps:
            self._write_codes()
        discrete = step >= cfg.start_steps
        since, of = (step - cfg.start_steps, cfg.steps - cfg.start_steps) if discrete else (step, cfg.start_steps)
        rate = rate_of(cfg.lr, since, max(1, of), final=0.02 if discrete else 0.5)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        x = 2 * self.pool.batch(step, *self.batch_shape()).to(cfg.device) - 1
        with self.autocast():
            z = self.model.encoder(x)
        z = self.model.quant_conv(z.float())
        values = {"phase": "discrete" if discrete else "continuous", "lr": rate}
        loss = 0.0
        if discrete:
            z, terms = self._quantize(z)
            loss = cfg.codebook * terms
            values["codebook"] = terms.detach()
        else:
            loss = 1e-3 * z.square().mean()  # a scale for k-means; without it z drifts
        with self.autocast():
            made = self.model.decoder(self.model.post_quant_conv(z))
        error = (made.float() - x).abs().mean()
        self.optimizer.zero_grad(set_to_none=True)
        total = error + loss
        total.backward()
        parameters = [p for p in self.model.parameters() if p.grad is not None]
        self.check(total.detach(), torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        self.optimizer.step()
        self.step += 1
        if discrete:
            self.update_average(self.model, self.step - cfg.start_steps)
            values |= self._reseed()
        return values | {"loss": error.detach()}

    def _quantize(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest codes' vectors (B, D, h, w) with the gradient of z, and the codebook terms."""
        codes = self.model.quantize.codes(z.detach())
        self.counts.chosen += torch.bincount(codes.flatten(), minlength=len(self.counts.chosen))
        nearest = F.embedding(codes, self.model.quantize.embedding.weight).movedim(-1, 1)
        terms = (nearest - z.detach()).square().mean() + self.cfg.commitment * (nearest.detach() - z).square().mean()
        return z + (nearest - z).detach(), terms

    @torch.no_grad()
    def _outputs(self, tokens: int, salt: int) -> Tensor:
        """At least `tokens` encoder outputs (N, D) of whole training frames drawn by (seed, step, salt)."""
        parts, found, i = [], 0, 0
        while found < tokens:
            x = self.pool.batch(self.step + salt * 10_000_019 + i * 97, 4, self.cfg.image_size).to(self.cfg.device)
            parts.append(self.model.quant_conv(self.model.encoder(2 * x - 1)).movedim(1, -1).flatten(0, 2))
            found, i = found + len(parts[-1]), i + 1
        return torch.cat(parts)

    @torch.no_grad()
    def _write_codes(self) -> None:
        """Set the codebook by k-means on 100 tokens for each code."""
        codes = self.cfg.network.vocab_size
        z = self._outputs(100 * codes, salt=1).cpu()
        centroids = kmeans(z, codes, torch.Generator().manual_seed(self.cfg.seed + 2), iterations=20)
        self.model.quantize.embedding.weight.copy_(centroids)
        self.average.load_state_dict(self.model.state_dict())

    @torch.no_grad()
    def _reseed(self) -> dict:
        """Every `reseed_every` steps, count the codes that no token chose since. Move them until 80 % of the phase."""
        since = self.step - self.cfg.start_steps
        if since % self.cfg.reseed_every:
            return {}
        dead = (self.counts.chosen == 0).nonzero()[:, 0]
        self.counts.chosen.zero_()
        if not len(dead) or since > 0.8 * (self.cfg.steps - self.cfg.start_steps):
            return {"dead": len(dead)}
        return {"dead": len(dead), "moved": self._move_codes(dead)}

    def _move_codes(self, dead: Tensor) -> int:
        """Move the codes `dead` (n,) onto tokens that are far from every code. Returns how many were moved."""
        z, codebook = self._outputs(16 * self.cfg.network.vocab_size, salt=3), self.model.quantize.embedding.weight
        _, distance = nearest_centroid(z, codebook)
        draw = torch.Generator().manual_seed(self.step)
        chosen = torch.multinomial(distance.cpu().double() + 1e-12, len(dead), generator=draw).to(z.device)
        codebook[dead] = z[chosen]
        self.average.quantize.embedding.weight[dead] = z[chosen]
        for moment in ("exp_avg", "exp_avg_sq"):
            self.optimizer.state[codebook][moment][dead] = 0
        return len(dead)


def train_vqgan(cfg: TrainVQGANConfig, *watching) -> dict:
    """Train, save and score. Returns the held-out scores over all frames and over those of each source."""
    return train_tokenizer(cfg, VQGANTrainer, *watching)
