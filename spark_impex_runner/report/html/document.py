"""Write the head of a page: its style, and a policy that forbids to load or run anything."""

from __future__ import annotations

from importlib import resources

# The second line of defence behind escaping: a script that slips in does not run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def head(title: str, more_style: str = "") -> str:
    """Return a document up to its body; ``title`` is markup, ``more_style`` is CSS."""
    # Not by a path: in impex.pyz it is no file.
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>\n{style}{more_style}</style></head>\n<body>\n"
    )
