/** Facts that all buckets of a node share. */

/** Timeout of a JetStream request. */
export const jetStreamTimeMs = 5_000;
