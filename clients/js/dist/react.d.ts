import { type Options, type Problem, type Status } from "freshwire";
/** What a component sees: a new object whenever anything of it changes. */
export interface Fresh<T> {
    value: T | undefined;
    status: Status;
    problem: Problem | undefined;
}
/**
 * The newest value of a URL, for as long as the component is mounted. With no URL it watches nothing. A change of the
 * options counts if they differ as JSON; `signal` and `fetch` should stay the same.
 */
export declare function useFresh<T = unknown>(url: string | null | undefined, options?: Options): Fresh<T>;
