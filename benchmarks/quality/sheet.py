"""Pictures to look at: worst cases first, as rows of source, columns and truth."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

import cv2
import numpy as np

from benchmarks.quality.metric import Column, Figure, Given, source_of
from benchmarks.quality.pictures import read_picture
from runtime.contact_sheet import contact_sheet
from runtime.fit import stretch
from runtime.frames import Array, Frame, to_8bit

WORST = 3  # rows for a figure
DRAWS = 6  # shown of one source
WIDEST = 400  # px, of a picture in the page
_ROW = 1080  # px, of a row in the page, which shows it without scrolling
_GRID_WIDEST = 320  # px, of a picture in grid.jpg
_LABEL = 22  # px
_LABELLED = 120  # px; no text fits above narrower pictures
_SQUARE = 36  # pictures
_QUALITY = (cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def worst_first(figure: Figure) -> list[str]:
    """Names of the pictures, the worst first."""
    return sorted(figure.each, key=lambda name: figure.each[name], reverse=figure.best == "low")


def ranked(by_column: Mapping[str, Figure], columns: Sequence[Column]) -> bool:
    """Whether a figure says of each picture how good it is, and not only whether it is."""
    first = next(iter(by_column.values()))
    known = not first.drawn and first.each.keys() <= set(columns[0].pictures.names)
    return bool(first.best) and known and len(set(first.each.values())) > 2


def row_of(name: str, columns: Sequence[Column], given: Given) -> dict[str, Frame]:
    """Source, what the columns made of it, and the truth, by their titles. The identity is the source."""
    at = columns[0].pictures.names.index(name)
    shown = {} if given.source is None else {"source": given.source[at]}
    shown |= {column.name: column.pictures[at] for column in columns if column.name != "identity"}
    return shown if given.pairs is None else shown | {"truth": given.pairs[at]}


def worst_cases(by_column: Mapping[str, Figure], columns: Sequence[Column], given: Given) -> str:
    """A table of HTML: the worst pictures of the first column, with every column's number under its picture."""
    first = next(iter(by_column.values()))
    lines = []
    for name in worst_first(first)[:WORST]:
        row = row_of(name, columns, given)
        if name in first.beside:
            row["nearest in training"] = read_picture(first.beside[name])
        lines.append(_line(name, {_caption(title, name, by_column): frame for title, frame in row.items()}))
    return f"<div class='wide shots'><table>{''.join(lines)}</table></div>"


def least_varied(figure: Figure, column: Column) -> str:
    """A table of HTML: what was drawn of the sources whose pictures differ least."""
    draws = {source_of(versions): versions for versions in column.draws}
    lines = []
    for name in worst_first(figure)[:WORST]:
        shown = zip(draws[name].names[:DRAWS], draws[name], strict=False)
        lines.append(_line(f"{name} {figure.each[name]:.4g}", {title.split("_")[-1]: frame for title, frame in shown}))
    return f"<div class='wide shots'><table>{''.join(lines)}</table></div>"


def _line(title: str, row: Mapping[str, Frame]) -> str:
    width = min(WIDEST, _ROW // len(row), max(frame.shape[1] for frame in row.values()))
    cells = [f"<td>{_image(frame, width)}{escape(caption)}" for caption, frame in row.items()]
    return f"<tr><td>{escape(title)}{''.join(cells)}"


def _caption(title: str, name: str, by_column: Mapping[str, Figure]) -> str:
    figure = by_column.get("identity" if title == "source" else title)
    number = f" · {figure.each[name]:.4g}" if figure and name in figure.each else ""
    return title + number


def _image(frame: Frame, width: int) -> str:
    done, data = cv2.imencode(".jpg", _small(frame, WIDEST), _QUALITY)
    assert done
    return f"<img alt='' width={width} src='data:image/jpeg;base64,{b64encode(data.tobytes()).decode()}'>"


def _small(frame: Frame, widest: int) -> Frame:
    height, width = frame.shape[:2]
    scale = min(1.0, widest / max(height, width))
    shown = to_8bit(frame)
    return stretch(shown, round(height * scale), round(width * scale)) if scale < 1 else shown


def overview(found: Mapping[str, Mapping[str, Figure]], columns: Sequence[Column], given: Given) -> Array:
    """(H, W, 3) uint8 BGR: five pictures from the worst to the best of the first figure that ranks them, else evenly
    chosen, with labels; of one column that has neither source nor truth, a square of them."""
    by_column = next((figures for figures in found.values() if ranked(figures, columns)), {})
    names = worst_first(next(iter(by_column.values()))) if by_column else list(columns[0].pictures.names)
    places = {min(k, len(names) - 1) for k in (0, 1, len(names) // 4, len(names) // 2, len(names) - 1)}
    if len(columns) == 1 and given.source is None and given.pairs is None:
        places |= set(range(min(_SQUARE, len(names))))
    rows = []
    for place in sorted(places):
        row = row_of(names[place], columns, given)
        width = min(_GRID_WIDEST, max(frame.shape[1] for frame in row.values()))
        captions = {title: _caption(title, names[place], by_column) for title in row}
        rows.append([_labelled(frame, width, captions[title]) for title, frame in row.items()])
    return contact_sheet(rows)


def _labelled(frame: Frame, width: int, text: str) -> Frame:
    shown = stretch(to_8bit(frame), max(1, round(frame.shape[0] * width / frame.shape[1])), width)
    shown = np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown
    if width < _LABELLED:
        return shown
    label = np.full((_LABEL, width, 3), 255, np.uint8)
    plain = text.replace("·", "-").encode("ascii", "replace").decode()  # the built-in font is ASCII
    cv2.putText(label, plain, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate([label, shown])
