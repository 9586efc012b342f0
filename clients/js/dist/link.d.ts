/** The target of the first link with this relation, as it is written. */
export declare function linked(field: string | undefined, relation: string): string | undefined;
