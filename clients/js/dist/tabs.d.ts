import type { Settings } from "./options.js";
import { Resource } from "./resource.js";
export interface Tabs {
    /** What this tab knows of a URL. */
    resource(url: string): Resource;
    /** Keep a resource fresh for a listener, which is called after each change. */
    add(resource: Resource, listener: () => void): void;
    remove(resource: Resource, listener: () => void): void;
}
/** name: the group's; empty if it is of this tab only. */
export declare function tabs(settings: Settings, name: string): Tabs;
