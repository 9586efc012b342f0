import type { Deliver } from "../feed.js";
import type { Leader } from "../leader.js";
/** Joins the wait of an origin. */
export type Wait = Deliver;
export declare function waitOf(leader: Leader): Wait;
