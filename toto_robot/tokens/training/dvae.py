"""Train a dVAE on video frames: `train_dvae(cfg)`.

Network, layout and likelihood are those of Ramesh et al. 2021 (App. A). The objective is ours: DALL·E's Gumbel-softmax
needs 3 million updates, and its codes describe brightness as much as things. Here every batch holds two looks of each
state: twins, or one frame twice. The encoder sees them jittered like a camera's pictures, and the decoder reproduces
the clean ones. Training has three phases:
  1 continuous  `start_share` of the steps: a VAE through a narrow bottleneck z. `consistency` weighs the divergence
                between the posteriors of the two looks, so that z holds what both looks share.
  2 codes       z is whitened by how much two looks of one state differ: a step along a direction in which looks differ
                counts little. k-means gives the codes. Codes and whitening are written into the official layout. Busy
                codes are split until every code has tokens.
  3 decoder     the encoder is frozen, and the decoder learns from hard codes, because it is used with them.
"""

import copy
import math
from dataclasses import replace

import torch
from torch import Tensor

from toto_robot.ground.seeds import keyed_generator
from toto_robot.tokens.dvae import DVAE, preset
from toto_robot.tokens.training.dvae_config import TrainDVAEConfig
from toto_robot.tokens.training.dvae_loss import PIXELS_A_TOKEN, logit_laplace_nll
from toto_robot.tokens.training.dvae_start import (
    Bottleneck,
    choose_kappa,
    look_whitening,
    split_dead_codes,
    unit_gain_,
    write_codes,
)
from toto_robot.tokens.training.frames import FramePool
from toto_robot.tokens.training.kmeans import kmeans
from toto_robot.tokens.training.trainer import TokenizerTrainer, rate_of, train_tokenizer


