"""Train a dVAE on video frames: `train_dvae(cfg)`.

After Ramesh et al. 2021, App. A.2: Gumbel-softmax with temperature 1 → 1/16, weight of the divergence
from uniform 0 → β (β/192 a pixel-channel), logit-Laplace likelihood, AdamW, averaged weights; the schedules are shares
of the steps here, not their 3 million updates. Ours: the start in three phases (dvae_start.py),
  1 continuous  `start_share` of the steps through a bottleneck,
  2 codes       k-means on the bottleneck, written into the official layout,
  3 discrete    Gumbel-softmax, with dead codes re-seeded and a weight on the divergence of the batch's
                mean posterior from uniform,
  4 decoder     encoder frozen with every code in use (busy codes are split until none is idle), decoder trained
                on hard codes, which is how it is used; no code can die here, and PSNR gains most.
Training sees 64-pixel crops (the model is fully convolutional), and whole frames for the last `full_share` of the
steps.
"""
import copy
import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from toto_robot.tokens.dvae import DVAE, preset
from toto_robot.tokens.dvae_config import TrainDVAEConfig
from toto_robot.tokens.dvae_loss import PIXELS_A_TOKEN, divergence_from_uniform, gumbel_softmax, logit_laplace_nll, usage_gap
from toto_robot.tokens.dvae_start import Bottleneck, choose_kappa, split_dead_codes, unit_gain_, write_codes
from toto_robot.tokens.kmeans import kmeans
from toto_robot.tokens.training import TokenizerTrainer, cosine, train_tokenizer
from toto_robot.tokens.training_frames import FramePool


