// Which columns a width has room for, and how wide each is.

const GAP = 12
const PADDING = 12
const KEY_LEAST = 168
const BAR = 44
const NARROW = 480
const SIGN = 8 // JetBrains Mono at 12.5 pixels, where the browser rounds advances to whole pixels
const TITLE_SIGN = 6.9 // about that of Inter at 12 pixels

export class Columns {
  constructor(model) {
    this.model = model
    this.widths = model.columns.map((column, at) => widthOf(column, model.groups, at))
    this.shown = []
    this.template = ""
    this.bars = true
  }

  // Choose the columns for so many pixels. Returns whether anything changed.
  fit(width) {
    const { columns } = this.model
    const bars = width >= NARROW
    let shown = columns.map((_, at) => at)
    while (this.least(shown, bars) > width) {
      const drops = shown.map((at) => columns[at].drop)
      const most = Math.max(...drops)
      if (most === 0) break
      shown = shown.filter((at) => columns[at].drop < most)
    }
    const template = shown.map((at) => this.track(at, bars)).join(" ")
    const changed = template !== this.template || bars !== this.bars
    Object.assign(this, { shown, template, bars })
    return changed
  }

  least(shown, bars) {
    const gaps = GAP * (shown.length - 1) + 2 * PADDING
    return shown.reduce((sum, at) => sum + this.width(at, bars), gaps)
  }

  width(at, bars) {
    const { kind } = this.model.columns[at]
    if (kind === "key") return KEY_LEAST
    return this.widths[at] - (kind === "bar" && !bars ? BAR + GAP : 0)
  }

  track(at, bars) {
    const column = this.model.columns[at]
    if (column.kind === "key") return `minmax(0, ${column.share}fr)`
    return column.share ? `minmax(0, ${column.share}fr)` : `${this.width(at, bars)}px`
  }
}

function widthOf(column, groups, at) {
  if (column.kind === "key") return KEY_LEAST
  if (column.kind === "state") return 16
  const inGroups = groups.map((group) => group.cells[at]?.text.length ?? 0)
  const signs = [...column.texts.map((text) => text.length), ...inGroups].reduce(
    (most, length) => Math.max(most, length),
    0,
  )
  const text = Math.min(signs * SIGN + 2, column.most)
  const title = Math.ceil(column.title.length * TITLE_SIGN) + 14
  return Math.max(text, title) + (column.kind === "bar" ? BAR + GAP : 0)
}
