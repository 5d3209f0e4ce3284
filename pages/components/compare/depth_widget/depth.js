// Draws the change by depth as lines on a logarithmic axis. Python says what each point is and how
// it is written; here is only where it stands. All texts are set as textContent, since many come
// from files.

const SVG = "http://www.w3.org/2000/svg"
const HEIGHT = 196
const PLOT = { right: 22, top: 24, bottom: 26 }
const LEFT = 42 // pixels left of the axis, and more where its texts are longer
const BAND = 22 // pixels below the axis for the blocks without a change
const GAP = 10 // pixels between two labels
const NARROW = 640 // pixels below which the chart is wider than its panel, which scrolls
const SPACE = { most: 48, least: 6, chart: 680 } // pixels for a block, and for all, in a narrow one

class DepthChart {
  constructor(parent) {
    this.host = element("div", "depth")
    parent.append(this.host)
    this.observer = new ResizeObserver(() => this.draw())
    this.observer.observe(this.host)
    this.width = 0
  }

  receive(data, choose) {
    this.choose = choose
    if (JSON.stringify(data) === this.sent) return
    this.sent = JSON.stringify(data)
    this.data = data
    this.width = 0
    this.draw()
  }

  close() {
    this.observer.disconnect()
    this.host.remove()
  }

  draw() {
    const width = Math.floor(this.host.clientWidth)
    if (!this.data || !width || width === this.width) return
    this.width = width
    const blocks = this.data.blocks.length
    const least = Math.min(SPACE.most * blocks, Math.max(SPACE.chart, SPACE.least * blocks))
    this.span = width < NARROW ? Math.max(width, least) : width
    const font = context2d("12.5px")
    const ticks = this.data.ticks.map(([, text]) => font.measureText(text).width)
    this.left = Math.ceil(Math.max(LEFT, ...ticks)) + 16
    this.hasSame = this.data.lines.some((line) => line.points.some((p) => p?.state === "same"))
    this.scroller = element("div", "scroller")
    this.sheet = element("div", "sheet")
    this.sheet.style.width = `${this.span}px`
    this.svg = svg("svg", { width: this.span, height: HEIGHT, "aria-hidden": "true" })
    this.tip = element("div", "tip")
    this.tip.hidden = true
    this.sheet.append(this.svg, this.columns())
    this.scroller.append(this.sheet)
    this.axis()
    this.names()
    const marks = this.data.lines.map((line, at) => this.line(line, at))
    this.labels()
    this.marks = marks.flat()
    const scrolled = this.host.querySelector(".scroller")?.scrollLeft ?? 0
    this.host.replaceChildren(this.legend(), this.scroller, this.tip)
    this.scroller.scrollLeft = scrolled
  }

  // --- places

  get bottom() {
    return HEIGHT - PLOT.bottom - (this.hasSame ? BAND : 0)
  }

  get floor() {
    return this.bottom + (this.hasSame ? BAND : 0)
  }

  get step() {
    return (this.span - this.left - PLOT.right) / this.data.blocks.length
  }

  x(at) {
    return this.left + (at + 0.5) * this.step
  }

  y(power) {
    const { low, high } = this.data
    return this.bottom - ((power - low) / (high - low)) * (this.bottom - PLOT.top)
  }

  yOf(point) {
    if (point.state === "changed") return this.y(Math.log10(point.change))
    if (point.state === "from zero") return PLOT.top
    return point.state === "same" ? this.floor : this.bottom
  }

  // --- parts

  axis() {
    const right = this.span - PLOT.right
    for (const [power, text] of this.data.ticks) this.tick(this.y(power), text, right, "grid")
    if (this.hasSame) this.tick(this.floor, "0\u202f%", right, "grid same")
  }

  tick(y, text, right, look) {
    this.svg.append(
      svg("line", { class: look, x1: this.left, x2: right, y1: y, y2: y }),
      written("tick", this.left - 8, y + 4, text, "end"),
    )
  }

  names() {
    const font = context2d("12.5px")
    const places = this.data.labels.map((label, at) => {
      const half = font.measureText(label).width / 2
      const x = Math.min(Math.max(this.x(at), half + 2), Math.max(half + 2, this.span - half - 2))
      return { label, x, start: x - half, end: x + half }
    })
    const last = places.length - 1
    let every = 1
    while (every <= last && !fits(places, every)) every += 1
    const shown = places.filter((_, at) => at % every === 0)
    if (last % every && places[last].start >= shown.at(-1).end + GAP) shown.push(places[last])
    for (const { label, x } of shown) {
      this.svg.append(written("name", x, HEIGHT - 6, label, "middle"))
    }
  }

  line(line, at) {
    const look = at === 0 && line.weights ? "weights" : "norms"
    const marks = []
    for (const run of runs(line.points)) {
      const places = run.map((block) => [this.x(block), this.yOf(line.points[block])])
      const path = `M${places.map((place) => place.join(",")).join("L")}`
      if (look === "weights") {
        const [first, end] = [places[0][0], places.at(-1)[0]]
        this.svg.append(
          svg("path", { class: "area", d: `${path}L${end},${this.floor}L${first},${this.floor}Z` }),
        )
      }
      if (run.length > 1) this.svg.append(svg("path", { class: `line ${look}`, d: path }))
    }
    line.points.forEach((point, block) => {
      if (!point) return
      const mark = this.mark(point, this.x(block), this.yOf(point), look)
      mark.dataset.block = block
      mark.dataset.state = point.state
      marks.push(mark)
      this.svg.append(mark)
    })
    return marks
  }

