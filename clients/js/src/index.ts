// What the package exports: `import { watch } from "freshwire"`.

export type { Transport } from "./choose.js";
export type { Problem } from "./failure.js";
export type { Options } from "./options.js";
export type { Status } from "./resource.js";
export { watch, type Gone, type Watch, type WatchEvents } from "./watch.js";
