/** The person's own folder, `~/.nex`: keys, and what `nex up` keeps. */
import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";

/** @returns the path; it exists then, for its owner alone. */
export function nexHome(): string {
  let path = "~/.nex";
  try {
    path = join(process.env["HOME"] || homedir(), ".nex");
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new NexError("file_not_found", `Cannot make the folder "${path}": ${errorText(cause)}`, {
      cause,
      advice: "Set HOME to a folder that can be written",
    });
  }
  return path;
}
