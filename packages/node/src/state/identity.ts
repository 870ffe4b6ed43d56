/** Who a node is: its nkey and its xkey, and the proof that they belong together. */
import {
  type CurveKey,
  createKey,
  curveKeyOfSeed,
  type Signer,
  signerOfSeed,
  signXkeyProof,
  xkeyProofLifeSeconds,
} from "@nexengine/protocol/internal";

export class Identity {
  readonly id: string;
  readonly xkey: CurveKey;
  readonly #signer: Signer;
  readonly #now: () => number;
  #proof = "";
  #proofUntilMs = 0;

  private constructor(signer: Signer, xkey: CurveKey, now: () => number) {
    this.id = signer.publicKey;
    this.xkey = xkey;
    this.#signer = signer;
    this.#now = now;
  }

  /** A fresh identity, which ends with the process. */
  static create(now: () => number = Date.now): Identity {
    return new Identity(signerOfSeed(createKey("node").seed), curveKeyOfSeed(createKey("curve").seed), now);
  }

  /** The proof of the xkey, signed anew at half its life. */
  get xkeyProof(): string {
    const now = this.#now();
    if (now >= this.#proofUntilMs) {
      this.#proof = signXkeyProof(this.#signer, this.xkey.publicKey, now);
      this.#proofUntilMs = now + (xkeyProofLifeSeconds * 1000) / 2;
    }
    return this.#proof;
  }
}
