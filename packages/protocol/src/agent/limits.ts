/**
 * Limits that both sides of a frame channel enforce. They are separate from the schemas to keep those out of the agent.
 */

/** Number of artifact bytes a node may send before the agent grants more. */
export const artifactWindowBytes = 1_048_576;
/** Maximum length of a log line. The agent splits longer lines; the node refuses them. */
export const logLineBytesMax = 16_384;
/** Maximum number of calls that an agent may start before it reports them to its node. */
export const callWindowMax = 64;
