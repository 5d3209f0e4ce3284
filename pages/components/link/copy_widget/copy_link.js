// Streamlit calls this for each new data. A click asks the server for the link as it is now, and
// the answer comes as data of a later call.

const waiting = new WeakMap()
const SHOWN_FOR = 2000

export default function ({ parentElement, data, setStateValue }) {
  const find = selector => parentElement.querySelector(selector)
  const button = find(".copy")
  const byHand = find(".byhand")

  const say = words => {
    find(".said").textContent = words
    button.classList.toggle("copied", words !== "")
  }

  const question = waiting.get(parentElement)
  if (question && question.number === data.answered) {
    waiting.delete(parentElement)
    question.answer(`${location.origin}${location.pathname}${data.query && `?${data.query}`}`)
  }

  button.onclick = () => {
    const number = Date.now()
    const link = new Promise(answer => waiting.set(parentElement, { number, answer }))
    setStateValue("asked", number)
    copied(link).then(
      () => {
        say("Link copied")
        setTimeout(() => say(""), SHOWN_FOR)
      },
      async () => {
        const input = find(".byhand input")
        input.value = await link
        byHand.hidden = false
        input.select()
      },
    )
  }
  find(".done").onclick = () => {
    byHand.hidden = true
    button.focus()
  }
}

// Browsers let a page write to the clipboard during a click, and the link comes after it: they take
// a promise of a text. Without https there is no clipboard.
async function copied(link) {
  const text = link.then(words => new Blob([words], { type: "text/plain" }))
  await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })])
}
