/** Collects reports about workloads, by their names. */
import type { NexClient } from "@nexengine/client";

const linesKeptMax = 4_000;

/** Output of one workload, and the reports about it. */
export interface Story {
  lines: string[];
  /** Its log lines, also those that are not kept. */
  lineCount: number;
  /** Why it ended, each time that it was said. */
  ends: string[];
  restarts: string[];
}

/** Follows all log lines and events of a nexus. */
export class Watch implements AsyncDisposable {
  readonly #stories = new Map<string, Story>();
  readonly #stack = new AsyncDisposableStack();

  static async start(client: NexClient): Promise<Watch> {
    const watch = new Watch();
    watch.#follow(client);
    await client.flush();
    return watch;
  }

  #follow(client: NexClient): void {
    const logs = this.#stack.use(client.logs({ queueMax: 100_000 }));
    const events = this.#stack.use(client.events());
    const reading = Promise.all([
      (async () => {
        for await (const { workloadName, text } of logs) {
          const story = this.of(workloadName);
          story.lineCount++;
          if (story.lines.length < linesKeptMax || /were dropped|^held |^ESCAPED /.test(text))
            story.lines.push(text);
        }
      })(),
      (async () => {
        for await (const { type, event } of events) {
          const story = this.of(String(event.data?.["workload_name"]));
          if (type === "workload_undeployed") story.ends.push(String(event.data?.["reason"]));
          if (type === "workload_restarting") story.restarts.push(String(event.data?.["reason"]));
        }
      })(),
    ]);
    reading.catch(() => undefined);
  }

  of(name: string): Story {
    const story = this.#stories.get(name) ?? { lines: [], lineCount: 0, ends: [], restarts: [] };
    this.#stories.set(name, story);
    return story;
  }

  forget(name: string): void {
    this.#stories.delete(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
