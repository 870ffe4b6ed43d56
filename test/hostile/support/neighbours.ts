/** A function and a service beside the hostile ones, called again and again: they must not suffer. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { echoService, type TestNexus } from "@nexengine/testing";

const pauseMs = 25;
const listenTries = 3;
const bucketBytesMax = 67_108_864;
const neighbourFunction = "neighbour-function";
const neighbourService = "neighbour-service";

/** How many machines the neighbours have. */
export const neighbourCount = 2;

/** Calls both until the end of its scope. */
export class Neighbours implements AsyncDisposable {
  readonly #nexus: TestNexus;
  readonly #answerMsMax: number;
  readonly #failures: string[] = [];
  #ended = false;
  #loop: Promise<void> | undefined;
  calls = 0;
  slowestMs = 0;

  private constructor(nexus: TestNexus, answerMsMax: number) {
    this.#nexus = nexus;
    this.#answerMsMax = answerMsMax;
  }

  /** @param answerMsMax How long any answer may take. */
  static async start(nexus: TestNexus, answerMsMax: number): Promise<Neighbours> {
    const service = await echoService();
    assert.ok(service, "the echo service can't be built");
    await nexus.function("(subject, payload) => payload", {
      name: neighbourFunction,
      bucketBytesMax,
      limits: { callTimeMs: answerMsMax / 2 },
    });
    await nexus.deploy(
      { path: service.path },
      {
        name: neighbourService,
        type: "native",
        bucketBytesMax,
        environment: { NATS_URL: nexus.server.url, ECHO_SUBJECT: neighbourService },
      },
    );
    const neighbours = new Neighbours(nexus, answerMsMax);
    await neighbours.#listening();
    neighbours.#loop = neighbours.#call();
    return neighbours;
  }

  /** A service needs a moment until it has subscribed. */
  async #listening(): Promise<void> {
    const deadline = performance.now() + listenTries * this.#answerMsMax;
    do {
      this.#failures.length = 0;
      await this.#ask(neighbourService);
    } while (this.#failures.length > 0 && performance.now() < deadline);
  }

  async #call(): Promise<void> {
    while (!this.#ended) {
      await Promise.all([this.#ask(neighbourFunction), this.#ask(neighbourService)]);
      await delay(pauseMs);
    }
  }

  async #ask(subject: string): Promise<void> {
    const text = `call ${++this.calls}`;
    const askedAt = performance.now();
    try {
      const { data } = await this.#nexus.client.call(subject, text, { timeoutMs: this.#answerMsMax });
      this.slowestMs = Math.max(this.slowestMs, performance.now() - askedAt);
      if (Buffer.from(data).toString() !== text)
        this.#failures.push(`${subject} answers with something else`);
    } catch (error) {
      this.#failures.push(`${subject}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Both answer now, and have answered every call since the last time. */
  async check(): Promise<void> {
    await Promise.all([this.#ask(neighbourFunction), this.#ask(neighbourService)]);
    assert.deepEqual(this.#failures.splice(0), [], "the neighbours suffer");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#loop;
  }
}
