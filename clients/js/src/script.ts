// The bundle for a script tag: the global `freshwire`, with what the module exports.

import { Gone, watch } from "./watch.js";

Object.assign(globalThis, { freshwire: { Gone, watch } });
