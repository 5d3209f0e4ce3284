"""What an upload costs the server: memory, speed, and how long others wait meanwhile.

Starts the real app, sends a file of zeros through its upload route in slices, as the browser's
widget does, and prints the growth of the server's memory beside the file's size.

    .venv/bin/python -m benchmarks.upload --gb 5
"""

import argparse
import http.client
import json
import re
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright

from benchmarks.peak_memory import resident
from tests.browser.chromium import FLAGS, find_chromium
from tests.browser.driver import Server, settled

SLICE = 8 << 20


def send(port: int, token: str, size: int) -> float:
    """Send `size` zero bytes; the seconds that it took."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    offset = 0
    while offset < size:
        query = urlencode({"name": "zeros.pth", "size": size, "offset": offset})
        connection.request(
            "PUT", f"/loupe/uploads/{token}?{query}", bytes(min(SLICE, size - offset))
        )
        offset = json.loads(connection.getresponse().read())["received"]
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=1.0, help="the file's size in GB (1)")
    size = int(parser.parse_args().gb * 1e9)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        page = browser.new_page()
        tokens: list[str] = []
        page.on(
            "request", lambda request: tokens.extend(re.findall("uploads/([^?]+)", request.url))
        )
        page.goto(server.url)
        settled(page)
        page.locator("input[type=file]").first.set_input_files(
            {"name": "seed.pth", "mimeType": "", "buffer": b"seed"}
        )
        page.get_by_role("alert").first.wait_for()
        settled(page)
        time.sleep(8)  # torch is still being imported in the background
        before = peak = resident(server.process.pid)
        seconds: list[float] = []
        sending = threading.Thread(
            target=lambda: seconds.append(send(server.port, tokens[0], size))
        )
        sending.start()
        clicks = []
        names = ("Inspect", "Compare", "Fit", "Predict", "Open")
        while sending.is_alive():
            name = names[len(clicks) % len(names)]
            started = time.perf_counter()
            page.get_by_role("link", name=name, exact=True).first.click()
            page.get_by_role("heading", name=name, level=1).wait_for()
            clicks.append(time.perf_counter() - started)
            peak = max(peak, resident(server.process.pid))
            page.wait_for_timeout(200)
        sending.join()
        clicks.sort()
        print(
            f"sent                      {size / 1e9:.2f} GB in {seconds[0]:.1f} s, "
            f"{size / 1e6 / seconds[0]:.0f} MB/s"
        )
        print(
            f"server's memory grew by   {(peak - before) / 1e6:.0f} MB, "
            f"{(peak - before) / size:.3f} of the file"
        )
        print(
            f"another session's clicks  median {clicks[len(clicks) // 2]:.2f} s, "
            f"longest {clicks[-1]:.2f} s, of {len(clicks)}"
        )
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
