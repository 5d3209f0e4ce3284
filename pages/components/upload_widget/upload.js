// Sends files in slices to the server's own route, one after the other; the bytes never pass through
// Streamlit. Several files are announced first: together they are one checkpoint.

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
    this.id = Math.random().toString(36).slice(2)
    this.abort = new AbortController()
  }

  async run() {
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
      this.onProgress(offset)
      if (answer.sha256) return answer.sha256
    }
  }

  // The server's answer, or null where there was none and the slice may be sent again.
  async slice(offset) {
    const { name, size } = this.file
    const query = new URLSearchParams({ name, size, offset, id: this.id })
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
    this.cancelled = fetch(`${this.address}?id=${this.id}`, { method: "DELETE" }).catch(() => null)
  }
}

const endsWith = (file, endings) => endings.some(end => file.name.toLowerCase().endsWith(end))

// Of several files, those that can be a checkpoint's: a folder's configuration is left out.
function takes(files, data) {
  const known = files.filter(file => endsWith(file, [...data.suffixes, ...data.beside]))
  return files.length > 1 && known.length ? known : files
}

function refusal(file, data, several) {
  const endings = several ? [...data.suffixes, ...data.beside] : data.suffixes
  if (!endsWith(file, endings)) {
    return `${file.name} has an ending that no checkpoint has. Loupe takes ${endings.join(", ")}.`
  }
  if (file.size === 0) return `${file.name} is empty: it has 0 bytes. Choose another file.`
  if (file.size > data.largest) {
    return `${file.name} has ${size(file.size)}, and this server takes files of up to ` +
      `${size(data.largest)}. Put it into a server folder instead.`
  }
  return null
}

function refusalOfAll(files, data) {
  for (const file of files) {
    const refused = refusal(file, data, files.length > 1)
    if (refused) return refused
  }
  const total = files.reduce((sum, file) => sum + file.size, 0)
  if (total > data.free) {
    const have = files.length > 1 ? `The ${files.length} files have` : `${files[0].name} has`
    return `${have} ${size(total)}, and ${size(data.free)} for uploads are free on this server. ` +
      "Ask the server's owner to make room."
  }
  return null
}

// What keeps the server from taking several files as one checkpoint; null where nothing does.
async function announced(files, address) {
  const sizes = Object.fromEntries(files.map(file => [file.name, file.size]))
  if (Object.keys(sizes).length < files.length) {
    return "Two of these files have the same name. Choose the files of one folder."
  }
  try {
    const response = await fetch(address, { method: "POST", body: JSON.stringify(sizes) })
    return (await response.json()).error ?? null
  } catch {
    return "The connection to the server is lost. Try again."
  }
}

export default function (component) {
  const { parentElement, data, setTriggerValue } = component
  const find = name => parentElement.querySelector(name)
  const [drop, idle, busy, input] = [".drop", ".idle", ".busy", "input"].map(find)
  const trouble = find(".trouble")
  const state = (parentElement.loupe ??= { sending: null, busy: false })
  state.data = data
  state.tell = setTriggerValue
  find(".hint").textContent = `or drop them here: ${data.hint}. The shards of one model go together.`
  drop.setAttribute("aria-label", data.label)
  input.accept = [...data.suffixes, ...data.beside].join(",")
  if (state.bound) return
  state.bound = true

  const show = problem => {
    trouble.textContent = problem ?? ""
    trouble.hidden = !problem
  }
  const rest = problem => {
    state.sending = null
    state.busy = false
    idle.hidden = false
    busy.hidden = true
    input.value = ""
    show(problem)
  }
  const send = (file, which, before, total, started) => {
    find(".name").textContent = which ? `${file.name} (${which})` : file.name
    state.sending = new Sending(file, `/loupe/uploads/${state.data.token}`, sent => {
      const done = before + sent
      const rate = (1000 * done) / Math.max(performance.now() - started, 1)
      const left = (total - done) / Math.max(rate, 1)
      find("progress").value = done / total
      find(".rate").textContent =
        `${Math.floor((100 * done) / total)} % of ${size(total)}, ` +
        `${(rate / 1e6).toFixed(1)} MB/s` + (left >= 1 ? `, ${Math.ceil(left)} s left` : "")
    })
    return state.sending.run()
  }
  const begin = async chosen => {
    if (!chosen.length || state.busy) return
    const files = takes(chosen, state.data)
    const refused = refusalOfAll(files, state.data)
    if (refused) return rest(refused)
    state.busy = true
    show(null)
    const several = files.length > 1
    const problem = several ? await announced(files, `/loupe/uploads/${state.data.token}`) : null
    if (problem) return rest(problem)
    const total = files.reduce((sum, file) => sum + file.size, 0)
    const started = performance.now()
    idle.hidden = true
    busy.hidden = false
    find(".rate").textContent = `0 % of ${size(total)}`
    find("progress").value = 0
    let before = 0
    let digest = null
    for (const [number, file] of files.entries()) {
      const which = several ? `${number + 1} of ${files.length} files` : ""
      try {
        digest = await send(file, which, before, total, started)
      } catch (error) {
        await state.sending.cancelled
        const told = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`
        return rest(error.name === "AbortError" ? null : several ? told : error.message)
      }
      before += file.size
    }
    rest(null)
    state.tell("done", digest)
  }

  find(".choose").onclick = () => input.click()
  find(".cancel").onclick = () => state.sending?.cancel()
  input.onchange = () => begin([...input.files])
  drop.ondragover = event => {
    event.preventDefault()
    drop.classList.add("over")
  }
  drop.ondragleave = () => drop.classList.remove("over")
  drop.ondrop = event => {
    event.preventDefault()
    drop.classList.remove("over")
    begin([...event.dataTransfer.files])
  }
}
