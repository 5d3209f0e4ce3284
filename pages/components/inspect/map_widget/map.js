// Draws the modules as tiles, each a button that chooses its module. Where a tile stands is worked
// out in Python; here is only which label has room. All texts are set as textContent, since they
// come from files.

const ROOM = 10 // pixels of a label's padding

class ModuleMap {
  constructor(parent) {
    this.host = element("div", "map")
    this.host.setAttribute("role", "group")
    parent.append(this.host)
    this.observer = new ResizeObserver(() => this.label())
    this.observer.observe(this.host)
  }

  receive(data, choose) {
    this.choose = choose
    if (JSON.stringify(data) === this.sent) return
    this.sent = JSON.stringify(data)
    this.data = data
    const focused = this.tiles?.findIndex((tile) => tile.matches(":focus")) ?? -1
    this.host.style.height = `${data.height}px`
    this.host.setAttribute("aria-label", data.label)
    this.tiles = data.tiles.map((tile, at) => this.tile(tile, at))
    this.host.replaceChildren(...this.tiles)
    this.tiles[focused]?.focus()
    this.label()
  }

  close() {
    this.observer.disconnect()
    this.host.remove()
  }

  tile(tile, at) {
    const button = element("button", tile.outer ? "tile outer" : "tile")
    button.type = "button"
    button.tabIndex = at === Math.max(this.data.chosen ?? 0, 0) ? 0 : -1
    for (const side of ["left", "top", "width", "height"]) button.style[side] = `${tile[side]}%`
    button.style.setProperty("--share", tile.share)
    button.title = tile.facts
    button.setAttribute("aria-label", tile.facts)
    button.setAttribute("aria-pressed", String(at === this.data.chosen))
    button.disabled = tile.rest
    button.append(element("span", ""))
    button.addEventListener("click", () => this.choose(at))
    button.addEventListener("keydown", (event) => this.pressed(event, at))
    return button
  }

  // The longest text that has room, so that none is cut. All sizes are read before the first text
  // is set: otherwise the browser lays the page out again for each tile.
  label() {
    if (!this.tiles?.length || !this.host.clientWidth) return
    const context = document.createElement("canvas").getContext("2d")
    context.font = getComputedStyle(this.tiles[0].firstChild).font
    const rooms = this.tiles.map((tile) => [tile.clientWidth - ROOM, tile.clientHeight])
    this.data.tiles.forEach((tile, at) => {
      const [room, height] = rooms[at]
      const fits = (text) => context.measureText(text).width <= room
      const texts = height < 16 ? [] : [`${tile.name} ${tile.percent}`, tile.name]
      this.tiles[at].firstChild.textContent = texts.find(fits) ?? ""
    })
  }

  pressed(event, at) {
    const last = this.tiles.length - 1
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key]
    if (to === undefined || to < 0 || to > last) return
    event.preventDefault()
    this.tiles[at].tabIndex = -1
    this.tiles[to].tabIndex = 0
    this.tiles[to].focus()
  }
}

function element(tag, look) {
  const made = document.createElement(tag)
  if (look) made.className = look
  return made
}

const maps = new WeakMap()

export default function ({ parentElement, data, setTriggerValue }) {
  if (!maps.has(parentElement)) maps.set(parentElement, new ModuleMap(parentElement))
  maps.get(parentElement).receive(data, (at) => setTriggerValue("module", at))
  return () => {
    maps.get(parentElement)?.close()
    maps.delete(parentElement)
  }
}
