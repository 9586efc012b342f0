// Builds dist/: the module and its types, the React hook, the bundle for a script tag, and with --tests the unit tests.

import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";

const common = {
  bundle: true,
  minify: true,
  target: "es2022",
  // Names that end in an underscore are of the class that has them: nobody else says them.
  mangleProps: /[a-z]_$/,
  legalComments: "none",
  logLevel: "warning",
};

rmSync("dist", { recursive: true, force: true });
await build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/index.js", format: "esm" });
await build({ ...common, entryPoints: ["src/script.ts"], outfile: "dist/freshwire.min.js", format: "iife" });
await build({
  ...common,
  entryPoints: ["src/react.ts"],
  outfile: "dist/react.js",
  format: "esm",
  external: ["react", "freshwire"],
});
if (process.argv.includes("--tests"))
  await build({
    ...common,
    minify: false,
    mangleProps: undefined,
    entryPoints: readdirSync("test").filter((name) => name.endsWith(".test.ts")).map((name) => `test/${name}`),
    outdir: "dist/test",
    outExtension: { ".js": ".mjs" },
    format: "esm",
    platform: "node",
    sourcemap: "inline",
  });
execFileSync(process.execPath, [
  createRequire(import.meta.url).resolve("typescript/lib/tsc.js"),
  ...["--project", ".", "--declaration", "--emitDeclarationOnly", "--outDir", "dist"],
], { stdio: "inherit" });
