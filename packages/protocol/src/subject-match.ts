/** Which subjects are subjects, which overlap, and which no workload may have. */

/** The reference's built-in deny list for triggers. */
export const deniedTriggerSubjects: readonly string[] = ["$SYS.>", "$JS.>", "$NEX.>"];
export const subjectBytesMax = 1024;

/**
 * Is this a subject that can be subscribed: non-empty tokens, no white space, `*` and `>` only as whole tokens and
 * `>` only as the last?
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

/** Can one concrete subject match both patterns? */
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
 * Why a subject may never be a trigger, whatever a deny list says: its first token starts with `$`, or it reaches an
 * inbox.
 *
 * @param inboxPrefixes The node's own inbox prefixes beside `_INBOX`.
 * @returns the denied pattern that it overlaps, or `undefined`.
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
  // A wildcard in the first place reaches every first token, those with `$` too.
  if (first === "*" || first === ">") return "$*.>";
  return undefined;
}

/** The entries of a deny list that a subject overlaps. */
export function overlapping(subject: string, denyList: readonly string[]): string[] {
  return denyList.filter((entry) => subjectsOverlap(subject, entry));
}
