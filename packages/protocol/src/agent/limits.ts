/** Limits that both sides of a frame channel hold; apart from the schemas, so that an agent carries none of them. */

/** The window of artifact bytes that a node may send before the agent asks for more. */
export const artifactWindowBytes = 1_048_576;
/** Log lines longer than this are split by the agent and refused by the node. */
export const logLineBytesMax = 16_384;
/** So many calls, at most, begin in an agent before its node hears of them. */
export const callWindowMax = 64;
