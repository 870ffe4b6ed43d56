/** Validation and overlap of subjects, and subjects that no workload may use as a trigger. */

/** Built-in deny list for triggers, as in Go Nex. */
export const deniedTriggerSubjects: readonly string[] = ["$SYS.>", "$JS.>", "$NEX.>"];
export const subjectBytesMax = 1024;

/**
 * Whether a subject is valid for a subscription: non-empty tokens, no white space, `*` and `>` only as whole tokens,
 * `>` only as the last one.
 */
export function isSubscribableSubject(subject: string): boolean {
  if (subject === "" || Buffer.byteLength(subject) > subjectBytesMax) return false;
  if (/[\s\p{Cc}]/u.test(subject)) return false;
  const tokens = subject.split(".");
  return tokens.every((token, at) => {
    if (token === "") return false;
    if (token === ">") return at === tokens.length - 1;
    return token === "*" || !/[*>]/.test(token);
  });
}

/** Whether one can publish to a subject: it is valid, and has no wildcard. */
export function isPublishableSubject(subject: string): boolean {
  return isSubscribableSubject(subject) && !/(?:^|\.)[*>](?:$|\.)/.test(subject);
}

/** Whether some concrete subject matches both patterns. */
export function subjectsOverlap(a: string, b: string): boolean {
  const left = a.split(".");
  const right = b.split(".");
  for (let at = 0; ; at++) {
    const x = left[at];
    const y = right[at];
    if (x === undefined && y === undefined) return true;
    if (x === ">") return y !== undefined;
    if (y === ">") return x !== undefined;
    if (x === undefined || y === undefined) return false;
    if (x !== "*" && y !== "*" && x !== y) return false;
  }
}

/**
 * Checks a trigger against the fixed deny rules: a first token that starts with `$`, and inboxes.
 *
 * @param inboxPrefixes The node's own inbox prefixes, in addition to `_INBOX`.
 * @returns the denied pattern that the subject overlaps, or `undefined`.
 */
export function alwaysDeniedTrigger(
  subject: string,
  inboxPrefixes: readonly string[] = [],
): string | undefined {
  const first = subject.split(".")[0] ?? "";
  if (first.startsWith("$")) return `${first}.>`;
  for (const prefix of ["_INBOX", ...inboxPrefixes]) {
    if (subjectsOverlap(subject, `${prefix}.>`)) return `${prefix}.>`;
  }
  // A wildcard as the first token matches every first token, including those with `$`.
  if (first === "*" || first === ">") return "$*.>";
  return undefined;
}

/** Entries of a deny list that a subject overlaps. */
export function overlapping(subject: string, denyList: readonly string[]): string[] {
  return denyList.filter((entry) => subjectsOverlap(subject, entry));
}
