"""The URLs of the app's own fonts, which the theme names."""

from streamlit import config

from core.server.web import PREFIX


def set_font_urls(prefix: str) -> None:
    """Let the theme load the fonts from `prefix`, the path under which this server serves them.

    The theme's configuration is static and cannot contain the server's base path.
    """
    faces = [
        face | {"url": face["url"].replace(PREFIX, prefix, 1)}
        for face in config.get_option("theme.fontFaces")
    ]
    config.set_option("theme.fontFaces", faces)
