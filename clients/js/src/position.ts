// Places in a node's log of changes, `<epoch>-<offset>`: which of two representations is the older one. The epoch is
// eight digits; eight more name a variant, in the same log. Pure; used wherever a representation is accepted.

/** The log that a position is of. */
export const epoch = (position?: string): string | undefined => position?.slice(0, 8);

const offset = (position: string): number => +position.slice(position.lastIndexOf("-") + 1);

/**
 * How many changes `position` is behind another: negative if it is ahead, NaN if they cannot be compared, because they are
 * of two logs or one is missing.
 */
export const lag = (position?: string, behind?: string): number =>
  position && behind && epoch(position) === epoch(behind) ? offset(behind) - offset(position) : NaN;
