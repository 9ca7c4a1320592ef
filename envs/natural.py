"""Textures with the statistics of photographs, for the wide looks of training (envs/looks.py).

Two generators from the study of natural images: dead leaves (Lee, Mumford & Huang 2001), opaque shapes that hide each
other with sizes after a power law; and noise whose amplitude falls with frequency (Field 1987), as in stone, wood and
cloth. They need no picture files. The photographs that policies are judged by (envs/held_out.py) are never loaded here.
"""

import numpy as np

from envs.appearance import TEXTURE_SIZE

LEAVES = (12, 60)
"""How many leaves a texture has, from and to."""
RADIUS = (0.03, 0.6)
"""Radius of a leaf as a share of the texture's side, from and to."""
FALL = (0.8, 2.2)
"""Exponent by which the amplitude of the noise falls with frequency. Photographs have about 1."""
STRETCH = (1.0, 6.0)
"""How much longer the grain of the noise is along one axis."""


def natural_texture(rng: np.random.Generator) -> np.ndarray:
    """uint8 (64, 64, 3): dead leaves with grain, or grain alone, each in half of the draws."""
    colours = _palette(rng)
    if rng.random() < 0.5:
        grain = _noise(rng)
        place = (grain - grain.min()) / max(np.ptp(grain), 1e-9) * (len(colours) - 1)
        low = np.minimum(place.astype(int), len(colours) - 2)
        share = (place - low)[..., None]
        image = colours[low] * (1 - share) + colours[low + 1] * share
    else:
        image = _leaves(rng, colours) + rng.uniform(0, 0.12) * _noise(rng)[..., None]
    return (255 * np.clip(image, 0, 1)).astype(np.uint8)


def _palette(rng: np.random.Generator) -> np.ndarray:
    """(4, 3) colours around one colour, as the things on one table or one floor have."""
    middle, spread = rng.uniform(0.2, 0.8, 3), rng.uniform(0.1, 0.5)
    shared, own = rng.uniform(-1, 1, (4, 1)), rng.uniform(-1, 1, (4, 3))
    return np.clip(middle + spread * (0.7 * shared + 0.3 * own), 0, 1)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """(64, 64) noise of unit variance that tiles, with a falling spectrum and a grain along one axis."""
    n, stretch = TEXTURE_SIZE, rng.uniform(*STRETCH)
    v, u = np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None]
    across = (1.0, stretch) if rng.random() < 0.5 else (stretch, 1.0)
    frequency = np.hypot(u * across[0], v * across[1])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((n, n))) / frequency ** rng.uniform(*FALL)
    noise = np.fft.irfft2(spectrum, s=(n, n))
    return noise / noise.std()


def _leaves(rng: np.random.Generator, colours: np.ndarray) -> np.ndarray:
    """(64, 64, 3) discs and boxes that hide each other. They wrap around the edges, so the texture tiles."""
    n, count = TEXTURE_SIZE, int(rng.integers(*LEAVES))
    v, u = np.mgrid[0:n, 0:n] / n
    image = np.broadcast_to(colours[0], (n, n, 3)).copy()
    # The density of radii falls with their third power, as in natural scenes: a uniform draw of 1/r².
    radii = rng.uniform(RADIUS[1] ** -2, RADIUS[0] ** -2, count) ** -0.5
    for radius, (x, y), turn in zip(radii, rng.random((count, 2)), rng.uniform(0, np.pi, count)):
        dx, dy = (u - x + 0.5) % 1 - 0.5, (v - y + 0.5) % 1 - 0.5
        if rng.random() < 0.5:
            inside = dx**2 + dy**2 < radius**2
        else:
            along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
            inside = (abs(along) < radius) & (abs(across) < radius * rng.uniform(0.2, 1.0))
        image[inside] = np.clip(colours[rng.integers(len(colours))] + rng.normal(0, 0.06, 3), 0, 1)
    return image
