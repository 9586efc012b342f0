// What a page has to load.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";

test("the bundle for a script tag is smaller than 5,000 bytes, compressed with Brotli", () => {
  const bundle = readFileSync("dist/freshwire.min.js");
  const [brotli, gzip] = [brotliCompressSync(bundle).length, gzipSync(bundle, { level: 9 }).length];
  console.log(`${bundle.length} bytes; Brotli ${brotli}, gzip ${gzip}`);
  assert.ok(brotli < 5_000, `${brotli}`);
});
