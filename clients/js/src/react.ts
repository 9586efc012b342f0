// The React hook: `import { useFresh } from "freshwire/react"`. Components that use the same URL share a watch's
// connection, as all watches do.

import { useMemo, useSyncExternalStore } from "react";
import { watch, type Options, type Problem, type Status, type Watch } from "freshwire";

/** What a component sees: a new object whenever anything of it changes. */
export interface Fresh<T> {
  value: T | undefined;
  status: Status;
  problem: Problem | undefined;
}

const NOTHING: Fresh<never> = { value: undefined, status: "connecting", problem: undefined };

/**
 * The newest value of a URL, for as long as the component is mounted. With no URL it watches nothing. A change of the
 * options counts if they differ as JSON; `signal` and `fetch` should stay the same.
 */
export function useFresh<T = unknown>(url: string | null | undefined, options: Options = {}): Fresh<T> {
  const store = useMemo(() => {
    let now: Fresh<T> = NOTHING;
    return {
      snapshot: () => now,
      subscribe(onChange: () => void) {
        if (!url) return () => {};
        const watching: Watch<T> = watch<T>(url, options);
        const look = (): void => {
          const { value = now.value, status, problem } = watching;
          now = { value, status, problem };
          onChange();
        };
        for (const type of ["change", "live", "stale", "gone", "error"]) watching.addEventListener(type, look);
        return () => watching.close();
      },
    };
  }, [url, JSON.stringify(options), options.fetch]);
  return useSyncExternalStore(store.subscribe, store.snapshot, () => NOTHING);
}