class DVAETrainer(TokenizerTrainer):
    """The state of a run: the dVAE, its average, the bottleneck, the optimizer, the step."""

    parts = ("dvae", "average", "bottleneck", "optimizer")

    def __init__(self, cfg: TrainDVAEConfig, pool: FramePool):
        super().__init__(cfg, pool)
        config = replace(preset(cfg.preset), canonical_exposure=cfg.canonical_exposure)
        config = replace(config, vocab_size=cfg.vocab_size) if cfg.vocab_size else config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(cfg.seed)
            self.dvae = DVAE(config)
            self.scaled = {id(p) for p in unit_gain_(self.dvae)}
            self.bottleneck = Bottleneck(self.dvae, cfg.bottleneck)
        self.dvae.to(cfg.device)
        self.bottleneck.to(cfg.device)
        self.average = copy.deepcopy(self.dvae).requires_grad_(False)
        self.counts = torch.zeros(config.vocab_size, dtype=torch.int64, device=cfg.device)
        self.optimizer = self._optimizer()

    def _optimizer(self) -> torch.optim.AdamW:
        parameters = [p for p in (*self.dvae.parameters(), *self.bottleneck.parameters()) if p.requires_grad]
        gain = self.dvae.encoder.blocks.group_1.block_1.post_gain**-0.25
        groups = [
            {"params": [p for p in parameters if (id(p) in self.scaled) == scaled], "scale": gain if scaled else 1.0}
            for scaled in (True, False)
        ]
        return torch.optim.AdamW(groups, lr=self.cfg.lr, betas=(0.9, 0.99), weight_decay=1e-4)

    def advance(self) -> dict:
        step, cfg = self.step, self.cfg
        if step == cfg.start_steps:
            self._write_codes()
        noise = keyed_generator(cfg.seed, step, salt=500_000_009)
        loss, values = self._continuous(noise) if step < cfg.start_steps else self._decoder()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.check(loss.detach(), torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        self.optimizer.step()
        self.step += 1
        if self.step > cfg.start_steps:
            self.update_average(self.dvae, self.step - cfg.start_steps)
        return values

    def pairs(self, step: int, count: int, crop: int) -> tuple[Tensor, Tensor]:
        """(clean, seen) of `FramePool.pairs`, as the encoder sees them."""
        clean, seen = self.pool.pairs(step, count, self.dvae.prepared, crop)
        return clean.to(self.cfg.device), seen.to(self.cfg.device)

    def _batch(self) -> tuple[Tensor, Tensor]:
        return self.pairs(self.step, *self.batch_shape())

    def _set_rate(self, rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        return rate

    def _continuous(self, noise: torch.Generator) -> tuple[Tensor, dict]:
        cfg = self.cfg
        rate = self._set_rate(rate_of(cfg.lr, self.step, cfg.start_steps, final=0.1))
        clean, seen = self._batch()
        # Encode to z, add unit noise, decode.
        with self.autocast():
            features = self.dvae.encoder.features(seen)
        z = self.bottleneck.project(features.float())
        sample = z + torch.randn(z.shape, generator=noise).to(z.device)
        with self.autocast():
            stats = self.dvae.require_decoder().from_embedding(self.bottleneck.expand(sample))
        # The loss: likelihood of the clean frames, the prior, and the divergence between two looks of one state.
        nll = logit_laplace_nll(stats, clean)
        one, other = z.chunk(2)
        apart = 0.5 * (one - other).square().sum(1).mean()  # KL(N(one, I) ‖ N(other, I)) in nats a token
        target = cfg.bottleneck_nats * math.log(self.dvae.vocab_size)
        loss = nll + self.bottleneck.prior_penalty(z, steer=self.step >= 50, target_nats=target)
        loss = loss + cfg.consistency / PIXELS_A_TOKEN * apart
        return loss, {"phase": "continuous", "loss": nll.detach(), "apart": apart.detach(), "lr": rate}

    def _decoder(self) -> tuple[Tensor, dict]:
        cfg = self.cfg
        since, of = self.step - cfg.start_steps, max(1, cfg.steps - cfg.start_steps)
        rate = self._set_rate(rate_of(cfg.lr * 2 / 3, since, of, final=0.02))
        clean, seen = self._batch()
        with torch.no_grad():
            codes = self.dvae.encoder(seen).argmax(1)
        decoder = self.dvae.require_decoder()
        embedded = decoder.embed(codes)
        with self.autocast():
            stats = decoder.from_embedding(embedded)
        nll = logit_laplace_nll(stats, clean)
        one, other = codes.chunk(2)
        changed = (one != other).float().mean()
        return nll, {"phase": "decoder", "loss": nll.detach(), "changed": changed, "lr": rate}

    @torch.no_grad()
    def _features(self, tokens_a_code: int, salt: int) -> tuple[Tensor, Tensor]:
        """Encoder features of two looks, (N, C) each, of whole training frames drawn by (seed, step, salt).

        N is at least V · tokens_a_code / 2.
        """
        parts, frames = [], tokens_a_code * self.dvae.vocab_size / self.dvae.grid(self.cfg.image_size)[0] ** 2
        for i in range(0, math.ceil(frames), 4):
            _, seen = self.pairs(self.step + salt * 10_000_019 + i * 97, 2, self.cfg.image_size)
            parts.append(self.dvae.encoder.features(seen).movedim(1, -1).unflatten(0, (2, -1)).flatten(1, -2))
        one, other = torch.cat(parts, dim=1)
        return one, other

    @torch.no_grad()
    def _write_codes(self) -> None:
        """Do phase 2 on 200 tokens a code. After it, only the decoder is trained."""
        cfg, draw = self.cfg, torch.Generator().manual_seed(self.cfg.seed + 2)
        features = self._features(200, salt=1)
        # Whiten z by how much two looks of one state differ.
        P, b = self.bottleneck.project.weight[:, :, 0, 0], self.bottleneck.project.bias
        one, other = (torch.addmm(b, part, P.t()) for part in features)
        self.bottleneck.whiten(look_whitening(one, other, cfg.whitening_floor))
        # Centroids of z become codes.
        P, b = self.bottleneck.project.weight[:, :, 0, 0], self.bottleneck.project.bias
        z = torch.addmm(b, torch.cat(features), P.t()).cpu()
        z = z[torch.randperm(len(z), generator=draw)]
        centroids = kmeans(z, self.dvae.vocab_size, draw, iterations=20)
        kappa = choose_kappa(z[:4096], centroids, cfg.start_entropy)
        write_codes(self.dvae, self.bottleneck, centroids.to(cfg.device), kappa)
        self._split_until_all_are_used(draw)
        self.average.load_state_dict(self.dvae.state_dict())
        self._train_decoder_only()

    def _split_until_all_are_used(self, draw: torch.Generator) -> None:
        """Give half of a busy code to each code with fewer than 8 tokens; at most 12 rounds."""
        features, output = torch.cat(self._features(300, salt=5)), self.dvae.encoder.blocks.output.conv
        for _ in range(12):
            codes = torch.cat(
                [
                    torch.addmm(output.bias, part, output.weight[:, :, 0, 0].t()).argmax(1)
                    for part in features.split(20_000)
                ]
            )
            idle = (torch.bincount(codes, minlength=self.dvae.vocab_size) < 8).nonzero()[:, 0]
            if not len(idle):
                break
            some = features[torch.randperm(len(features), generator=draw)[:40_000]]
            split_dead_codes(self.dvae, some, idle, draw)

    def _train_decoder_only(self) -> None:
        for p in (*self.dvae.encoder.parameters(), *self.bottleneck.parameters()):
            p.requires_grad_(False)
        self.optimizer = self._optimizer()

    def phase_began(self) -> None:
        if self.step > self.cfg.start_steps:
            self._train_decoder_only()


def train_dvae(cfg: TrainDVAEConfig, *watching) -> dict:
    """Train, save and score. Returns the held-out scores over all frames and over those of each source."""
    return train_tokenizer(cfg, DVAETrainer, *watching)
