// The field `Link` (RFC 8288), as far as a watch needs it. Pure.

/** The target of the first link with the relation `monitor` (RFC 5989), as it is written. */
export const monitorIn = (field = ""): string | undefined =>
  /<([^>]*)>(?:[^,"]|"[^"]*")*?;\s*rel\s*=\s*"?(?:[^",;]*\s)?monitor(?=[\s",;]|$)/i.exec(field)?.[1];
