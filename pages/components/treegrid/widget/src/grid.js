// The table on the screen: its lines, what is chosen, open and sorted, the keyboard and the mouse.

import {
  Virtualizer,
  elementScroll,
  observeElementOffset,
  observeElementRect,
} from "@tanstack/virtual-core"

import { copyButton, element, groupCell, rowCell } from "./cells.js"
import { Columns } from "./columns.js"
import { copied } from "./copying.js"
import { downloadCsv } from "./csv.js"
import { Model, isGroup } from "./model.js"
import { headOf, tableOf } from "./payload.js"

const HEAD = 28 // pixels of the line of titles
const OVERSCAN = 12
const NOTICE = 2000 // milliseconds that a confirmation stays

// What a person opened and sorted, by the table's name: it outlives a visit to another page.
const kept = new Map()

export class Grid {
  constructor(root) {
    this.root = root
    this.rows = new Map()
    this.lines = []
    this.chosen = null
    this.active = null
    this.digest = null
    this.height = HEAD
    this.turn = null
    this.follows = false
    this.frame = this.build()
    root.append(this.frame)
    this.virtual = new Virtualizer(this.virtualOptions())
    this.unmount = this.virtual._didMount()
    this.watch = new ResizeObserver(() => this.resized())
    this.watch.observe(this.frame)
  }

  close() {
    this.watch.disconnect()
    this.unmount()
    clearTimeout(this.noticeEnds)
    this.frame.remove()
  }

  build() {
    const frame = element("div", "frame")
    this.scroller = element("div", "grid")
    this.scroller.setAttribute("role", "treegrid")
    this.scroller.tabIndex = 0
    this.header = element("div", "header")
    this.header.setAttribute("role", "rowgroup")
    this.body = element("div", "body")
    this.body.setAttribute("role", "rowgroup")
    this.scroller.append(this.header, this.body)
    this.foot = element("div", "foot")
    this.note = element("span", "note")
    this.note.setAttribute("role", "status")
    this.csv = element("button", "action", "Download CSV")
    this.all = element("button", "action")
    for (const button of [this.csv, this.all]) button.type = "button"
    this.foot.append(this.note, this.csv, this.all)
    frame.append(this.scroller, this.foot)
    this.csv.addEventListener("click", () => downloadCsv(this.model, this.allRows()))
    this.all.addEventListener("click", () => this.openAll())
    this.scroller.addEventListener("keydown", (event) => this.pressed(event))
    this.scroller.addEventListener("focus", () => this.focused())
    this.body.addEventListener("click", (event) => this.clicked(event))
    return frame
  }

  virtualOptions() {
    return {
      count: this.lines.length,
      getScrollElement: () => this.scroller,
      estimateSize: () => this.height,
      overscan: OVERSCAN,
      scrollMargin: HEAD,
      scrollPaddingStart: HEAD,
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      onChange: () => this.draw(),
    }
  }

  // --- what Python sends

  receive(bytes, tell) {
    this.tell = tell
    const head = headOf(bytes)
    if (head.digest !== this.digest) this.show(head, tableOf(bytes))
    if (head.turn !== this.turn) {
      this.turn = head.turn
      this.chosen = head.chosen
      this.reveal()
    }
    this.refresh()
  }

  show(head, table) {
    const first = this.digest === null
    this.digest = head.digest
    this.model = new Model(table)
    this.columns = new Columns(this.model)
    this.kept = kept.get(head.name) ?? { sort: null, open: new Map() }
    kept.set(head.name, this.kept)
    if (this.kept.sort && this.kept.sort.column >= table.columns.length) this.kept.sort = null
    if (!this.kept.open.has(table.scope)) this.kept.open.set(table.scope, new Map())
    this.open = this.kept.open.get(table.scope)
    this.active = null
    this.scroller.setAttribute("aria-label", table.label)
    this.frame.classList.toggle("chooses", table.chooses)
    this.csv.hidden = !table.file || !this.model.size
    this.height = table.height
    this.frame.style.setProperty("--height", `${this.height}px`)
    this.scroller.style.maxHeight = `${HEAD + this.height * table.most}px`
    this.columns.fit(this.width())
    this.drawHeader()
    this.relist()
    if (!first) this.scroller.scrollTop = 0
    this.rest()
  }

  reveal() {
    const row = this.model.rowOf(this.chosen)
    if (row < 0) return
    if (!this.model.isLoose(row) && !this.isOpen(this.model.group(row))) {
      this.open.set(this.model.group(row).name, true)
      this.relist()
    }
    this.active = row
    const at = this.lines.indexOf(row)
    requestAnimationFrame(() => this.virtual.scrollToIndex(at, { align: "auto" }))
  }

  // --- lines

  isOpen = (group) => this.open.get(group.name) ?? group.open

