// The bundle for a script tag: the global `freshwire`, with what the module exports.

import { watch } from "./watch.js";

Object.assign(globalThis, { freshwire: { watch } });
