import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { NatsConnection } from "@nats-io/nats-core";
import { NexError } from "@nexengine/protocol/errors";
import type { NatsServer } from "@nexengine/provision";
import { startTestNatsServer } from "@nexengine/testing";
import { eventually } from "@nexengine/testing/internal";
import { pino } from "pino";
import { connectNats } from "../connections/connect.ts";
import { type Action, Dispatcher, requestsPerTurnMax, requestsWaitingMax, turnMsMax } from "./dispatcher.ts";

const msPerSecond = 1_000;
const waitMs = 10_000;
const mebibyte = 1_048_576;
const waitingBytesMax = 16 * mebibyte;

let server: NatsServer;
before(async () => {
  server = await startTestNatsServer();
});
after(() => server.stop());

/** An answer: its data, or the code of its error. */
type Answer = { type: string; data: unknown; error?: string; code?: string };

/** Waits for a condition; a test that waits in vain fails and gives everything back. */
function until(condition: () => boolean): Promise<void> {
  return eventually(condition, waitMs, `${condition}`);
}

/** An action without bounds that answers with its body's size. */
function action(subject: string, given: Partial<Action> = {}): Action {
  return {
    subject,
    kind: "ping",
    bodyBytesMax: Number.MAX_SAFE_INTEGER,
    perSecondMax: Number.MAX_SAFE_INTEGER,
    threadMsPerSecondMax: Number.MAX_SAFE_INTEGER,
    handle: (_, body) => ({ bytes: body.length }),
    ...given,
  };
}