  relist() {
    this.lines = this.model.lines(this.isOpen, this.kept.sort)
    this.scroller.setAttribute("aria-rowcount", String(this.lines.length + 1))
    this.body.style.height = `${this.height * this.lines.length}px`
    this.frame.classList.toggle("empty", this.lines.length === 0)
    this.rows.clear()
    this.body.replaceChildren()
    const titled = this.model.groups.filter((group) => group.title !== null)
    this.all.hidden = titled.length === 0
    this.allOpen = titled.every(this.isOpen)
    this.all.textContent = this.allOpen ? "Close all" : "Open all"
    if (this.virtual) {
      this.virtual.setOptions(this.virtualOptions())
      this.virtual._willUpdate()
    }
    this.draw()
  }

  // Those of closed groups too, in the order on show.
  allRows() {
    return this.model.lines(() => true, this.kept.sort).filter((line) => !isGroup(line))
  }

  toggle(group, isOpen) {
    this.open.set(group.name, isOpen)
    this.relist()
  }

  openAll() {
    const isOpen = !this.allOpen
    for (const group of this.model.groups) if (group.title !== null) this.open.set(group.name, isOpen)
    if (this.active !== null && !isGroup(this.active) && !isOpen) this.active = this.parent(this.active)
    this.relist()
  }

  parent(row) {
    return this.model.isLoose(row) ? row : ~this.model.groupOf[row]
  }

  // --- drawing

  width() {
    return this.scroller.clientWidth || this.frame.clientWidth
  }

  resized() {
    if (this.columns?.fit(this.width())) {
      this.drawHeader()
      this.relist()
    }
  }

  drawHeader() {
    this.frame.classList.toggle("narrow", this.columns.narrow)
    const { kept: { sort } } = this
    const row = element("div", "row")
    row.setAttribute("role", "row")
    row.setAttribute("aria-rowindex", "1")
    row.style.gridTemplateColumns = this.columns.template
    for (const at of this.columns.shown) {
      const column = this.model.columns[at]
      const cell = element("div", `cell ${column.kind}`)
      cell.setAttribute("role", "columnheader")
      row.append(cell)
      if (column.kind === "image") {
        cell.append(element("span", "unseen", column.title))
        continue
      }
      const down = sort?.column === at ? sort.down : null
      cell.setAttribute("aria-sort", down === null ? "none" : down ? "descending" : "ascending")
      const button = element("button", "sort", column.title)
      button.type = "button"
      button.title = column.hint || `Sort by ${column.title || "state"}`
      if (!column.title) button.setAttribute("aria-label", "State")
      if (down !== null) button.append(element("span", down ? "down" : "up"))
      button.addEventListener("click", () => this.sortBy(at))
      cell.append(button)
    }
    this.header.replaceChildren(row)
  }

  // Numbers are of interest from the largest down, texts from A to Z; the third click goes back to
  // the order of the file.
  sortBy(at) {
    const column = this.model.columns[at]
    const first = column.values !== null && column.kind !== "key"
    const { sort } = this.kept
    if (sort?.column !== at) this.kept.sort = { column: at, down: first }
    else if (sort.down === first) this.kept.sort = { column: at, down: !first }
    else this.kept.sort = null
    const focused = [...this.header.querySelectorAll("button")].indexOf(this.root.activeElement)
    this.drawHeader()
    this.relist()
    this.scroller.scrollTop = 0
    this.header.querySelectorAll("button")[focused]?.focus()
  }

  draw() {
    if (!this.virtual || !this.model) return
    const wanted = new Set()
    for (const { index, start } of this.virtual.getVirtualItems()) {
      const line = this.lines[index]
      if (line === undefined) continue
      wanted.add(line)
      if (!this.rows.has(line)) {
        const row = this.drawLine(line, index)
        row.style.transform = `translateY(${start - HEAD}px)`
        this.rows.set(line, row)
        this.body.append(row)
      }
    }
    for (const [line, row] of this.rows) {
      if (!wanted.has(line)) {
        row.remove()
        this.rows.delete(line)
      }
    }
    this.refresh()
  }

  drawLine(line, index) {
    const row = element("div", isGroup(line) ? "row group" : "row")
    row.id = `line${index}`
    row.setAttribute("role", "row")
    row.setAttribute("aria-rowindex", String(index + 2))
    row.style.gridTemplateColumns = this.columns.template
    row.line = line
    const group = isGroup(line) ? this.model.groups[~line] : null
    const isChild = !group && !this.model.isLoose(line)
    row.setAttribute("aria-level", isChild ? "2" : "1")
    if (group) row.setAttribute("aria-expanded", String(this.isOpen(group)))
    for (const at of this.columns.shown) {
      const column = this.model.columns[at]
      if (group && this.isBehindTitle(at, group)) continue
      const cell = group
        ? groupCell(this.model, column, at, group, this.isOpen(group), this.columns.bars)
        : rowCell(this.model, column, line, this.columns.bars)
      cell.setAttribute("role", "gridcell")
      if (column.kind === "key") {
        cell.classList.toggle("child", isChild)
        if (group) this.widen(cell, at, group)
        cell.append(copyButton())
      }
      row.append(cell)
    }
    return row
  }

  // A group's title takes the place of the columns after it that say nothing about the group.
  isBehindTitle(at, group) {
    const key = this.columns.shown.findIndex((each) => this.model.columns[each].kind === "key")
    const place = this.columns.shown.indexOf(at)
    return place > key && place <= key + this.emptyAfter(key, group)
  }

