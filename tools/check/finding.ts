/** Something that a check has found, where, and what to do about it. */
export interface Finding {
  /** From the root of the checkout, with `/`. */
  path: string;
  line?: number;
  message: string;
}

/** `path:line  message`, as editors follow it. */
export function formatFinding({ path, line, message }: Finding): string {
  return `  ${path}${line === undefined ? "" : `:${line}`}  ${message}`;
}
