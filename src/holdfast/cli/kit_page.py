"""The recovery kit as a page to print: one HTML file that loads nothing from anywhere."""

import html
import io
import os
from importlib import import_module

from holdfast.operations.kit import KitPage

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Holdfast recovery kit</title>
<style>
body {{ font: 11pt/1.4 sans-serif; max-width: 42em; margin: 2em auto; color: #111; }}
pre {{ font: 9pt/1.35 monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}
figure {{ float: right; margin: 0 0 1em 1em; text-align: center; font-size: 9pt; }}
details pre {{ font-size: 7pt; }}
@media print {{ body {{ margin: 0; }} }}
</style>
</head>
<body>
<h1>Holdfast recovery kit</h1>
<figure>{code}<figcaption>address and vault id</figcaption></figure>
<pre>{text}</pre>
<details>
<summary>Copies of the objects that everything hangs on</summary>
<pre>{objects}</pre>
</details>
</body>
</html>
"""


def html_page(page: KitPage, text: str) -> str:
    """Return the page; the QR code holds what is tiresome to type."""
    # segno is needed for nothing else, so that only this command pays for importing it.
    segno = import_module("segno")
    image = io.BytesIO()
    # Bytes of a path that are no text stand in it as escapes: a code is read as text.
    address = os.fsencode(page.address).decode("utf-8", "backslashreplace")
    content = f"holdfast {address}\nvault {page.vault_id}"
    segno.make(content, micro=False, error="m").save(
        image, kind="svg", xmldecl=False, svgns=True, scale=3, border=4
    )
    return _PAGE.format(
        code=image.getvalue().decode("utf-8"),
        text=html.escape(text),
        objects=html.escape(page.key_objects),
    )
