// What Streamlit calls: once when the table is mounted, and again when it has new data.

import { Grid } from "./grid.js"

const grids = new WeakMap()

export default function ({ parentElement, data, setStateValue }) {
  if (!grids.has(parentElement)) {
    grids.set(parentElement, new Grid(parentElement))
  }
  const grid = grids.get(parentElement)
  grid.receive(data, (row) => setStateValue("row", row))
  return () => {
    grid.close()
    grids.delete(parentElement)
  }
}
