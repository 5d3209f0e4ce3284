"""What a server of many people needs beside the checkpoints: its headers, connections and memory.

Nothing here knows Streamlit's script; `app.py` puts the pieces around the app.
"""