  emptyAfter(key, group) {
    const after = this.columns.shown.slice(key + 1)
    const filled = after.findIndex((at) => group.cells[at])
    return filled < 0 ? after.length : filled
  }

  widen(cell, at, group) {
    const span = 1 + this.emptyAfter(this.columns.shown.indexOf(at), group)
    if (span === 1) return
    cell.style.gridColumn = `span ${span}`
    cell.setAttribute("aria-colspan", String(span))
  }

  // What changes without new lines: the chosen and the active row.
  refresh() {
    if (!this.model) return
    const { chooses } = this.model.table
    const chosen = this.model.rowOf(this.chosen)
    for (const [line, row] of this.rows) {
      if (!isGroup(line) && chooses) row.setAttribute("aria-selected", String(line === chosen))
      row.classList.toggle("active", line === this.active)
    }
    const active = this.active === null ? null : this.rows.get(this.active)
    if (active && this.follows) {
      // The table may itself lie partly outside the window.
      active.scrollIntoView({ block: "nearest" })
      this.follows = false
    }
    if (active) this.scroller.setAttribute("aria-activedescendant", active.id)
    else this.scroller.removeAttribute("aria-activedescendant")
  }

  // --- choosing

  choose(row) {
    if (!this.model.table.chooses) return
    const id = this.model.idOf(row)
    this.chosen = id === this.chosen && this.model.table.clears ? null : id
    this.refresh()
    this.tell(this.chosen)
  }

  clear() {
    if (this.chosen === null || !this.model.table.clears) return
    this.chosen = null
    this.refresh()
    this.tell(null)
  }

  clicked(event) {
    const row = event.target.closest(".row")
    if (!row) return
    this.active = row.line
    if (event.target.closest(".copy")) this.copy(row.line)
    // The second click of a double click would take the first back.
    else if (event.detail < 2) this.act(row.line)
    this.refresh()
  }

  act(line) {
    if (!isGroup(line)) return this.choose(line)
    const group = this.model.groups[~line]
    return this.toggle(group, !this.isOpen(group))
  }

  // --- the keyboard

  focused() {
    if (this.active !== null && this.lines.includes(this.active)) return
    const chosen = this.model?.rowOf(this.chosen) ?? -1
    this.active = this.lines.includes(chosen) ? chosen : (this.lines[0] ?? null)
    this.refresh()
  }

  pressed(event) {
    if (event.target !== this.scroller || event.altKey || !this.lines.length) return
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() === "c" && !String(getSelection()) && this.active !== null) {
        event.preventDefault()
        this.copy(this.active)
      }
      return
    }
    const at = Math.max(0, this.lines.indexOf(this.active))
    const page = Math.max(1, Math.floor((this.scroller.clientHeight - HEAD) / this.height) - 1)
    const moves = {
      ArrowDown: () => this.move(at + 1),
      ArrowUp: () => this.move(at - 1),
      PageDown: () => this.move(at + page),
      PageUp: () => this.move(at - page),
      Home: () => this.move(0),
      End: () => this.move(this.lines.length - 1),
      ArrowRight: () => this.inward(at),
      ArrowLeft: () => this.outward(at),
      Enter: () => this.act(this.lines[at]),
      " ": () => this.act(this.lines[at]),
      Escape: () => this.clear(),
    }
    if (!moves[event.key]) return
    event.preventDefault()
    this.active = this.lines[at]
    moves[event.key]()
    this.refresh()
  }

  move(at) {
    const to = Math.min(Math.max(at, 0), this.lines.length - 1)
    this.active = this.lines[to]
    this.follows = true
    this.virtual.scrollToIndex(to, { align: "auto" })
  }

  inward(at) {
    const line = this.lines[at]
    if (!isGroup(line)) return
    const group = this.model.groups[~line]
    if (this.isOpen(group)) this.move(at + 1)
    else this.toggle(group, true)
  }

  outward(at) {
    const line = this.lines[at]
    if (isGroup(line)) {
      const group = this.model.groups[~line]
      if (this.isOpen(group)) this.toggle(group, false)
    } else this.move(this.lines.indexOf(this.parent(line)))
  }

  // --- copying

  async copy(line) {
    const text = isGroup(line) ? this.model.groups[~line].title : this.model.key(line)
    const done = await copied(text, this.root)
    this.rest()
    this.note.classList.add("fresh")
    if (done) {
      this.note.replaceChildren("✓ Copied ", element("span", "copied", text))
      this.rows.get(line)?.querySelector(".copy")?.classList.add("done")
    } else {
      this.note.replaceChildren("This browser does not allow copying here.")
    }
    this.noticeEnds = setTimeout(() => this.rest(), NOTICE)
  }

  // The foot as it is while nothing has just happened.
  rest() {
    clearTimeout(this.noticeEnds)
    this.note.classList.remove("fresh")
    this.note.textContent = this.model.table.foot
    for (const button of this.body.querySelectorAll(".done")) button.classList.remove("done")
  }
}
