// What Python sends: a line of JSON with what may change from run to run, then the table as JSON.

const NEWLINE = 10

export function headOf(bytes) {
  return JSON.parse(textOf(bytes.subarray(0, bytes.indexOf(NEWLINE))))
}

export function tableOf(bytes) {
  return JSON.parse(textOf(bytes.subarray(bytes.indexOf(NEWLINE) + 1)))
}

function textOf(bytes) {
  return new TextDecoder().decode(bytes)
}
