/** Takes the artifact's chunks into a file, granting the node credit as they are written. */
import { chmodSync, closeSync, openSync, writeSync } from "node:fs";
import { artifactWindowBytes } from "@nexengine/protocol/agent";
import { errorText } from "@nexengine/protocol/errors";

export class ArtifactFile {
  readonly path: string;
  readonly #grant: (bytes: number) => void;
  #state: "absent" | "open" | "complete" = "absent";
  #fd = -1;
  #bytes = 0;
  #ungranted = 0;
  #failure: string | undefined;

  constructor(path: string, grant: (bytes: number) => void) {
    this.path = path;
    this.#grant = grant;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get complete(): boolean {
    return this.#state === "complete";
  }

  /** Why it could not be written, if it could not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** Takes the next bytes; `more` says that others follow. What comes after the end is passed by. */
  write(chunk: Uint8Array, more: boolean): void {
    if (this.#state === "complete") return;
    try {
      if (this.#failure === undefined) this.#append(chunk, more);
    } catch (error) {
      this.#failure = errorText(error);
    }
    this.#bytes += chunk.length;
    this.#ungranted += chunk.length;
    if (more && this.#ungranted >= artifactWindowBytes / 2) {
      this.#grant(this.#ungranted);
      this.#ungranted = 0;
    }
  }

  #append(chunk: Uint8Array, more: boolean): void {
    if (this.#state === "absent") {
      this.#fd = openSync(this.path, "wx", 0o700);
      this.#state = "open";
    }
    for (let at = 0; at < chunk.length; ) at += writeSync(this.#fd, chunk, at);
    if (more) return;
    closeSync(this.#fd);
    chmodSync(this.path, 0o500);
    this.#state = "complete";
  }
}
