// Sends the images that a person pastes anywhere on the page to the server. Streamlit calls this
// for each run; the listener of an element that is gone removes itself.

const listening = new WeakMap()

export default function ({ parentElement, data, setTriggerValue }) {
  const known = listening.get(parentElement)
  listening.set(parentElement, { most: data.most, send: (images) => setTriggerValue("pasted", images) })
  if (known) return
  const listener = (event) => {
    if (!parentElement.isConnected) {
      document.removeEventListener("paste", listener)
      return
    }
    const files = [...(event.clipboardData?.files ?? [])].filter((file) => file.type.startsWith("image/"))
    if (!files.length) return
    event.preventDefault()
    const { most, send } = listening.get(parentElement)
    Promise.all(files.map((file) => encoded(file, most))).then(send)
  }
  document.addEventListener("paste", listener)
  parentElement.querySelector("span").hidden = false // for who hears the page
}

// What is too large is sent without its bytes: the server says so.
async function encoded(file, most) {
  if (file.size > most) return { name: file.name, data: "", large: true }
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(reader.result)
    reader.onerror = () => reject(reader.error)
    reader.readAsDataURL(file)
  })
  return { name: file.name, data: url.slice(url.indexOf(",") + 1), large: false }
}
