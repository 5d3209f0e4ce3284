// The table's rows as columns of codes, and the lines that are on show: which groups are open, and
// in which order.
//
// A line is a whole number: a row is its place in the table, a group g is ~g, which is negative.

const collator = new Intl.Collator("en", { numeric: true })

export const isGroup = (line) => line < 0

export class Model {
  constructor(table) {
    this.table = table
    this.columns = table.columns
    this.groups = table.groups
    this.size = table.names.length
    this.groupOf = new Int32Array(this.size)
    this.firstOf = new Int32Array(this.groups.length)
    let row = 0
    this.groups.forEach((group, at) => {
      this.firstOf[at] = row
      this.groupOf.fill(at, row, row + group.count)
      row += group.count
    })
    this.ranks = new Map()
    this.places = null
  }

  // The row that Python calls by this number, or -1.
  rowOf(id) {
    if (!this.table.ids) return Number.isInteger(id) && id >= 0 && id < this.size ? id : -1
    this.places ??= new Map(this.table.ids.map((name, row) => [name, row]))
    return this.places.get(id) ?? -1
  }

  idOf(row) {
    return this.table.ids ? this.table.ids[row] : row
  }

  group(row) {
    return this.groups[this.groupOf[row]]
  }

  isLoose(row) {
    return this.group(row).title === null
  }

  // A row's key without the part that its group's title says, and the whole of it.
  name(row) {
    return this.table.names[row]
  }

  key(row) {
    return this.group(row).prefix + this.table.names[row]
  }

  text(column, row) {
    return column.texts[column.codes[row]]
  }

  value(column, row) {
    return column.values ? column.values[column.codes[row]] : null
  }

  // The lines from top to bottom. `isOpen` tells whether a group is; `sort` is null for the file's
  // order, or {column, down}.
  lines(isOpen, sort) {
    const lines = []
    for (const top of this.topLines(sort)) {
      lines.push(top)
      if (isGroup(top) && isOpen(this.groups[~top])) {
        for (const row of this.rowsOf(~top, sort)) lines.push(row)
      }
    }
    return lines
  }

  topLines(sort) {
    const lines = []
    this.groups.forEach((group, at) => {
      if (group.title !== null) lines.push(~at)
      else for (const row of this.placesOf(at)) lines.push(row)
    })
    if (!sort) return lines
    const column = this.columns[sort.column]
    const value = (line) => {
      if (!isGroup(line)) return this.sortValue(column, line)
      const group = this.groups[~line]
      return column.kind === "key" ? group.title : (group.cells[sort.column]?.value ?? null)
    }
    return sorted(lines, value, sort.down)
  }

  placesOf(group) {
    const first = this.firstOf[group]
    return Array.from({ length: this.groups[group].count }, (_, at) => first + at)
  }

  rowsOf(group, sort) {
    const rows = this.placesOf(group)
    if (!sort) return rows
    const ranks = this.ranksOf(sort.column)
    return sorted(rows, (row) => ranks[row], sort.down)
  }

  sortValue(column, row) {
    if (column.kind === "key") return this.key(row)
    return column.values ? this.value(column, row) : this.text(column, row)
  }

  // Each row's place in the order of a column, null where the row has no value. Texts are compared
  // once for all groups, because that is what takes long.
  ranksOf(at) {
    if (!this.ranks.has(at)) {
      const column = this.columns[at]
      const ranks = new Array(this.size).fill(null)
      if (column.kind === "key") {
        const rows = Array.from({ length: this.size }, (_, row) => row)
        sorted(rows, (row) => this.name(row), false).forEach((row, rank) => (ranks[row] = rank))
      } else {
        const codes = column.texts.map((_, code) => code)
        const values = column.values ?? column.texts
        const order = new Array(codes.length).fill(null)
        sorted(codes, (code) => values[code], false).forEach((code, rank) => {
          if (values[code] !== null) order[code] = rank
        })
        column.codes.forEach((code, row) => (ranks[row] = order[code]))
      }
      this.ranks.set(at, ranks)
    }
    return this.ranks.get(at)
  }
}

// The items by value, those without one last in both directions; equal ones keep their order.
function sorted(items, value, down) {
  const sign = down ? -1 : 1
  return items
    .map((item) => [item, value(item)])
    .sort(([, a], [, b]) => {
      if (a === null || b === null) return (a === null) - (b === null)
      return sign * compared(a, b)
    })
    .map(([item]) => item)
}

function compared(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b
  return collator.compare(String(a), String(b))
}
