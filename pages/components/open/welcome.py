"""What a newcomer sees on an empty bench besides the drop zones: the sample, and the four pages."""

from __future__ import annotations

import streamlit as st

from core.plain_text import plain
from core.server import sample_images

CHANGES = (30, 48, 56, 60, 60, 56, 52, 42, 32, 92)
"""Heights of the bars in the picture of Compare, in percent."""

SEEN = (
    ("inspect", "Inspect", "Where the parameters are, and every tensor’s values."),
    ("compare", "Compare", "How much each layer moved from A to B, the most changed first."),
    ("fit", "Fit", "Which architecture it is, and the repair that makes it load."),
    ("predict", "Predict", "Its top classes on your images, A beside B."),
)
"""Each page's file, title and purpose."""

PICTURES = {
    "inspect": '<div class="areas"><b>conv5<br>55.7 %</b><b>stage4<br>25.7 %</b><b>stage3</b>'
    "<b>fc</b></div>",
    "compare": '<div class="bars">'
    + "".join(f'<b style="height:{height}%"></b>' for height in CHANGES)
    + "</div>",
    "fit": '<div class="diff"><code><del>module.</del>conv1.0.weight</code>'
    "<code><u>✓</u> conv1.0.weight</code><b></b>0 → 338 of 338 keys</div>",
    "predict": '<div class="top">nine<b style="width:97%"></b>two<b style="width:6%"></b>seven'
    '<b style="width:3%"></b></div>',
}
"""What each page shows of the sample, small, as HTML."""

STYLE = """<style>
[class*=st-key-seen-] .areas, [class*=st-key-seen-] .bars, [class*=st-key-seen-] .diff,
[class*=st-key-seen-] .top {height: 7rem; border-radius: 6px; font-size: 0.9rem}
[class*=st-key-seen-] .areas {display: grid; gap: 2px; grid-template: 2fr 1fr / 55fr 28fr 17fr}
[class*=st-key-seen-] .areas b {background: light-dark(#D3DDF5, #24345C); padding: 0.3rem 0.5rem;
  font-weight: 400}
[class*=st-key-seen-] .areas b:nth-child(-n + 2) {grid-row: span 2}
[class*=st-key-seen-] .bars {display: flex; align-items: end; gap: 3%; padding: 0.5rem 0.75rem;
  background: var(--loupe-panel)}
[class*=st-key-seen-] .bars b {flex: 1; background: light-dark(#B97C14, #DDA52E)}
[class*=st-key-seen-] .diff, [class*=st-key-seen-] .top {padding: 0.6rem 0.75rem;
  background: var(--loupe-panel)}
[class*=st-key-seen-] .diff code {display: block; background: none; color: inherit; padding: 0;
  font-size: 0.9rem; line-height: 1.7}
[class*=st-key-seen-] .diff del {color: var(--loupe-gone)}
[class*=st-key-seen-] .diff u {color: var(--loupe-fresh); text-decoration: none}
[class*=st-key-seen-] .diff b {display: block; height: 8px; border-radius: 4px; margin: 0.3rem 0;
  background: var(--loupe-fits)}
[class*=st-key-seen-] .top {line-height: 1.45}
[class*=st-key-seen-] .top b {display: block; height: 6px; border-radius: 3px; margin: 0 0 0.2rem;
  background: var(--loupe-accent)}
[data-testid=stColumn]:has([class*=st-key-seen-]) > div, [class*=st-key-seen-],
[data-testid=stLayoutWrapper]:has(> [class*=st-key-seen-]) {height: 100%}
</style>"""


def no_file_at_hand() -> None:
    """Draw what the sample is; the main button at the top opens it."""
    with st.container(border=True):
        st.markdown("**No file at hand?**")
        st.caption(
            "The sample pair at the top: `digits_early.pth` after 2 epochs, `digits_final.pth` "
            "after 40, and eight images of digits that neither has seen."
        )
        with st.container(horizontal=True, gap="small"):
            for path in sample_images()[:4]:
                st.image(path, width=40, alt=f"A sample image: {plain(path.stem)}")


def what_you_will_see() -> None:
    """Draw a card for each of the other pages, with a link to it."""
    st.html(STYLE)
    st.markdown("**What you will see**")
    for column, (name, title, purpose) in zip(st.columns(4), SEEN, strict=True):
        with column, st.container(border=True, key=f"seen-{name}"):
            st.page_link(f"pages/{name}.py", label=f"**{plain(title)}**")
            st.html(PICTURES[name])
            st.caption(plain(purpose))
