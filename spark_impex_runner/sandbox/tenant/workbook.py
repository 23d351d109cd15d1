"""A minimal workbook that spreadsheet programs open: one sheet with names and values."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from spark_impex_runner.sandbox.tenant.archive import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_OPEN_XML = "http://schemas.openxmlformats.org"
_SHEET_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": (
        f'<Types xmlns="{_OPEN_XML}/package/2006/content-types">'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_SHEET_TYPES}.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml"'
        f' ContentType="{_SHEET_TYPES}.worksheet+xml"/></Types>'
    ),
    "_rels/.rels": (
        f'<Relationships xmlns="{_OPEN_XML}/package/2006/relationships">'
        '<Relationship Id="r1" Target="xl/workbook.xml"'
        f' Type="{_OPEN_XML}/officeDocument/2006/relationships/officeDocument"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'<workbook xmlns="{_OPEN_XML}/spreadsheetml/2006/main"'
        f' xmlns:r="{_OPEN_XML}/officeDocument/2006/relationships">'
        '<sheets><sheet name="Model" sheetId="1" r:id="r1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        f'<Relationships xmlns="{_OPEN_XML}/package/2006/relationships">'
        '<Relationship Id="r1" Target="worksheets/sheet1.xml"'
        f' Type="{_OPEN_XML}/officeDocument/2006/relationships/worksheet"/></Relationships>'
    ),
}


def write_workbook(parameters: Sequence[dict[str, Any]]) -> bytes:
    """Return a workbook with a row for the ``name`` and ``default`` of each parameter."""
    rows = "".join(_row(number, entry) for number, entry in enumerate(parameters, start=1))
    sheet = (
        f'<worksheet xmlns="{_OPEN_XML}/spreadsheetml/2006/main">'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        writer = Writer(archive)
        for name, content in {**_PARTS, "xl/worksheets/sheet1.xml": sheet}.items():
            writer.text(name, (_HEAD + content).encode())
    return buffer.getvalue()


def _row(number: int, entry: dict[str, Any]) -> str:
    cells = _cell(f"A{number}", entry.get("name")) + _cell(f"B{number}", entry.get("default"))
    return f'<row r="{number}">{cells}</row>'


def _cell(address: str, value: Any) -> str:
    if value is None:
        return ""
    # bool is a subclass of int, but True is not a number in a cell.
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'<c r="{address}"><v>{value}</v></c>'
    # XML 1.0 cannot represent control characters, not even escaped.
    text = escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", " ", str(value)), quote=False)
    return f'<c r="{address}" t="inlineStr"><is><t>{text}</t></is></c>'
