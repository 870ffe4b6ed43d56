/** How many ids of the host a machine has. */
export const idsPerMachine = 65_536;
/** Who a machine's program is, inside: nobody in particular, and not root. */
export const guestId = 1000;
