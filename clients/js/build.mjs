// Builds dist/: the module and its types, the React hook, the bundle for a script tag, and with --tests the unit tests.

import { execFileSync } from "node:child_process";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { build } from "esbuild";
import { minify } from "terser";

const common = {
  bundle: true,
  minify: true,
  target: "es2022",
  // Names that end in an underscore, and these: only parts of the client say them to each other, in one tab.
  mangleProps:
    /[a-z]_$|^(afterMs|demote|fate|feeds|follow|isDemoted|isNear|leader|listeners|pick|publish|resource|restart|retryMs|settings|settle|shown|trouble)$/,
  legalComments: "none",
  logLevel: "warning",
};

rmSync("dist", { recursive: true, force: true });
await build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/index.js", format: "esm" });
await build({ ...common, entryPoints: ["src/react.ts"], outfile: "dist/react.js", format: "esm", external: ["react", "freshwire"] });
const { outputFiles } = await build({ ...common, entryPoints: ["src/script.ts"], format: "iife", write: false });
const { code } = await minify(outputFiles[0].text, {
  ecma: 2020,
  toplevel: true,
  compress: { passes: 4, unsafe_arrows: true, hoist_props: true },
});
writeFileSync("dist/freshwire.min.js", code + "\n");
if (process.argv.includes("--tests"))
  await build({
    ...common,
    minify: false,
    entryPoints: readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`),
    outdir: "dist/test",
    outExtension: { ".js": ".mjs" },
    format: "esm",
    platform: "node",
    sourcemap: "inline",
  });
// The types, and that everything fits them.
const tsc = createRequire(import.meta.url).resolve("typescript/lib/tsc.js");
const check = (...more) => execFileSync(process.execPath, [tsc, ...more], { stdio: "inherit" });
check("--project", ".", "--declaration", "--emitDeclarationOnly", "--outDir", "dist");
if (process.argv.includes("--tests")) check("--project", "test");
