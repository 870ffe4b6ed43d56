/** Number of host ids per machine. */
export const idsPerMachine = 65_536;
/** User and group id of the program inside the machine; an unprivileged user. */
export const guestId = 1000;
/** First host id used for machines. Lower ids belong to the host's users. */
export const defaultHostIdFirst = 1_000_000;
