"""How the Fit page is laid out."""

STYLE = """<style>
.st-key-fit-body {display: grid; grid-template-columns: 392px minmax(0, 1fr); gap: 1rem;
  grid-template-rows: auto 1fr; align-items: start}
.st-key-fit-body > * {min-width: 0; width: 100%}
.st-key-fit-body > :has(> .st-key-fit-left) {grid-row: 1 / span 2}
.st-key-fit-body > :has(> .st-key-fit-decide) {grid-column: 2}
.st-key-fit-body > :has(> .st-key-fit-right) {grid-column: 2}
.st-key-fit-body > :has(> .st-key-fit-decide:empty) {display: none}
@media (max-width: 1000px) {.st-key-fit-body {grid-template-columns: 340px minmax(0, 1fr)}}
@media (max-width: 900px) {
  .st-key-fit-body {grid-template-columns: minmax(0, 1fr); grid-template-rows: none}
  .st-key-fit-body > * {grid-column: 1 !important; grid-row: auto !important}
  .st-key-fit-body > :has(> .st-key-fit-decide) {order: -1}}
.st-key-fit-body [data-testid=stCaptionContainer],
.st-key-fit-body [data-testid=stCaptionContainer] p {margin-bottom: 0}
[class*=st-key-reasons] p {font-size: 0.9rem}
[class*=st-key-step-] label p {font-size: 1rem}
[class*=st-key-step-] .stPopover button > div > [aria-hidden=true] {display: none}
[class*=st-key-foot-] {margin: 0.25rem -0.75rem -0.75rem; padding: 0.2rem 0.75rem;
  width: calc(100% + 1.5rem); max-width: none; border-top: 1px solid var(--loupe-line)}
.fit-facts {display: grid; grid-template-columns: auto 1fr; gap: 0.3rem 1rem; font-size: 0.9rem}
.fit-facts span {color: var(--loupe-muted)}
.fit-facts b {font-weight: 400; text-align: right; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere}
.st-key-fit-choices {display: grid; gap: 0.75rem; align-items: stretch;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 15.5rem), 1fr))}
.st-key-fit-choices > * {width: 100%; min-width: 0; height: 100%}
.st-key-fit-choices > * > [class*=st-key-choice-] {height: 100%; padding: 0.75rem !important}
.st-key-fit-choices [class*=st-key-choice-] > [data-testid=stElementContainer]:last-child {
  margin-top: auto}
[class*=st-key-problem-]:not(:last-child) {padding-bottom: 0.6rem;
  border-bottom: 1px solid var(--loupe-line)}
[class*=st-key-problem-] button p {text-align: left}
@media (max-width: 640px) {.st-key-model > :first-child {flex: 1 1 100%}}
.st-key-fit-body [data-testid=stPopover] button {min-height: 2rem}
</style>"""
"""The page's grid: at the left what one decides, at the right what it makes of the keys. On a
narrow screen it is one column, and what needs a decision comes first."""
