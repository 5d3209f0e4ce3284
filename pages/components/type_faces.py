"""The app's own type faces, which the theme names."""

from streamlit import config

from core.server.web import PREFIX


def place_type_faces(prefix: str) -> None:
    """Have the theme ask for them where the server has them: a theme knows no base path."""
    faces = [
        face | {"url": face["url"].replace(PREFIX, prefix, 1)}
        for face in config.get_option("theme.fontFaces")
    ]
    config.set_option("theme.fontFaces", faces)
