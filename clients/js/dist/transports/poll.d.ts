import type { Feed } from "../feed.js";
export declare function poll(feed: Feed, signal: AbortSignal, proven: () => void): Promise<void>;
