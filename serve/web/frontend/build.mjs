// Bundles src/ into ../static and collects the licences of what is bundled. `--check` compares instead of writing.
import { build } from "esbuild";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "static");

const built = await build({
  absWorkingDir: here,
  entryPoints: { page: "src/page.ts", repair: "src/repair.ts", why: "src/why.ts", model: "src/model.ts" },
  outdir: target,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "ascii",
  legalComments: "none", // they stand in THIRD_PARTY_LICENSES.txt
  metafile: true,
  write: false,
});

// the packages whose files are in a bundle, by folder in node_modules
const packages = new Set();
for (const path of Object.keys(built.metafile.inputs)) {
  const found = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
  if (found) packages.add(found[1]);
}

async function licence(name) {
  const folder = join(here, "node_modules", name);
  const about = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} ships no licence text`);
  const text = (await readFile(join(folder, file), "utf8")).replaceAll("\r\n", "\n").trim();
  return `${name} ${about.version} (${about.license})\n${"=".repeat(60)}\n${text}\n`;
}

const licences = await Promise.all([...packages].sort().map(licence));
const head = "Emend's page bundles these packages, each under the licence below it.\n\n";
const files = new Map(built.outputFiles.map((file) => [file.path, file.text]));
files.set(join(target, "THIRD_PARTY_LICENSES.txt"), head + licences.join("\n\n"));

let stale = 0;
for (const [path, text] of files) {
  if (!process.argv.includes("--check")) {
    await writeFile(path, text);
    console.log(`${path}: ${text.length} characters`);
  } else if ((await readFile(path, "utf8").catch(() => "")) !== text) {
    console.error(`${path} is not what the sources build; run: npm ci --ignore-scripts && npm run build`);
    stale += 1;
  }
}
process.exitCode = stale ? 1 : 0;
