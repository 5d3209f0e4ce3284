// Puts a text on the clipboard, also where the page's address is not https: browsers then have no
// navigator.clipboard.

export async function copied(text, root) {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return copiedBySelection(text, root)
  }
}

function copiedBySelection(text, root) {
  const focused = root.activeElement
  const area = document.createElement("textarea")
  area.value = text
  area.className = "unseen"
  root.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  focused?.focus()
  return done
}
