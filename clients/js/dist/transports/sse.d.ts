import type { Feed } from "../feed.js";
export declare function sse(feed: Feed, signal: AbortSignal, proven: () => void): Promise<void>;
