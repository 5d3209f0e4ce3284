"""Parts of pages: those that several pages share lie here, the others in a folder for each page.

A file holds one part, and is called like the function that draws it: pages import it by file. What
a part shows is computed in core, where a test reaches it without a browser.
"""
