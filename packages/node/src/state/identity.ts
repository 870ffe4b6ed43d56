/** A node's identity: its nkey, its xkey, and the proof that they belong together. */
import { randomBytes } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { errorText, NexError } from "@nexengine/protocol/errors";
import {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  type Signer,
  signerOfSeed,
  signXkeyProof,
  xkeyProofLifeSeconds,
} from "@nexengine/protocol/tokens";
import { z } from "zod";

const fileName = "identity.json";
const fileSchema = z.object({ version: z.literal(1), node_seed: z.string(), xkey_seed: z.string() });

/** Work for the warm-up. Without it the first box of 180 kB takes 20 ms, after it 1 to 5 ms. */
const warmUpBytes = 4_096;
const warmUpRounds = 40;

export class Identity {
  readonly id: string;
  readonly xkey: CurveKey;
  readonly #signer: Signer;
  readonly #now: () => number;
  #proof = "";
  #proofUntilMs = 0;

  /** Writes the identity into its directory; absent when it stands there. */
  #keep: (() => Promise<unknown>) | undefined;

  private constructor({ node_seed, xkey_seed }: Seeds, now: () => number) {
    this.#signer = signerOfSeed(node_seed);
    this.id = this.#signer.publicKey;
    this.xkey = curveKeyOfSeed(xkey_seed);
    this.#now = now;
  }

  /**
   * Opens the identity in a state directory, or makes a new one. Its seeds are in a file of mode 0600: whoever can read
   * it can be this node, and open what was sealed for it.
   *
   * @param file A copy of the file `identity.json` of a directory that was lost. It is not in this directory before `keep`.
   * @throws NexError `state_unusable` when the directory's file is unreadable: a node never becomes another one silently;
   *   `config_invalid` when the given file is no identity, or the directory has another one.
   */
  static async open(directory: string, file?: string, now: () => number = Date.now): Promise<Identity> {
    const path = join(directory, fileName);
    try {
      const kept = await readKept(path);
      if (file === undefined) return new Identity(kept ?? (await keep(path, newSeeds())), now).#warm();
      const seeds = await handedIn(file, directory, kept);
      const identity = new Identity(seeds, now).#warm();
      if (kept === undefined) identity.#keep = () => keep(path, seeds);
      return identity;
    } catch (cause) {
      if (cause instanceof NexError && cause.code === "config_invalid") throw cause;
      // The cause may quote the file, which holds seeds.
      const why = cause instanceof Error && "code" in cause ? errorText(cause) : "it is damaged";
      throw new NexError("state_unusable", `Cannot read the node's identity "${path}": ${why}`, {
        advice: "Mend the file, or remove it to let the node become a new one",
      });
    }
  }

  #warm(): this {
    warmUp(this.xkey);
    return this;
  }

  /** Puts an identity that was handed in into the state directory, for good. */
  async keep(): Promise<void> {
    await this.#keep?.();
    this.#keep = undefined;
  }

  /** The proof of the xkey, renewed at half its life. */
  get xkeyProof(): string {
    const now = this.#now();
    if (now >= this.#proofUntilMs) {
      this.#proof = signXkeyProof(this.#signer, this.xkey.publicKey, now);
      this.#proofUntilMs = now + (xkeyProofLifeSeconds * 1000) / 2;
    }
    return this.#proof;
  }
}

/** Opens a few boxes, so that the cipher is compiled before a request needs it. */
function warmUp(xkey: CurveKey): void {
  const box = xkey.seal(Buffer.alloc(warmUpBytes), xkey.publicKey);
  for (let round = 0; round < warmUpRounds; round++) xkey.open(box, xkey.publicKey);
}

type Seeds = z.infer<typeof fileSchema>;

async function readKept(path: string): Promise<Seeds | undefined> {
  try {
    return fileSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function newSeeds(): Seeds {
  return { version: 1, node_seed: createKey("node").seed, xkey_seed: createKey("curve").seed };
}

/**
 * Reads an identity that is kept elsewhere.
 *
 * @param there Identity of the state directory.
 * @throws NexError `config_invalid` when the file is none, or the directory has another one.
 */
async function handedIn(file: string, directory: string, there: Seeds | undefined): Promise<Seeds> {
  const refused = (why: string): NexError =>
    new NexError("config_invalid", `Cannot take the identity "${file}": ${why}`);
  let seeds: Seeds | undefined;
  try {
    seeds = await readKept(file);
    if (seeds !== undefined) idOf(seeds);
  } catch (cause) {
    // The cause may quote the file, which holds seeds.
    const isOfFile = cause instanceof Error && "code" in cause && !(cause instanceof NexError);
    throw refused(isOfFile ? errorText(cause) : "it is no identity of a node");
  }
  if (seeds === undefined) throw refused("there is no such file");
  if (there === undefined || idOf(there) === idOf(seeds)) return seeds;
  throw refused(`the state directory "${directory}" belongs to another node, ${idOf(there)}`);
}

/** @throws Error when the seeds are none */
function idOf({ node_seed, xkey_seed }: Seeds): string {
  curveKeyOfSeed(xkey_seed);
  return signerOfSeed(node_seed).publicKey;
}

/** Writes seeds to disk, whole and synced, before they are used. */
async function keep(path: string, seeds: Seeds): Promise<Seeds> {
  const unfinished = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    await using file = await open(unfinished, "wx", 0o600);
    await file.writeFile(`${JSON.stringify(seeds)}\n`);
    await file.sync();
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
  return seeds;
}
