// The field `Link` (RFC 8288), as far as a watch needs it. Pure.

/** The target of the first link with this relation, as it is written. */
export function linked(field: string | undefined, relation: string): string | undefined {
  for (const [, target, parameters] of (field ?? "").matchAll(/<([^>]*)>((?:[^,"]|"[^"]*")*)/g))
    if (/;\s*rel\s*=\s*"?([^";]*)/i.exec(parameters!)?.[1]!.trim().split(/\s+/).includes(relation)) return target;
}
