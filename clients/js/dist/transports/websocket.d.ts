import type { Feed } from "../feed.js";
export declare function websocket(feed: Feed, signal: AbortSignal, proven: () => void): Promise<void>;
