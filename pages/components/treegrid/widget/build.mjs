// Bundles src/ into treegrid.js, which is committed: neither the app nor its tests need node.
// The banner holds the digest of the sources, by which a test knows a bundle that is out of date,
// and the licences of the packages inside.

import { build } from "esbuild"
import { createHash } from "node:crypto"
import { readFileSync, readdirSync, statSync } from "node:fs"
import { gzipSync } from "node:zlib"

const here = new URL(".", import.meta.url)
const read = (path) => readFileSync(new URL(path, here))

function digestOfSources() {
  const digest = createHash("sha256")
  const sources = readdirSync(new URL("src/", here)).sort().map((name) => `src/${name}`)
  for (const path of ["build.mjs", "package-lock.json", "package.json", ...sources]) {
    digest.update(`${path}\n`).update(read(path)).update("\n")
  }
  return digest.digest("hex")
}

function licences() {
  const { dependencies } = JSON.parse(read("package.json"))
  return Object.entries(dependencies).map(
    ([name, version]) => `${name} ${version}\n\n${read(`node_modules/${name}/LICENSE`)}`,
  )
}

const banner = ["Built from src/ by build.mjs.", `sources sha256 ${digestOfSources()}`, ...licences()]

await build({
  entryPoints: [new URL("src/main.js", here).pathname],
  outfile: new URL("treegrid.js", here).pathname,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: `/*!\n${banner.join("\n\n").trim()}\n*/` },
})

const size = statSync(new URL("treegrid.js", here)).size
console.log(`treegrid.js: ${size} bytes, ${gzipSync(read("treegrid.js")).length} packed`)
