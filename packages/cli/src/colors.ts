/** Colours: on a terminal only, unless NO_COLOR or FORCE_COLOR say otherwise. */
import picocolors from "picocolors";

const { NO_COLOR, FORCE_COLOR } = process.env;
const onTerminal =
  process.stdout.isTTY === true && process.stderr.isTTY === true && process.env["TERM"] !== "dumb";

/** The palette of all output. */
export const colors = picocolors.createColors(!NO_COLOR && (Boolean(FORCE_COLOR) || onTerminal));
