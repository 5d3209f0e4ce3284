// Sends files in slices to the server's own route, one after the other; the bytes never pass through
// Streamlit. The files are announced first: several are together one checkpoint, and what the server
// has of them already, since the page was reloaded in the middle, is not sent again.

const SLICE = 8 * 1024 * 1024
const RETRIES = 6
// Bytes of a file's first and last that tell it from others; of several files fewer each.
const END = 64 * 1024

const units = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]

function size(bytes) {
  const found = units.find(([, divisor]) => bytes >= divisor)
  return found ? `${(bytes / found[1]).toFixed(1)} ${found[0]}` : `${bytes} bytes`
}

const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds))

// SHA-256 of bytes, in hexadecimal (FIPS 180-4). The browser's own is there on https pages alone.
function sha256(bytes) {
  const fraction = x => ((x - Math.floor(x)) * 2 ** 32) | 0
  const primes = []
  for (let n = 2; primes.length < 64; n++) if (primes.every(p => n % p)) primes.push(n)
  const hash = primes.slice(0, 8).map(p => fraction(Math.sqrt(p)))
  const constants = primes.map(p => fraction(Math.cbrt(p)))
  const padded = new Uint8Array(64 * Math.ceil((bytes.length + 9) / 64))
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const view = new DataView(padded.buffer)
  view.setBigUint64(padded.length - 8, 8n * BigInt(bytes.length))
  const turn = (x, n) => (x >>> n) | (x << (32 - n))
  const w = new Int32Array(64)
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        w[i] = view.getInt32(at + 4 * i)
        continue
      }
      const [x, y] = [w[i - 15], w[i - 2]]
      const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3)
      const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10)
      w[i] = w[i - 16] + s0 + w[i - 7] + s1
    }
    let [a, b, c, d, e, f, g, h] = hash
    for (let i = 0; i < 64; i++) {
      const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + constants[i] + w[i]) | 0
      const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      ;[h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0]
    }
    ;[a, b, c, d, e, f, g, h].forEach((x, i) => (hash[i] = (hash[i] + x) | 0))
  }
  return hash.map(x => (x >>> 0).toString(16).padStart(8, "0")).join("")
}

// What this tab keeps over a reload; nothing where the browser keeps nothing.
const memory = {
  get: name => {
    try {
      return sessionStorage.getItem(`loupe-${name}`)
    } catch {
      return null
    }
  },
  set: (name, value) => {
    try {
      if (value === null) sessionStorage.removeItem(`loupe-${name}`)
      else sessionStorage.setItem(`loupe-${name}`, value)
    } catch {
      return
    }
  },
}

// What the server is to call this sending: the same for the same files, chosen again in this tab for
// this slot, and beyond anybody's guess, since a secret that never leaves the tab goes into it.
async function sendingKey(files, slot) {
  if (!memory.get("secret")) {
    memory.set("secret", [...crypto.getRandomValues(new Uint8Array(32))].join("."))
  }
  if (!memory.get("secret")) return ""
  const told = []
  const end = Math.max(1024, Math.floor(END / files.length))
  for (const file of files) {
    const { name, size, lastModified } = file
    const ends = new Blob([file.slice(0, end), file.slice(Math.max(0, size - end))])
    told.push([name, size, lastModified, sha256(new Uint8Array(await ends.arrayBuffer()))])
  }
  told.sort((a, b) => (a[0] < b[0] ? -1 : 1))
  return sha256(new TextEncoder().encode(JSON.stringify([memory.get("secret"), slot, told])))
}

class Sending {
  constructor(file, address, offset, onProgress) {
    this.file = file
    this.address = address
    this.offset = offset
    this.onProgress = onProgress
    this.id = Math.random().toString(36).slice(2)
    this.abort = new AbortController()
  }

  async run() {
    let offset = this.offset
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
      if (response.status >= 500 || response.status === 408) return null
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

// Tells the server what comes: an `error`, or how many bytes it has `received` of each file already.
async function announced(files, address, slot) {
  const sizes = Object.fromEntries(files.map(file => [file.name, file.size]))
  if (Object.keys(sizes).length < files.length) {
    return { error: "Two of these files have the same name. Choose the files of one folder." }
  }
  let key
  try {
    key = await sendingKey(files, slot)
  } catch {
    return { error: "The browser cannot read the file any more: choose it again." }
  }
  const headers = key ? { "X-Loupe-Sending": key } : {}
  try {
    const response = await fetch(address, { method: "POST", headers, body: JSON.stringify(sizes) })
    return await response.json()
  } catch {
    return { error: "The connection to the server is lost. Try again." }
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
  const hint = () => {
    const left = JSON.parse(memory.get(`left-${data.slot}`) ?? "null")
    find(".hint").textContent = left && left.until > Date.now()
      ? `${left.name} stopped at ${left.percent} %. Choose it again to continue from there.`
      : `or drop them here: ${data.hint}. The shards of one model go together.`
  }
  hint()
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
    hint()
    show(problem)
  }
  const send = (file, which, offset, before, total, progress) => {
    find(".name").textContent = which ? `${file.name} (${which})` : file.name
    state.sending = new Sending(file, state.data.address, offset, sent => progress(before + sent))
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
    const { slot, keptFor } = state.data
    const answer = await announced(files, state.data.address, slot)
    if (answer.error) return rest(answer.error)
    const here = answer.received
    const total = files.reduce((sum, file) => sum + file.size, 0)
    const first = Object.values(here).reduce((sum, bytes) => sum + bytes, 0)
    const started = performance.now()
    const percent = done => Math.floor((100 * done) / total)
    const progress = done => {
      const rate = (1000 * (done - first)) / Math.max(performance.now() - started, 1)
      const left = (total - done) / Math.max(rate, 1)
      find("progress").value = done / total
      find(".rate").textContent =
        `${percent(done)} % of ${size(total)}, ${(rate / 1e6).toFixed(1)} MB/s` +
        (left >= 1 && rate > 0 ? `, ${Math.ceil(left)} s left` : "")
      const name = several ? `${files[0].name} and ${files.length - 1} more` : files[0].name
      const until = Date.now() + 1000 * keptFor
      memory.set(`left-${slot}`, JSON.stringify({ name, percent: percent(done), until }))
    }
    idle.hidden = true
    busy.hidden = false
    find(".rate").textContent = `${percent(first)} % of ${size(total)}`
    find("progress").value = first / total
    const onward = first ? `continued from ${percent(first)} %` : ""
    let before = 0
    let digest = null
    for (const [number, file] of files.entries()) {
      const place = several ? `${number + 1} of ${files.length} files` : ""
      const which = [place, onward].filter(Boolean).join(", ")
      const offset = here[file.name] ?? 0
      try {
        if (!several || offset < file.size) {
          digest = await send(file, which, offset, before, total, progress)
        }
      } catch (error) {
        await state.sending.cancelled
        if (error.name === "AbortError") memory.set(`left-${slot}`, null)
        const told = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`
        return rest(error.name === "AbortError" ? null : several ? told : error.message)
      }
      before += file.size
    }
    memory.set(`left-${slot}`, null)
    rest(null)
    // What the server had to the last byte was not sent: it has no digest here.
    state.tell("done", digest ?? "here")
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