  mark(point, x, y, look) {
    const size = this.step < 12 ? 2.5 : 4.5
    if (point.state === "not measured") return written(`mark ${look}`, x, y - 3, "?", "middle")
    if (point.state === "from zero") return written(`mark ${look}`, x, y - 6, "∞", "middle")
    return svg("circle", { class: `dot ${look}`, cx: x, cy: y, r: size })
  }

  labels() {
    const font = context2d("600 12.5px")
    const taken = []
    const points = this.data.lines[0].points
    for (const at of this.data.labelled) {
      const text = points[at].text
      const half = font.measureText(text).width / 2
      const x = Math.min(Math.max(this.x(at), half + 2), this.span - half - 2)
      if (taken.some(([start, end]) => x - half < end + GAP && x + half > start - GAP)) continue
      taken.push([x - half, x + half])
      this.svg.append(written("label", x, this.yOf(points[at]) - 10, text, "middle"))
    }
  }

  legend() {
    const legend = element("div", "legend")
    this.data.lines.forEach((line, at) => {
      const look = at === 0 && line.weights ? "weights" : "norms"
      legend.append(entry(`key ${look}`, "", line.title))
    })
    for (const [sign, words] of this.data.signs) legend.append(entry("sign", sign, words))
    const hint = element("span", "hint")
    hint.textContent = this.data.hint
    legend.append(hint)
    return legend
  }

  // The blocks as buttons, one of which takes the focus: arrows go from one to the next.
  columns() {
    const group = element("div", "columns")
    group.setAttribute("role", "group")
    group.setAttribute("aria-label", "Blocks of the model, in order")
    const chosen = this.data.chosen ?? -1
    this.buttons = this.data.blocks.map((block, at) => {
      const button = element("button", "column")
      button.type = "button"
      button.style.left = `${this.left + at * this.step}px`
      button.style.width = `${this.step}px`
      button.tabIndex = at === Math.max(chosen, 0) ? 0 : -1
      button.setAttribute("aria-pressed", String(at === chosen))
      button.setAttribute("aria-label", [block, ...this.data.facts[at]].join(". "))
      button.addEventListener("click", () => this.choose(at))
      button.addEventListener("pointerenter", () => this.show(at))
      button.addEventListener("pointerleave", () => this.hide())
      button.addEventListener("focus", () => button.matches(":focus-visible") && this.show(at))
      button.addEventListener("blur", () => this.hide())
      button.addEventListener("keydown", (event) => this.pressed(event, at))
      return button
    })
    group.append(...this.buttons)
    return group
  }

  pressed(event, at) {
    const last = this.buttons.length - 1
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key]
    if (event.key === "Escape") this.hide()
    if (to === undefined || to < 0 || to > last) return
    event.preventDefault()
    this.buttons[at].tabIndex = -1
    this.buttons[to].tabIndex = 0
    this.buttons[to].focus()
  }

  show(at) {
    this.light(at)
    const name = element("b", "")
    name.textContent = this.data.blocks[at]
    const facts = this.data.facts[at].map((fact) => {
      const line = element("div", "")
      line.textContent = fact
      return line
    })
    this.tip.replaceChildren(name, ...facts)
    this.tip.hidden = false
    const x = this.x(at) - this.scroller.scrollLeft
    const room = this.host.clientWidth - this.tip.offsetWidth
    const beside = x + 14 + this.tip.offsetWidth > this.host.clientWidth
    const left = beside ? x - 14 - this.tip.offsetWidth : x + 14
    this.tip.style.left = `${Math.max(0, Math.min(left, room))}px`
  }

  hide() {
    this.light(-1)
    this.tip.hidden = true
  }

  light(at) {
    for (const mark of this.marks) mark.classList.toggle("lit", Number(mark.dataset.block) === at)
  }
}

// The blocks of the points that one line joins. A block without such tensors is passed over; one
// that has no place on the axis breaks the line.
function runs(points) {
  const all = [[]]
  points.forEach((point, at) => {
    if (!point) return
    if (point.state === "changed" || point.state === "same") all.at(-1).push(at)
    else all.push([])
  })
  return all.filter((run) => run.length)
}

function fits(places, every) {
  for (let at = every; at < places.length; at += every) {
    if (places[at].start < places[at - every].end + GAP) return false
  }
  return true
}

function context2d(size) {
  const context = document.createElement("canvas").getContext("2d")
  context.font = `${size} Inter, system-ui, sans-serif`
  return context
}

function entry(look, sign, words) {
  const item = element("span", "entry")
  const mark = element("i", look)
  mark.textContent = sign
  const text = element("span", "")
  text.textContent = words
  item.append(mark, text)
  return item
}

function element(tag, look) {
  const made = document.createElement(tag)
  if (look) made.className = look
  return made
}

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  return made
}

function written(look, x, y, text, anchor) {
  const made = svg("text", { class: look, x, y, "text-anchor": anchor })
  made.textContent = text
  return made
}

const charts = new WeakMap()

export default function ({ parentElement, data, setTriggerValue }) {
  if (!charts.has(parentElement)) charts.set(parentElement, new DepthChart(parentElement))
  charts.get(parentElement).receive(data, (at) => setTriggerValue("block", at))
  return () => {
    charts.get(parentElement)?.close()
    charts.delete(parentElement)
  }
}
