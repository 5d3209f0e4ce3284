// Draws cells. Whatever comes from a file goes in as textContent and is never read as HTML.

const TAIL = 16
const SVG = "http://www.w3.org/2000/svg"

export function element(name, className, text) {
  const made = document.createElement(name)
  if (className) made.className = className
  if (text !== undefined) made.textContent = text
  return made
}

// A row's cell of a column.
export function rowCell(model, column, row, showsBars) {
  if (column.kind === "key") return keyCell(model, column, row)
  const text = model.text(column, row)
  const cell = element("div", `cell ${column.kind}`)
  if (column.kind === "state") drawState(cell, model.table.states[text], column.worded && showsBars)
  else if (column.kind === "bar") drawBar(cell, text, model.value(column, row), column, showsBars)
  else if (column.kind === "image") drawImage(cell, text)
  else drawText(cell, text)
  return cell
}

// A group's cell of a column; empty where the group has no sum of it.
export function groupCell(model, column, at, group, isOpen, showsBars) {
  const cell = element("div", `cell ${column.kind}`)
  if (column.kind === "key") {
    cell.append(element("span", `twisty${isOpen ? " open" : ""}`))
    cell.append(...middleCut(group.title))
    cell.title = group.title
    return cell
  }
  const sum = group.cells[at]
  if (!sum) return cell
  if (column.kind === "state") drawState(cell, model.table.states[sum.text], false)
  else if (column.kind === "bar") drawBar(cell, sum.text, sum.value, column, showsBars)
  else drawText(cell, sum.text)
  return cell
}

function keyCell(model, column, row) {
  const cell = element("div", "cell key")
  const key = model.key(row)
  cell.title = key
  const fresh = column.into?.[row] ?? null
  cell.append(...(fresh === null ? middleCut(model.name(row)) : changed(key, fresh)))
  return cell
}

// Draws a button as two sheets of paper.
export function copyButton() {
  const button = element("button", "copy")
  button.type = "button"
  button.tabIndex = -1
  button.title = "Copy"
  button.setAttribute("aria-label", "Copy")
  const drawing = document.createElementNS(SVG, "svg")
  drawing.setAttribute("viewBox", "0 0 16 16")
  for (const path of ["M5.5 5.5h8v8h-8z", "M10.5 2.5h-8v8"]) {
    const line = document.createElementNS(SVG, "path")
    line.setAttribute("d", path)
    drawing.append(line)
  }
  button.append(drawing)
  return button
}

// The text in two parts: only the first is cut where there is no room, so that both ends stay.
function middleCut(text) {
  const at = text.length - TAIL
  if (at <= 2) return [element("span", "head", text)]
  return [element("span", "head", text.slice(0, at)), element("span", "tail", text.slice(at))]
}

// The old name with what the new one has instead: struck out, and marked as new.
function changed(old, fresh) {
  if (old === fresh) return middleCut(old)
  let start = 0
  while (start < old.length && start < fresh.length && old[start] === fresh[start]) start++
  start = old.lastIndexOf(".", start - 1) + 1
  let end = 0
  const most = Math.min(old.length, fresh.length) - start
  while (end < most && old[old.length - 1 - end] === fresh[fresh.length - 1 - end]) end++
  const struck = old.slice(start, old.length - end)
  const added = fresh.slice(start, fresh.length - end)
  return [
    start ? element("span", "rest", old.slice(0, start)) : null,
    struck ? element("del", "", struck) : null,
    added ? element("ins", "", added) : null,
    element("span", "head", old.slice(old.length - end)),
  ].filter(Boolean)
}

function drawText(cell, text) {
  cell.textContent = text
  cell.title = text
}

function drawBar(cell, text, value, column, showsBars) {
  if (showsBars) {
    const bar = element("span", column.share ? "bar wide" : "bar")
    const filled = element("span", "filled")
    if (column.colour) filled.style.background = column.colour
    filled.style.width = `${100 * Math.min(1, Math.max(0, (value ?? 0) / column.full))}%`
    bar.append(filled)
    cell.append(bar)
  }
  cell.append(element("span", "amount", text))
}

// The row's key says what it shows.
function drawImage(cell, address) {
  const image = element("img")
  image.src = address
  image.alt = ""
  cell.append(image)
}

function drawState(cell, state, worded) {
  if (!state) return
  cell.style.color = state.colour
  cell.title = state.word
  const mark = element("span", "mark", state.mark)
  mark.setAttribute("aria-hidden", "true")
  cell.append(mark, element("span", worded ? "word" : "unseen", state.word))
}
