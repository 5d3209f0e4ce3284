// Sends files in slices to the server's own route, one after the other. The bytes never pass through
// Streamlit. The files are announced first, because several files together are one checkpoint, and
// because the server may have parts of them already: after a reload these are not sent again.

const SLICE = 8 * 1024 * 1024
const RETRIES = 6
// Bytes of a file's start and of its end that go into its identity. Several files share this number.
const END = 64 * 1024

const CONNECTION_LOST = "The connection to the server is lost. Try again."
const UNREADABLE = "The browser can no longer read the file. Choose it again."

const units = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]

function size(bytes) {
  const unit = units.find(([, divisor]) => bytes >= divisor)
  return unit ? `${(bytes / unit[1]).toFixed(1)} ${unit[0]}` : `${bytes} bytes`
}

const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds))

// SHA-256 of bytes, in hexadecimal (FIPS 180-4). The browser's own crypto.subtle exists on https
// pages and on localhost only, and Loupe may be served by plain http.
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

// What this tab keeps across a reload. In a browser that blocks sessionStorage it keeps nothing.
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

// A key by which the server recognises this upload. It is the same if the same files are chosen again
// in this tab for this slot. Nobody can guess it, since it depends on a secret that never leaves the
// tab.
async function sendingKey(files, slot) {
  if (!memory.get("secret")) {
    memory.set("secret", [...crypto.getRandomValues(new Uint8Array(32))].join("."))
  }
  if (!memory.get("secret")) return ""
  const identities = []
  const end = Math.max(1024, Math.floor(END / files.length))
  for (const file of files) {
    const { name, size, lastModified } = file
    const ends = new Blob([file.slice(0, end), file.slice(Math.max(0, size - end))])
    identities.push([name, size, lastModified, sha256(new Uint8Array(await ends.arrayBuffer()))])
  }
  identities.sort((a, b) => (a[0] < b[0] ? -1 : 1))
  return sha256(new TextEncoder().encode(JSON.stringify([memory.get("secret"), slot, identities])))
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
        if (failures > RETRIES) throw new Error(CONNECTION_LOST)
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

  // The server's answer, or null if there was none and the slice can be sent again.
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
        throw new Error(UNREADABLE)
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

// Of several files, those that can belong to a checkpoint. A folder's configuration is left out.
function checkpointFiles(files, data) {
  const known = files.filter(file => endsWith(file, [...data.suffixes, ...data.beside]))
  return files.length > 1 && known.length ? known : files
}

function refusal(file, data, several) {
  const endings = several ? [...data.suffixes, ...data.beside] : data.suffixes
  if (!endsWith(file, endings)) {
    return `${file.name} has no file extension of a checkpoint. Loupe accepts ${endings.join(", ")}.`
  }
  if (file.size === 0) return `${file.name} is empty (0 bytes). Choose another file.`
  if (file.size > data.largest) {
    return `${file.name} has ${size(file.size)}, but this server accepts at most ` +
      `${size(data.largest)} per file. Put it into a server folder instead.`
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
    const need = files.length > 1 ? `The ${files.length} files need` : `${files[0].name} needs`
    return `${need} ${size(total)}, but this server has only ${size(data.free)} free for uploads. ` +
      "Ask the server's owner to make room."
  }
  return null
}

// Announces the files to the server. Returns an `error`, or the bytes of each file that the server
// has `received` already.
async function announced(files, address, slot) {
  const sizes = Object.fromEntries(files.map(file => [file.name, file.size]))
  if (Object.keys(sizes).length < files.length) {
    return { error: "Two of these files have the same name. Choose the files of one folder." }
  }
  let key
  try {
    key = await sendingKey(files, slot)
  } catch {
    return { error: UNREADABLE }
  }
  const headers = key ? { "X-Loupe-Sending": key } : {}
  try {
    const response = await fetch(address, { method: "POST", headers, body: JSON.stringify(sizes) })
    return await response.json()
  } catch {
    return { error: CONNECTION_LOST }
  }
}

export default function (component) {
  const { parentElement, data, setTriggerValue } = component
  const find = name => parentElement.querySelector(name)
  const [drop, idle, busy, input] = [".drop", ".idle", ".busy", "input"].map(find)
  const trouble = find(".trouble")
  const state = (parentElement.loupe ??= { sending: null, busy: false })
  state.data = data
  state.setTrigger = setTriggerValue
  const hint = () => {
    const left = JSON.parse(memory.get(`left-${data.slot}`) ?? "null")
    find(".hint").textContent = left && left.until > Date.now()
      ? `The upload of ${left.name} stopped at ${left.percent} %. Choose it again to continue there.`
      : data.form === "" ? `Drop files here: ${data.hint}` : data.hint
  }
  hint()
  find(".title").textContent = data.title
  find(".title").hidden = !data.title
  find(".slot").textContent = data.slot
  find(".slot").hidden = !data.title
  drop.className = `drop ${data.form} slot-${data.slot}`
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
    const files = checkpointFiles(chosen, state.data)
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
        const named = error.message.includes(file.name) ? error.message : `${file.name}: ${error.message}`
        return rest(error.name === "AbortError" ? null : several ? named : error.message)
      }
      before += file.size
    }
    memory.set(`left-${slot}`, null)
    rest(null)
    // A file that the server had in full was not sent again, so its digest is unknown here.
    state.setTrigger("done", digest ?? "here")
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
  // What was chosen before this script was there.
  begin([...input.files])
}
