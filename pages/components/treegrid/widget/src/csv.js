// Downloads the rows as CSV, from what the browser has: no request, and no file on the server.

export function downloadCsv(model, rows) {
  const columns = model.columns.filter((column) => column.kind !== "image")
  const lines = [columns.map((column) => column.title || "State")]
  for (const row of rows) lines.push(columns.map((column) => valueOf(model, column, row)))
  const text = lines.map((line) => line.map(quoted).join(",")).join("\n")
  const address = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }))
  const link = document.createElement("a")
  link.href = address
  link.download = model.table.file
  link.click()
  // The browser has taken the address by then; at once might be too early.
  setTimeout(() => URL.revokeObjectURL(address), 60_000)
}

function valueOf(model, column, row) {
  if (column.kind === "key") return withoutFormula(model.key(row))
  const value = model.value(column, row)
  const isNumber = ["number", "bar"].includes(column.kind) && typeof value === "number"
  return isNumber ? String(value) : withoutFormula(model.text(column, row))
}

// A spreadsheet would run a text that begins like this as a formula, and keys come from files.
function withoutFormula(text) {
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
}

function quoted(text) {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
