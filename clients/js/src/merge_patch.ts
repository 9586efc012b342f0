// JSON merge patch (RFC 7396). Pure.

const isObject = (value: unknown): value is object => !!value && typeof value === "object" && !Array.isArray(value);

/** `target` with the patch applied, which is a new value: neither argument changes. */
export function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  // A Map, because a member may be called __proto__.
  const members = new Map<string, unknown>(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch))
    value === null ? members.delete(name) : members.set(name, merge(members.get(name), value));
  return Object.fromEntries(members);
}