/** Keeps the thread busy, as a large signature check does. */
function busy(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

/** A dispatcher on a connection, and somebody who asks it on another one. */
class Bench implements AsyncDisposable {
  readonly dispatcher: Dispatcher;
  /** Lines of the dispatcher's log. */
  readonly log: { level: number; msg: string }[] = [];
  readonly node: NatsConnection;
  readonly #asker: NatsConnection;
  readonly #inbox = `_INBOX.${crypto.randomUUID()}`;
  /** Answers by the number of the request. */
  readonly #answers = new Map<number, Answer[]>();
  #requests = 0;

  private constructor(node: NatsConnection, asker: NatsConnection) {
    this.node = node;
    this.#asker = asker;
    const log = pino({}, { write: (line: string) => void this.log.push(JSON.parse(line)) });
    this.dispatcher = new Dispatcher(node, log);
    asker.subscribe(`${this.#inbox}.*`, {
      callback: (_, message) => {
        const number = Number(message.subject.split(".").at(-1));
        // The server answers where nobody subscribes.
        if (message.headers?.code === 503) {
          this.answersTo(number).push({ type: "", data: "", code: "no_responders" });
          return;
        }
        const { nex, ...rest } = message.json<Answer & { nex?: { code: string } }>();
        this.answersTo(number).push(nex === undefined ? rest : { ...rest, code: nex.code });
      },
    });
  }

  /** Starts a dispatcher with these actions, and one more that `settle` asks. */
  static async start(...actions: Action[]): Promise<Bench> {
    const login = { servers: [server.url] };
    const bench = new Bench(await connectNats(login), await connectNats(login));
    await bench.#asker.flush();
    await bench.dispatcher.start([...actions, action("settle")]);
    return bench;
  }

  /** Sends a request. @returns its number. */
  ask(subject: string, body: string | Uint8Array = ""): number {
    const number = this.#requests++;
    this.#asker.publish(subject, body, { reply: `${this.#inbox}.${number}` });
    return number;
  }

  /** Sends requests and waits for an answer to each. @returns the answers, each as its code, or "ok". */
  async askAll(...subjects: string[]): Promise<string[]> {
    const numbers = subjects.map((subject) => this.ask(subject));
    await until(() => numbers.every((number) => this.answersTo(number).length > 0));
    return numbers.map((number) => this.outcome(number));
  }

  /** Waits until the server has the requests. */
  flush(): Promise<void> {
    return this.#asker.flush();
  }

  answersTo(number: number): Answer[] {
    const known = this.#answers.get(number) ?? [];
    this.#answers.set(number, known);
    return known;
  }

  /** The one answer to a request, as its code, or "ok"; "none" without an answer. */
  outcome(number: number): string {
    const [answer, ...more] = this.answersTo(number);
    assert.deepEqual(more, []);
    return answer === undefined ? "none" : (answer.code ?? "ok");
  }

  /** Waits for the answer to a request sent now. NATS keeps the order, so earlier requests have been received. */
  async settle(): Promise<void> {
    await this.askAll("settle");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispatcher.stop();
    await Promise.all([this.node.close(), this.#asker.close()]);
  }
}

/** Runs `act` within one second of the dispatcher's clock: it starts again when a second has ended meanwhile. */
async function withinOneSecond(act: () => Promise<void>): Promise<void> {
  for (;;) {
    await delay(msPerSecond - (performance.now() % msPerSecond) + 1);
    const second = Math.floor(performance.now() / msPerSecond);
    const failure = await act().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (Math.floor(performance.now() / msPerSecond) !== second) continue;
    if (failure !== undefined) throw failure.error;
    return;
  }
}

test("Dispatcher reads bodies up to the size of their action, and refuses larger ones unread", async () => {
  const handled: number[] = [];
  const handle: Action["handle"] = (_, body) => ({ bytes: handled.push(body.length) });
  await using bench = await Bench.start(
    action("small", { bodyBytesMax: 10, handle }),
    action("large.*", { bodyBytesMax: 20, kind: "run", handle }),
  );
  const sent = [
    bench.ask("small", "x".repeat(10)),
    bench.ask("small", "x".repeat(11)),
    bench.ask("large.a", "x".repeat(20)),
    bench.ask("large.b", "x".repeat(21)),
  ];
  await bench.settle();
  assert.deepEqual(
    sent.map((number) => bench.outcome(number)),
    ["ok", "request_too_large", "ok", "request_too_large"],
  );
  assert.deepEqual(handled, [10, 20]);
  assert.deepEqual(bench.answersTo(sent[3] ?? -1), [
    {
      type: "io.nats.nex.v1.run_response",
      data: "",
      error: "Cannot read the request: the body has 21 bytes, at most 20 are read",
      code: "request_too_large",
    },
  ]);
  // A request that is too large is the sender's fault, so the node does not count it as dropped.
  assert.equal(bench.dispatcher.dropped, 0);
});

test("Dispatcher hands the subject and the body of each request to its action, and the data back", async () => {
  const seen: string[] = [];
  await using bench = await Bench.start(
    action("d.*.n", {
      kind: "info",
      handle: async (subject, body) => {
        seen.push(`${subject} ${Buffer.from(body)}`);
        await delay(1);
        return { subject };
      },
    }),
  );
  // Many small messages share one chunk of the connection.
  const sent = Array.from({ length: 20 }, (_, at) => bench.ask(`d.n${at}.n`, `body ${at}`));
  await until(() => sent.every((number) => bench.answersTo(number).length > 0));
  assert.deepEqual(
    seen,
    sent.map((_, at) => `d.n${at}.n body ${at}`),
  );
  assert.deepEqual(bench.answersTo(sent[7] ?? -1), [
    { type: "io.nats.nex.v1.info_response", data: { subject: "d.n7.n" } },
  ]);
});

test("Dispatcher takes each action's requests up to its own rate, and more in the next second", async () => {
  await withinOneSecond(async () => {
    await using bench = await Bench.start(action("rare", { perSecondMax: 2 }), action("often"));
    assert.deepEqual(await bench.askAll("rare", "often", "rare", "rare", "often", "rare", "often"), [
      ...["ok", "ok", "ok", "timeout"],
      ...["ok", "timeout", "ok"],
    ]);
    assert.equal(bench.dispatcher.dropped, 2);
  });
  await using bench = await Bench.start(action("rare", { perSecondMax: 1 }));
  await withinOneSecond(async () => {
    assert.deepEqual(await bench.askAll("rare", "rare"), ["ok", "timeout"]);
  });
  await withinOneSecond(async () => {
    assert.deepEqual(await bench.askAll("rare"), ["ok"]);
  });
});

test("Dispatcher refuses requests of an action that has used its share of the thread in this second", async () => {
  const handle: Action["handle"] = () => {
    busy(40);
    return {};
  };
  await withinOneSecond(async () => {
    await using bench = await Bench.start(
      action("slow", { threadMsPerSecondMax: 60, handle }),
      action("quick", { threadMsPerSecondMax: 60 }),
    );
    const outcomes: string[] = [];
    for (let at = 0; at < 4; at++) outcomes.push(...(await bench.askAll("slow")));
    // On a busy host, the first request may already have used the share.
    assert.deepEqual([outcomes[0], ...outcomes.slice(2)], ["ok", "timeout", "timeout"]);
    assert.deepEqual(await bench.askAll("quick"), ["ok"]);
  });
});

test("Dispatcher counts the time of the thread, and not how long a handler waits", async () => {
  const handle: Action["handle"] = async () => {
    await delay(60);
    return {};
  };
  await using bench = await Bench.start(action("patient", { threadMsPerSecondMax: 50, handle }));
  await withinOneSecond(async () => {
    for (let at = 0; at < 3; at++) assert.deepEqual(await bench.askAll("patient"), ["ok"]);
  });
});

test("Dispatcher counts the time of handlers that throw", async () => {
  const handle: Action["handle"] = () => {
    busy(10);
    throw new NexError("token_invalid", "no");
  };
  await using bench = await Bench.start(action("bad", { threadMsPerSecondMax: 5, handle }));
  await withinOneSecond(async () => {
    assert.deepEqual(await bench.askAll("bad"), ["token_invalid"]);
    assert.deepEqual(await bench.askAll("bad"), ["timeout"]);
  });
});

test("Dispatcher gives other work a turn after a few requests, or after a slow one", async () => {
  let turn = 0;
  const handled = new Map<number, number>();
  const count = (ms: number): Action["handle"] => {
    return () => {
      handled.set(turn, (handled.get(turn) ?? 0) + 1);
      busy(ms);
      return {};
    };
  };
  const nextTurn = (): void => {
    turn++;
    ticking = setImmediate(nextTurn);
  };
  let ticking = setImmediate(nextTurn);
  using _ = { [Symbol.dispose]: () => clearImmediate(ticking) };
  await using bench = await Bench.start(
    action("quick", { handle: count(0) }),
    action("slow", { handle: count(turnMsMax + 1) }),
  );
  await bench.askAll(...Array<string>(40).fill("quick"));
  assert.ok(Math.max(...handled.values()) <= requestsPerTurnMax, `${[...handled.values()]}`);
  handled.clear();
  await bench.askAll(...Array<string>(10).fill("slow"));
  assert.deepEqual([...handled.values()], Array(10).fill(1));
});

for (const [what, bodyBytes, waitingMax] of [
  ["number", 1, requestsWaitingMax],
  ["bytes", mebibyte, waitingBytesMax / mebibyte],
] as const) {
  test(`Dispatcher refuses requests beyond the maximum ${what} of those that wait`, async () => {
    const [excess, firstCount] = [3, 300];
    // These requests are taken first, one in each turn, until the others have been received. Each takes a place, but
    // no bytes.
    const isFull = (): boolean => bench.dispatcher.dropped >= excess;
    const handle: Action["handle"] = () => {
      if (!isFull()) busy(turnMsMax + 1);
      return {};
    };
    await using bench = await Bench.start(action("first", { handle }), action("next"));
    for (let at = 0; at < firstCount; at++) bench.ask("first");
    const sent: number[] = [];
    const body = Buffer.alloc(bodyBytes);
    for (let at = 0; at < waitingMax + excess; at++) sent.push(bench.ask("next", body));
    await until(() => sent.every((number) => bench.answersTo(number).length > 0));
    const outcomes = sent.map((number) => bench.outcome(number));
    const refused = outcomes.filter((outcome) => outcome === "timeout").length;
    assert.equal(outcomes.filter((outcome) => outcome === "ok").length, sent.length - refused);
    assert.equal(bench.dispatcher.dropped, refused);
    if (what === "bytes") assert.equal(refused, excess);
    else assert.ok(refused >= excess && refused <= excess + firstCount, `${refused}`);
    // Everything that waited has been taken, so there is room again.
    const again = bench.ask("next", body);
    await until(() => bench.answersTo(again).length > 0);
    assert.equal(bench.outcome(again), "ok");
  });
}

test("Dispatcher refuses scattered requests without an answer, since other nodes are asked too", async () => {
  const scattered = { isScattered: true, bodyBytesMax: 10, perSecondMax: 1 };
  await withinOneSecond(async () => {
    await using bench = await Bench.start(
      action("all", scattered),
      action("one", { ...scattered, isScattered: false }),
    );
    const ask = (subject: string): number[] => [
      bench.ask(subject, "x".repeat(11)),
      bench.ask(subject),
      bench.ask(subject),
    ];
    const [all, one] = [ask("all"), ask("one")];
    await bench.settle();
    const outcomes = [all, one].map((numbers) => numbers.map((number) => bench.outcome(number)));
    assert.deepEqual(outcomes, [
      ["none", "ok", "none"],
      ["request_too_large", "ok", "timeout"],
    ]);
    assert.equal(bench.dispatcher.dropped, 2);
  });
});

/** Things that a handler does, the outcome, and the number of lines in the log. */
const outcomes: [what: string, handle: Action["handle"], outcome: string, lines: number][] = [
  ["returns data", () => ({}), "ok", 0],
  ["resolves with data", async () => ({}), "ok", 0],
  ["returns nothing", () => undefined, "none", 0],
  ["resolves with nothing", async () => undefined, "none", 0],
  ["throws a coded error", () => fail(new NexError("lame_duck", "not now")), "lame_duck", 0],
  ["rejects with a coded error", async () => fail(new NexError("lame_duck", "not now")), "lame_duck", 0],
  ["throws another error", () => fail(new TypeError("oops")), "internal", 1],
  ["rejects with another error", async () => fail(new TypeError("oops")), "internal", 1],
  ["throws what is no error", () => fail(undefined), "internal", 1],
  ["returns data that is not JSON", () => ({ big: 1n }), "internal", 1],
  ["returns data that does not fit a message", () => ({ text: "x".repeat(mebibyte) }), "internal", 1],
  ["resolves with data that does not fit", async () => ({ text: "x".repeat(mebibyte) }), "internal", 1],
  [
    "throws an error that does not fit",
    () => fail(new NexError("lame_duck", "x".repeat(mebibyte))),
    "lame_duck",
    0,
  ],
];

function fail(thrown: unknown): never {
  throw thrown;
}

for (const [what, handle, outcome, lines] of outcomes) {
  const answers = outcome === "none" ? "does not answer" : `answers "${outcome}" once`;
  test(`Dispatcher ${answers} when a handler ${what}`, async () => {
    await using bench = await Bench.start(action("r", { handle }));
    const number = bench.ask("r");
    if (outcome !== "none") await until(() => bench.answersTo(number).length > 0);
    await bench.settle();
    assert.equal(bench.outcome(number), outcome);
    assert.equal(bench.log.length, lines, JSON.stringify(bench.log));
  });
}

test("Dispatcher answers the data of a silent action, and not its failures", async () => {
  const handle: Action["handle"] = (_, body) => (body.length === 0 ? {} : fail(new NexError("usage", "no")));
  await using bench = await Bench.start(action("quiet", { silent: true, handle }));
  const [failed, answered] = [bench.ask("quiet", "x"), bench.ask("quiet")];
  await bench.settle();
  assert.deepEqual([bench.outcome(failed), bench.outcome(answered)], ["none", "ok"]);
});

test("Dispatcher handles a request that wants no answer", async () => {
  let handled = 0;
  await using bench = await Bench.start(action("r", { handle: () => ({ handled: ++handled }) }));
  bench.node.publish("r", "");
  await until(() => handled === 1);
  await bench.settle();
  assert.deepEqual(bench.log, []);
});

test("Dispatcher outlives its connection: what runs ends without an answer, and stopping waits for it", async () => {
  const gate = Promise.withResolvers<object>();
  let began = false;
  await using bench = await Bench.start(
    action("held", {
      handle: () => {
        began = true;
        return gate.promise;
      },
    }),
  );
  const number = bench.ask("held");
  await until(() => began);
  await bench.node.close();
  let stopped = false;
  const stopping = bench.dispatcher.stop().then(() => {
    stopped = true;
  });
  await delay(20);
  assert.equal(stopped, false);
  gate.resolve({});
  await stopping;
  assert.deepEqual([bench.outcome(number), bench.log], ["none", []]);
});

test("Dispatcher that is stopped takes no more requests, and waits for those that it has", async () => {
  const gate = Promise.withResolvers<object>();
  let held = 0;
  await using bench = await Bench.start(
    action("held", {
      handle: () => {
        held++;
        return gate.promise;
      },
    }),
    action("slow", {
      handle: () => {
        busy(turnMsMax + 1);
        return {};
      },
    }),
  );
  const first = bench.ask("held");
  await until(() => held === 1);
  // These requests may still wait for their turn when the dispatcher is told to stop.
  const waiting = Array.from({ length: 5 }, () => bench.ask("slow"));
  await bench.flush();
  let stopped = false;
  const stopping = bench.dispatcher.stop().then(() => {
    stopped = true;
  });
  await until(() => waiting.every((number) => bench.outcome(number) === "ok"));
  const late = bench.ask("held");
  await delay(20);
  assert.deepEqual([stopped, bench.outcome(first)], [false, "none"]);
  gate.resolve({});
  await stopping;
  await until(() => bench.outcome(first) === "ok");
  assert.deepEqual([held, bench.outcome(late)], [1, "no_responders"]);
});
