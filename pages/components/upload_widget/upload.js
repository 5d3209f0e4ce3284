// Sends one file in slices to the server's own route; the bytes never pass through Streamlit.

const SLICE = 8 * 1024 * 1024
const RETRIES = 6

const units = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]

function size(bytes) {
  const found = units.find(([, divisor]) => bytes >= divisor)
  return found ? `${(bytes / found[1]).toFixed(1)} ${found[0]}` : `${bytes} bytes`
}

const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds))

class Sending {
  constructor(file, address, onProgress) {
    this.file = file
    this.address = address
    this.onProgress = onProgress
    this.abort = new AbortController()
  }

  async run() {
    const started = performance.now()
    let offset = 0
    let failures = 0
    for (;;) {
      const answer = await this.slice(offset)
      if (answer === null) {
        failures += 1
        if (failures > RETRIES) throw new Error("The connection to the server is lost. Try again.")
        await pause(Math.min(8, 0.5 * 2 ** failures))
        continue
      }
      if (answer.error) throw new Error(answer.error)
      failures = 0
      offset = answer.received
      this.onProgress(offset, (performance.now() - started) / 1000)
      if (answer.sha256) return answer.sha256
    }
  }

  // The server's answer, or null where there was none and the slice may be sent again.
  async slice(offset) {
    const query = new URLSearchParams({ name: this.file.name, size: this.file.size, offset })
    try {
      const response = await fetch(`${this.address}?${query}`, {
        method: "PUT",
        body: this.file.slice(offset, offset + SLICE),
        signal: this.abort.signal,
      })
      if (response.status >= 500) return null
      return await response.json()
    } catch (error) {
      if (error.name === "AbortError") throw error
      if (error.name === "NotReadableError") {
        throw new Error("The browser cannot read the file any more: choose it again.")
      }
      return null
    }
  }

  cancel() {
    this.abort.abort()
    this.cancelled = fetch(this.address, { method: "DELETE" }).catch(() => null)
  }
}

function refusal(file, data) {
  const name = file.name.toLowerCase()
  if (!data.suffixes.some(suffix => name.endsWith(suffix))) {
    return `${file.name} has an ending that no checkpoint has. Loupe takes ${data.suffixes.join(", ")}.`
  }
  if (file.size === 0) return `${file.name} is empty: it has 0 bytes. Choose another file.`
  if (file.size > data.largest) {
    return `${file.name} has ${size(file.size)}, and this server takes files of up to ` +
      `${size(data.largest)}. Put it into a server folder instead.`
  }
  if (file.size > data.free) {
    return `${file.name} has ${size(file.size)}, and ${size(data.free)} for uploads are free ` +
      "on this server. Ask the server's owner to make room."
  }
  return null
}

export default function (component) {
  const { parentElement, data, setTriggerValue } = component
  const find = name => parentElement.querySelector(name)
  const [drop, idle, busy, input] = [".drop", ".idle", ".busy", "input"].map(find)
  const trouble = find(".trouble")
  const state = (parentElement.loupe ??= { sending: null })
  state.data = data
  state.tell = setTriggerValue
  find(".hint").textContent =
    `or drop one here: ${data.suffixes.join(" ")}, up to ${size(Math.min(data.largest, data.free))}`
  drop.setAttribute("aria-label", data.label)
  input.accept = data.suffixes.join(",")
  if (state.bound) return
  state.bound = true

  const show = problem => {
    trouble.textContent = problem ?? ""
    trouble.hidden = !problem
  }
  const rest = problem => {
    state.sending = null
    idle.hidden = false
    busy.hidden = true
    input.value = ""
    show(problem)
  }
  const begin = async file => {
    if (!file || state.sending) return
    const refused = refusal(file, state.data)
    if (refused) return rest(refused)
    show(null)
    idle.hidden = true
    busy.hidden = false
    find(".name").textContent = file.name
    find(".rate").textContent = `0 % of ${size(file.size)}`
    find("progress").value = 0
    state.sending = new Sending(file, `/loupe/uploads/${state.data.token}`, (sent, seconds) => {
      const rate = sent / Math.max(seconds, 0.001)
      const left = (file.size - sent) / Math.max(rate, 1)
      find("progress").value = sent / file.size
      find(".rate").textContent =
        `${Math.floor((100 * sent) / file.size)} % of ${size(file.size)}, ` +
        `${(rate / 1e6).toFixed(1)} MB/s` + (left >= 1 ? `, ${Math.ceil(left)} s left` : "")
    })
    try {
      const digest = await state.sending.run()
      rest(null)
      state.tell("done", digest)
    } catch (error) {
      await state.sending.cancelled
      rest(error.name === "AbortError" ? null : error.message)
    }
  }

  find(".choose").onclick = () => input.click()
  find(".cancel").onclick = () => state.sending?.cancel()
  input.onchange = () => begin(input.files[0])
  drop.ondragover = event => {
    event.preventDefault()
    drop.classList.add("over")
  }
  drop.ondragleave = () => drop.classList.remove("over")
  drop.ondrop = event => {
    event.preventDefault()
    drop.classList.remove("over")
    begin(event.dataTransfer.files[0])
  }
}
