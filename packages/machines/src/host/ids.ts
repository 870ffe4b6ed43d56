/** How many ids of the host a machine has. */
export const idsPerMachine = 65_536;
/** Who a machine's program is, inside: nobody in particular, and not root. */
export const guestId = 1000;
/** The first id of the host that machines have; below it are its people. */
export const defaultHostIdFirst = 1_000_000;
