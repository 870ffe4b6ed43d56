/** Something that a driver needs and this host lacks. */
export interface UnmetRequirement {
  reason: string;
  advice: string;
}
