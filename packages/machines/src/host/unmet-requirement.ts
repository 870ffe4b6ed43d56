/** A requirement of a driver that this host does not meet. */
export interface UnmetRequirement {
  reason: string;
  advice: string;
}
