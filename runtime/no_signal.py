"""What a sink shows while a camera is away: the words NO SIGNAL, never the last frame."""

from __future__ import annotations

import numpy as np

from runtime.frames import Array, Frame

# 5 × 7 dots a letter, one row a line, so that no font is needed.
_LETTERS = {
    "N": "#...# ##..# #.#.# #..## #...# #...# #...#",
    "O": ".###. #...# #...# #...# #...# #...# .###.",
    "S": ".#### #.... #.... .###. ....# ....# ####.",
    "I": ".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###.",
    "G": ".###. #...# #.... #.### #...# #...# .###.",
    "A": ".###. #...# #...# ##### #...# #...# #...#",
    "L": "#.... #.... #.... #.... #.... #.... #####",
    " ": "..... ..... ..... ..... ..... ..... .....",
}
_GROUND, _INK = 0.16, 0.95  # of full scale
_SHARE = 0.7  # of the width that the words take


def draw_no_signal(shape: tuple[int, int, int], dtype: str) -> Frame:
    """A dark (H, W, C) frame with the words in its middle, in one line or, where that is too small, in two."""
    full = np.iinfo(dtype).max
    frame = np.full(shape, round(_GROUND * full), dtype)
    lines = ["NO SIGNAL"] if shape[1] >= 160 else ["NO", "SIGNAL"]
    dots = _dots(lines)
    scale = int(min(shape[1] * _SHARE / dots.shape[1], shape[0] * _SHARE / dots.shape[0]))
    if scale:
        words = dots.repeat(scale, axis=0).repeat(scale, axis=1)
        top, left = (shape[0] - words.shape[0]) // 2, (shape[1] - words.shape[1]) // 2
        frame[top : top + words.shape[0], left : left + words.shape[1]][words] = round(_INK * full)
    return frame


def _dots(lines: list[str]) -> Array:
    """The lines as a boolean picture, one dot an element, centred."""
    width = max(map(len, lines))
    rows = []
    for line in lines:
        letters = [_letter(letter) for letter in line.center(width)]
        rows.append(np.concatenate(letters, axis=1))
    return np.concatenate(rows, axis=0)


def _letter(letter: str) -> Array:
    dots = np.array([[dot == "#" for dot in row] for row in _LETTERS[letter].split()])
    return np.pad(dots, ((1, 1), (0, 1)))
