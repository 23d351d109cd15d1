"""Builds the documentation site into ``build/site/site``: ``python docs/site.py``.

The pages link to files of the project, such as ``../../examples/release.yaml``. The site is built
from a copy, in which the pages of ``docs/`` are at the top and what they link to lies beside them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "site"
# What the site has besides docs/. The README is the front page of the repository, not of the site.
BESIDE = (
    *("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("Dockerfile", "action.yml", "examples", "schemas"),
)
IGNORED = shutil.ignore_patterns("__pycache__", ".*", "exports", "out")
_LINK = re.compile(r"(\]\()([^)#\s]+)")
_NAV = re.compile(r'\{ "(?P<title>[^"]+)" = (?:"(?P<page>[^"]+)" \}|\[)')


def build(folder: Path = BUILD) -> Path:
    """Copy the pages into a new folder, build the site there, and return the site's folder."""
    shutil.rmtree(folder, ignore_errors=True)
    pages = folder / "pages"
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.py", "*.toml"))
    for name in BESIDE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, pages / name, ignore=IGNORED)
        else:
            shutil.copy(source, pages)
    for page in pages.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        page.write_text(moved(text, PurePosixPath(page.relative_to(pages))), encoding="utf-8")
    shutil.copy(ROOT / "docs" / "zensical.toml", folder)
    # strict: a link or an anchor that leads nowhere fails the build.
    subprocess.run([sys.executable, "-m", "zensical", "build", "--strict"], cwd=folder, check=True)
    config = (folder / "zensical.toml").read_text(encoding="utf-8")
    (folder / "site" / "llms.txt").write_text(contents(config, pages), encoding="utf-8")
    return folder / "site"


def moved(text: str, page: PurePosixPath) -> str:
    """Return a page with its links as they are on the site, where ``docs/`` is the top."""
    in_project = page if page.parts[0] in BESIDE else PurePosixPath("docs", page)

    def link(found: re.Match[str]) -> str:
        if ":" in found[2]:
            return found[0]
        target = PurePosixPath(os.path.normpath(in_project.parent / found[2]))
        on_site = target.relative_to("docs") if target.parts[0] == "docs" else target
        return found[1] + os.path.relpath(on_site, page.parent)

    return _LINK.sub(link, text)


def contents(config: str, pages: Path) -> str:
    """Return the site's ``llms.txt``: every page by its section, with its first sentence."""
    about = re.search('site_description = "(.*)"', config)
    lines = ["# spark-impex-runner", "", f"> {about[1] if about else ''}"]
    for entry in _NAV.finditer(config):
        if entry["page"] is None:
            lines += ["", f"## {entry['title']}", ""]
        elif entry["page"] != "index.md":
            text = (pages / entry["page"]).read_text(encoding="utf-8")
            url = entry["page"].removesuffix(".md").replace("README", "index") + ".html"
            lines.append(f"- [{entry['title']}]({url}): {first_sentence(text)}")
    return "\n".join(lines) + "\n"


def first_sentence(text: str) -> str:
    """Return the first sentence of a page, without links and comments."""
    body = re.sub(r"<!--.*?-->", "", text.partition("\n")[2], flags=re.DOTALL)
    body = re.sub(r"^```.*?^```", "", body, flags=re.DOTALL | re.MULTILINE)
    paragraph = next(each for each in body.split("\n\n") if re.match(r"\s*[A-Z`*\[]", each))
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraph.split()))
    return re.split(r"(?<=\.)\s", plain)[0]


if __name__ == "__main__":
    build()
