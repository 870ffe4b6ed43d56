/** Something that a driver needs and this host lacks. */
export interface Lack {
  reason: string;
  advice: string;
}
