"""Parts of pages: those of several pages are here, those of one page in its folder.

Where a file has one part, the file and the function that draws it have the same name; the other
files have what parts share, such as `session.py`. Pages import parts by file. What a part shows is
computed in core, where tests reach it without a browser.
"""
