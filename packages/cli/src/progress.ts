/** The progress of an upload, on a terminal only, and only when it takes a while. */
import { SingleBar } from "cli-progress";

const showFromBytes = 4 * 1024 * 1024;

/** @returns what an upload reports to; the bar goes away when the upload is whole. */
export function uploadProgress(): ((sentBytes: number, totalBytes: number) => void) | undefined {
  if (!process.stderr.isTTY) return undefined;
  let bar: SingleBar | undefined;
  return (sentBytes, totalBytes) => {
    if (totalBytes < showFromBytes) return;
    if (bar === undefined) {
      bar = new SingleBar({
        format: "Uploading {bar} {percentage}%",
        stream: process.stderr,
        clearOnComplete: true,
      });
      bar.start(totalBytes, 0);
      // A bar that is left behind by a failed upload would leave the terminal without line breaks.
      process.once("exit", () => bar?.stop());
    }
    bar.update(sentBytes);
    if (sentBytes >= totalBytes) bar.stop();
  };
}
