"""The report's data as one HTML file: Plotly, style, script and data inside; nothing fetched or trusted.

A policy file is foreign input. Its text reaches the page escaped, as HTML in the tables and as JSON in the
data; the content security policy lets only our two scripts run, by their hash, and nothing use the network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from tinyfly.errors import UserError


def render(data: dict[str, Any], text: dict[str, str]) -> str:
    """One self-contained HTML page.

    Args:
        data: what page.js draws, JSON-like; arrays may be NumPy's, NaN becomes null.
        text: values for page.html's places; those ending in ``_html`` are HTML already (made by ``table``,
            ``facts`` and ``cards``, which escape), all others are plain text and are escaped here.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise UserError("the report needs Plotly: pip install -e .") from None
    folder = files("tinyfly.report")
    page, style, script = (
        (folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    plotly = get_plotlyjs()
    places = {
        (key.removesuffix("_html")): value if key.endswith("_html") else escape(value)
        for key, value in text.items()
    }
    return Template(page).substitute(
        places,
        policy=f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
        f"script-src {_hash(plotly)} {_hash(script)}",
        style=style,
        script=script,
        plotly=plotly,
        data=_json(data),
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table; every cell is escaped."""
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their values; escaped."""
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<div class="scroll"><table class="facts"><tbody>{body}</tbody></table></div>'


def cards(rows: Iterable[tuple[str, str]]) -> str:
    """Headline figures: (figure, what it is); escaped."""
    return "".join(f'<div class="card"><b>{escape(f)}</b><span>{escape(w)}</span></div>' for f, w in rows)


def note(text: str) -> str:
    """A paragraph in a quiet voice; escaped."""
    return f'<p class="note">{escape(text)}</p>'


def _hash(script: str) -> str:
    # The browser hashes the text after its line ends are normalised.
    normal = script.replace("\r\n", "\n").replace("\r", "\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(normal.encode()).digest()).decode()}'"


def _json(data: dict[str, Any]) -> str:
    text = json.dumps(_plain(data), allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    """Lists and floats of at most six digits: a report is read by eye, and has to be mailed."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.integer) else value