class DVAETrainer(TokenizerTrainer):
    """The state of a run: dVAE, its average, bottleneck, optimizer, step."""

    parts = ("dvae", "average", "bottleneck", "optimizer")

    def __init__(self, cfg: TrainDVAEConfig, pool: FramePool):
        super().__init__(cfg, pool)
        config = preset(cfg.preset)
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
        gain = self.dvae.encoder.blocks.group_1.block_1.post_gain ** -0.25
        groups = [{"params": [p for p in parameters if (id(p) in self.scaled) == scaled],
                   "scale": gain if scaled else 1.0} for scaled in (True, False)]
        return torch.optim.AdamW(groups, lr=self.cfg.lr, betas=(0.9, 0.99), weight_decay=1e-4)

    def _set_rate(self, rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        return rate

    def advance(self) -> dict:
        step, cfg = self.step, self.cfg
        if step == cfg.start_steps:
            self._write_codes()
        if step == cfg.decoder_from:
            self._freeze_encoder()
        noise = torch.Generator().manual_seed(cfg.seed * 1_000_003 + step + 500_000_009)
        phase = self._continuous if step < cfg.start_steps else self._discrete if step < cfg.decoder_from else self._decoder
        loss, values = phase(noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        if self.step > cfg.start_steps:
            self.update_average(self.dvae, self.step - (cfg.decoder_from if self.step > cfg.decoder_from else cfg.start_steps))
            if self.step < cfg.decoder_from:
                values |= self.reseed(cfg.decoder_from)
        return values

    def _continuous(self, noise: torch.Generator) -> tuple[Tensor, dict]:
        cfg = self.cfg
        rate = self._set_rate(cfg.lr * min(1, (self.step + 1) / 50) * cosine(1, 0.3, self.step / cfg.start_steps))
        x = self.pool.batch(self.step, cfg.batch, cfg.crop).to(cfg.device)
        with self.autocast():
            features = self.dvae.encoder.features(x)
        z = self.bottleneck.project(features.float())
        sample = z + torch.randn(z.shape, generator=noise).to(z.device)
        with self.autocast():
            stats = self.dvae.decoder.from_embedding(self.bottleneck.expand(sample))
        nll = logit_laplace_nll(stats, x)
        target = cfg.bottleneck_nats * math.log(self.dvae.vocab_size)
        loss = nll + self.bottleneck.prior_penalty(z, steer=self.step >= 50, target_nats=target)
        return loss, {"phase": "continuous", "loss": nll.detach(), "lr": rate}

    def _discrete(self, noise: torch.Generator) -> tuple[Tensor, dict]:
        cfg = self.cfg
        done = (self.step - cfg.start_steps) / max(1, cfg.decoder_from - cfg.start_steps)
        warm = min(1, (self.step - cfg.start_steps + 1) / 50)
        rate = self._set_rate(cfg.lr * warm * cosine(1, 0.02, done))
        temperature, beta = cosine(1, cfg.temperature_end, done / 0.8), cosine(0, cfg.beta, done / 0.3)
        x = self.batch()
        with self.autocast():
            features = self.dvae.encoder.features(x)
        logits = self.dvae.encoder.blocks.output.conv(features.float())
        soft = gumbel_softmax(logits, temperature, torch.rand(logits.shape, generator=noise).to(logits.device))
        with self.autocast():
            stats = self.dvae.decoder(soft)
        nll = logit_laplace_nll(stats, x)
        kl, gap = divergence_from_uniform(logits), usage_gap(logits)
        self.counts += torch.bincount(logits.detach().argmax(1).flatten(), minlength=self.dvae.vocab_size)
        loss = nll + beta / PIXELS_A_TOKEN * kl + cfg.usage * gap
        return loss, {"phase": "discrete", "loss": nll.detach(), "kl": kl.detach(), "usage_gap": gap.detach(),
                      "temperature": temperature, "lr": rate}

    def _decoder(self, noise: torch.Generator) -> tuple[Tensor, dict]:
        cfg = self.cfg
        since, of = self.step - cfg.decoder_from, max(1, cfg.steps - cfg.decoder_from)
        rate = self._set_rate(cfg.lr * 2 / 3 * min(1, (since + 1) / 50) * cosine(1, 0.02, since / of))
        x = self.batch()
        with torch.no_grad():
            hard = one_hot(self.dvae.logits(x).argmax(1), self.dvae.vocab_size).movedim(-1, 1).float()
        with self.autocast():
            stats = self.dvae.decoder(hard)
        nll = logit_laplace_nll(stats, x)
        return nll, {"phase": "decoder", "loss": nll.detach(), "lr": rate}

    @torch.no_grad()
    def _freeze_encoder(self) -> None:
        """Phase 4: from the averaged weights, split busy codes until every code has tokens, then freeze the encoder."""
        self.dvae.load_state_dict(self.average.state_dict())
        draw = torch.Generator().manual_seed(self.cfg.seed + 4)
        features, output = self._features(300, salt=5), self.dvae.encoder.blocks.output.conv
        for _ in range(12):
            codes = torch.cat([torch.addmm(output.bias, part, output.weight[:, :, 0, 0].t()).argmax(1)
                               for part in features.split(20_000)])
            idle = (torch.bincount(codes, minlength=self.dvae.vocab_size) < 8).nonzero()[:, 0]
            if not len(idle):
                break
            some = features[torch.randperm(len(features), generator=draw)[:40_000]]
            split_dead_codes(self.dvae, some, idle, draw)
        self.average.load_state_dict(self.dvae.state_dict())
        self._train_decoder_only()

    def _train_decoder_only(self) -> None:
        for p in (*self.dvae.encoder.parameters(), *self.bottleneck.parameters()):
            p.requires_grad_(False)
        self.optimizer = self._optimizer()

    @torch.no_grad()
    def _features(self, tokens_a_code: int, salt: int) -> Tensor:
        """Encoder features (N, C) of whole training frames drawn by (seed, step, salt), N >= V · tokens_a_code."""
        parts, frames = [], tokens_a_code * self.dvae.vocab_size / DVAE.grid(self.cfg.image_size)[0] ** 2
        for i in range(0, math.ceil(frames), 4):
            x = self.pool.batch(self.step + salt * 10_000_019 + i * 97, 4, self.cfg.image_size).to(self.cfg.device)
            parts.append(self.dvae.encoder.features(x).movedim(1, -1).flatten(0, 2))
        return torch.cat(parts)

    @torch.no_grad()
    def _write_codes(self) -> None:
        """Phase 2: k-means on the bottleneck of 200 tokens a code, into encoder and decoder."""
        draw = torch.Generator().manual_seed(self.cfg.seed + 2)
        features = self._features(200, salt=1)
        P, b = self.bottleneck.project.weight[:, :, 0, 0], self.bottleneck.project.bias
        z = torch.addmm(b, features, P.t()).cpu()
        centroids = kmeans(z, self.dvae.vocab_size, draw, iterations=20)
        kappa = choose_kappa(z[:4096], centroids, self.cfg.start_entropy)
        write_codes(self.dvae, self.bottleneck, centroids.to(self.cfg.device), kappa)
        self.average.load_state_dict(self.dvae.state_dict())
        self.optimizer = self._optimizer()

    def move_codes(self, dead: Tensor) -> int:
        """Split busy codes for them, in the average and in the optimizer too."""
        moved = split_dead_codes(self.dvae, self._features(32, salt=3), dead, torch.Generator().manual_seed(self.step))
        for name in ("encoder.blocks.output.conv.weight", "encoder.blocks.output.conv.bias", "decoder.blocks.input.weight"):
            now = self.dvae.get_parameter(name)
            rows = (slice(None), moved) if name.startswith("decoder") else (moved,)
            self.average.get_parameter(name)[rows] = now[rows]
            for moment in ("exp_avg", "exp_avg_sq"):
                if moment in self.optimizer.state[now]:
                    self.optimizer.state[now][moment][rows] = 0
        return len(moved)

    def phase_began(self) -> None:
        if self.step > self.cfg.decoder_from:
            self._train_decoder_only()


def train_dvae(cfg: TrainDVAEConfig, *watching) -> dict:
    """Train, save and score; returns held-out scores of all frames and of each source."""
    return train_tokenizer(cfg, DVAETrainer, *watching)
