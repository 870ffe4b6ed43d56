/** Uptimes in the format of Go Nex. */

const units = [
  ["y", 365 * 86_400],
  ["d", 86_400],
  ["h", 3_600],
  ["m", 60],
] as const;

/**
 * Whole seconds, largest unit first, with all smaller units: `7s`, `1m0s`, `3d0h0m1s`, `1y2d3h4m5s`.
 *
 * @param elapsedMs Negative values count as 0.
 */
export function formatUptime(elapsedMs: number): string {
  let rest = Math.max(0, Math.floor(elapsedMs / 1000));
  let text = "";
  for (const [name, seconds] of units) {
    const count = Math.floor(rest / seconds);
    if (count === 0 && text === "") continue;
    text += `${count}${name}`;
    rest -= count * seconds;
  }
  return `${text}${rest}s`;
}

/**
 * Accumulated run time of a function as INFO shows it: `<n>ns` below a microsecond, `<n>ms` below a second, otherwise
 * the uptime format.
 */
export function formatRunTime(runNs: number): string {
  if (runNs < 1000) return `${Math.floor(runNs)}ns`;
  if (runNs < 1e9) return `${Math.floor(runNs / 1e6)}ms`;
  return formatUptime(runNs / 1e6);
}
