/** Failure of a download, or of the program that downloads. The message follows the name of what was fetched. */
export class FetchFailure extends Error {
  override readonly name = "FetchFailure";
}

/** Returns the last line of a program's output in brackets, to follow its state. */
export function lastLine(output: string): string {
  const line = output.split("\n").findLast((text) => text.trim() !== "");
  return line === undefined ? "" : ` (${line.trim()})`;
}
