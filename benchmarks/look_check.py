"""Does the look check flag the looks that a policy does not know, and accept the one that it knows? A confusion table.

    python -m benchmarks.look_check [policy=bc_cube] [episodes=100] [seed=20261127] [range=evaluation] [picture=PNG]

This script counts verdicts and measures no speed. An episode is what preflight sees: the scene after `env.reset`, the
arm at rest, 30 frames. Each column has `episodes` of them, in the nominal look or in a new look of one of the
simulator's shifts. range=evaluation takes seeds that neither training nor the choice of the threshold saw.
range=watching takes the seeds on which the threshold was chosen. The table is printed, and the last line is JSON. The
table is also written to a file, and so is a picture with the first scene of each verdict under each look, and the
statistic that was furthest.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import envs
import policies
from benchmarks import machine
from envs.appearance import SHIFTS
from policies import look
from policies.seeds import evaluation_seeds, watching_seeds
from toto_robot.ground.errors import unknown

VERDICTS = (look.IN, look.UNSURE, look.OUT)
RANGES = {"evaluation": evaluation_seeds, "watching": watching_seeds}
SIDE, GAP, LABEL, LEFT = 128, 8, 34, 90
INK, PAPER = (30, 30, 30), (255, 255, 255)


def judged(policy, shift: str | None, seeds: list[int]) -> list[tuple[look.Verdict, np.ndarray]]:
    """The verdict on each seed's scene, and the first of its frames."""
    env, out = envs.make(policy.env, shift=shift), []
    for i, seed in enumerate(seeds):
        env.reset(seed=seed)
        drawn = env.view("wrist", env.image_size, env.image_size)
        frames = np.stack([env.sensed(drawn, number) for number in range(look.FRAMES)])
        out.append((policy.look.look_at(policy.features, frames), frames[0]))
        print(f"\r{shift or 'nominal'}: {i + 1}/{len(seeds)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return out


def furthest(verdict: look.Verdict) -> float:
    """The statistic that decided. The codes do not count for `out`."""
    return max(far for name, far in verdict.far.items() if name != "codes")


def row(name: str, found: list) -> dict:
    """A line of the table."""
    counts, far = Counter(verdict.verdict for verdict, _ in found), [furthest(verdict) for verdict, _ in found]
    low, middle, high = np.quantile(far, [0.05, 0.5, 0.98])
    return {
        "look": name,
        **{verdict: counts[verdict] for verdict in VERDICTS},
        "out, %": round(100 * counts[look.OUT] / len(found), 1),
        "5 % below": f"{low:.2f}",
        "median": f"{middle:.2f}",
        "2 % above": f"{high:.2f}",
        "largest": f"{max(far):.2f}",
    }


def picture(found: dict[str, list]) -> Image.Image:
    """A row for each verdict, a column for each look: the first scene that got it."""
    image = Image.new("RGB", (LEFT + len(found) * (SIDE + GAP), LABEL + len(VERDICTS) * (SIDE + LABEL)), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for c, (name, episodes) in enumerate(found.items()):
        x = LEFT + c * (SIDE + GAP)
        draw.text((x, 8), name, INK, font)
        for r, wanted in enumerate(VERDICTS):
            y = LABEL + r * (SIDE + LABEL)
            draw.text((8, y + SIDE // 2 - 8), wanted, INK, font)
            of = [(verdict, frame) for verdict, frame in episodes if verdict.verdict == wanted]
            if not of:
                draw.text((x, y + SIDE // 2 - 8), "none", (150, 150, 150), font)
                continue
            verdict, frame = of[0]
            image.paste(Image.fromarray(frame), (x, y))
            most = max(verdict.far.keys() - {"codes"}, key=verdict.far.get)
            draw.text((x, y + SIDE + 2), f"{most} {verdict.far[most]:.1f}, {len(of)} of {len(episodes)}", INK, font)
    return image


def main() -> None:
    given = machine.arguments(
        "look_check", policy="bc_cube", episodes=100, seed=20261127, range="evaluation", picture=""
    )
    if given["range"] not in RANGES:
        machine.wrong(str(unknown("range", given["range"], RANGES)))
    seeds = RANGES[given["range"]](given["seed"], given["episodes"])
    policy = policies.load(given["policy"])
    if policy.look is None:
        machine.wrong(look.unknown(given["policy"]).said)
    found = {shift or "nominal": judged(policy, shift, seeds) for shift in (None, *SHIFTS)}
    rows = [row(name, of) for name, of in found.items()]
    notes = (
        f"{given['policy']} in {policy.env}, {given['episodes']} episodes of {look.FRAMES} frames each at "
        f"{given['range']} seeds (seed={given['seed']}); doubtful above {look.DOUBTFUL:g}, out above {look.FAR:g} of "
        "the distance that 99 % of the training pictures stay within. The last four columns are the furthest "
        "statistic of an episode, without the codes."
    )
    name = f"look_check-{given['policy'].strip('/').replace('/', '-')}-{given['range']}"
    path = machine.save(name, "The look check's confusion table", rows, machine.facts("torch", "mujoco"), notes)
    if given["picture"]:
        Path(given["picture"]).parent.mkdir(parents=True, exist_ok=True)
        picture(found).save(given["picture"])
    print(machine.table(rows))
    print(json.dumps({"table": str(path), "rows": rows}))


if __name__ == "__main__":
    main()
