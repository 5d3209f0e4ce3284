// Which columns a width has room for, and how wide each is.

const NARROW = 480 // pixels below which a table has no bars, smaller letters and smaller gaps
const NARROW_MOST = 2 // columns of a narrow table besides the key and its state
const GAP = { wide: 12, narrow: 8 } // also the padding at both ends, as in the style sheet
const SIGN = 8 // JetBrains Mono at 12.5 pixels, where the browser rounds advances to whole pixels
const NARROW_SIGN = 7.2
const TITLE_SIGN = 6.9 // about that of Inter at 12 pixels
const ARROW = 14 // beside a sorted column's title
const KEY = { least: 168, most: 248, narrow: 140 } // the room for keys before columns are left out
const BAR = 44
const IMAGE = 28
const STATE = { wide: 16, narrow: 12 }
const LABEL = 48 // the room for a name of two lines in a narrow table before columns are left out

export class Columns {
  constructor(model) {
    this.model = model
    this.signs = model.columns.map((column, at) => signsOf(column, model.groups, at))
    this.longest = model.table.names.reduce((most, name) => Math.max(most, name.length), 0)
    this.shown = []
    this.template = ""
    this.bars = true
  }

  // Choose the columns for so many pixels. Returns whether anything changed.
  fit(width) {
    const { columns } = this.model
    const bars = width >= NARROW
    let shown = columns.map((_, at) => at)
    while (this.least(shown, bars) > width || (!bars && this.told(shown) > NARROW_MOST)) {
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

  // How many columns there are besides the key, its image and its state.
  told(shown) {
    const kinds = shown.map((at) => this.model.columns[at].kind)
    return kinds.filter((kind) => !["key", "image", "state"].includes(kind)).length
  }

  get narrow() {
    return !this.bars
  }

  least(shown, bars) {
    const gaps = (bars ? GAP.wide : GAP.narrow) * (shown.length + 1)
    return shown.reduce((sum, at) => sum + this.width(at, bars), gaps)
  }

  width(at, bars) {
    const { kind, most, title } = this.model.columns[at]
    if (kind === "key" && !bars) return KEY.narrow
    if (kind === "key") return Math.min(Math.max(this.longest * SIGN + 16, KEY.least), KEY.most)
    if (kind === "image") return IMAGE
    if (kind === "state") return this.stateWidth(at, bars)
    if (kind === "label" && !bars) return LABEL
    const text = Math.min(Math.ceil(this.signs[at] * (bars ? SIGN : NARROW_SIGN)) + 2, most)
    const head = Math.ceil(title.length * TITLE_SIGN) + (bars ? ARROW : 0)
    const more = { bar: BAR + GAP.wide, label: GAP.wide }[kind] ?? 0
    return Math.max(text, head) + (bars ? more : 0)
  }

  // The mark alone, or the mark and the longest word.
  stateWidth(at, bars) {
    if (!bars) return STATE.narrow
    return STATE.wide + (this.model.columns[at].worded ? Math.ceil(this.signs[at] * SIGN) + 8 : 0)
  }

  track(at, bars) {
    const column = this.model.columns[at]
    if (column.kind === "label" && !bars) return "minmax(0, 2fr)"
    return column.share ? `minmax(0, ${column.share}fr)` : `${this.width(at, bars)}px`
  }
}

// The signs of the column's longest text; a thin space counts half.
function signsOf(column, groups, at) {
  const inGroups = groups.map((group) => group.cells[at]?.text ?? "")
  let most = 0
  for (const texts of [column.texts, inGroups]) {
    for (const text of texts) {
      most = Math.max(most, text.length - (text.split("\u202f").length - 1) / 2)
    }
  }
  return most
}
