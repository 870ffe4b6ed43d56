/** Bugs that tests must find: one change each to the text of a file, and the tests that should see it. */

export interface Mutant {
  /** The bug in words. */
  name: string;
  file: string;
  /** Text of the file that occurs in it once. */
  text: string;
  replacement: string;
  /** Files of tests, of which at least one test must fail. */
  tests: readonly string[];
  /** Pattern of the names of the tests to run; all of the files when absent. */
  only?: string;
}

const node = "packages/node/src";
const killPoints = "test/faults/kill-points.test.ts";
const order = "test/faults/order.test.ts";
const adoption = "test/adoption.test.ts";

const trust: readonly Mutant[] = [
  {
    name: "everybody but the issuer stops a workload",
    file: `${node}/admission/admit-stop.ts`,
    text: "if (claims.iss !== target.claims.iss) {",
    replacement: "if (claims.iss === target.claims.iss) {",
    tests: ["test/trust.test.ts"],
    only: "stop",
  },
  {
    name: "a stop does not compare namespaces",
    file: `${node}/admission/admit-stop.ts`,
    text: "if (target === undefined || target.namespace !== namespace)",
    replacement: "if (target === undefined)",
    tests: ["test/trust.test.ts"],
    only: "stop",
  },
  {
    name: "a token can be used twice",
    file: `${node}/state/used-tokens.ts`,
    text: "if (this.has(token)) throw alreadyUsed();",
    replacement: "",
    tests: [`${node}/state/used-tokens.test.ts`],
  },
  {
    name: "a clock that is set forward makes used tokens forgotten",
    file: `${node}/state/used-tokens.ts`,
    text: "until < nowSeconds && untilMs < steadyMs;",
    replacement: "until < nowSeconds;",
    tests: [`${node}/state/used-tokens.test.ts`],
  },
  {
    name: "a node's bid and its info may name two keys",
    file: "packages/client/src/choose-node.ts",
    text: "if (bid !== undefined && bid.target_xkey !== info.public_xkey) {",
    replacement: "if (bid === null) {",
    tests: ["packages/client/src/choose-node.test.ts"],
  },
  {
    name: "a sealed request is opened for another issuer",
    file: "packages/protocol/src/tokens/sealed-request.ts",
    text: "if (opened.issuer !== issuer || opened.namespace",
    replacement: "if (opened.namespace",
    tests: ["packages/protocol/src/tokens/sealed-request.test.ts"],
  },
  {
    name: "a reply goes to a subject of the server",
    file: `${node}/functions/triggers/reply-rules.ts`,
    text: "if (end <= start || bytes[start] === reserved) return false;",
    replacement: "if (end <= start) return false;",
    tests: ["test/replies.test.ts"],
  },
  {
    name: "an artifact's digest is not compared",
    file: `${node}/artifacts/artifacts.ts`,
    text: "if (request.sha256 !== undefined && request.sha256 !== sha256) {",
    replacement: "if (request.sha256 === null) {",
    tests: [`${node}/artifacts/artifacts.test.ts`],
  },
];

const state: readonly Mutant[] = [
  {
    name: "a record is not synced",
    file: `${node}/state/files.ts`,
    text: "await file.sync();",
    replacement: "",
    tests: [order],
  },
  {
    name: "a record's name is not synced",
    file: `${node}/state/files.ts`,
    text: "await syncDirectory(dirname(path));",
    replacement: "",
    tests: [order],
  },
  {
    name: "a record is removed after the stop",
    file: `${node}/workloads/workload.ts`,
    text: `    if (ran) await this.#forgetRecord();
    const exit = await this.#release(graceMs);`,
    replacement: `    const exit = await this.#release(graceMs);
    if (ran) await this.#forgetRecord();`,
    tests: [order],
  },
  {
    name: "a deploy is answered before it is recorded",
    file: `${node}/workloads/workloads.ts`,
    text: "await this.#recordAccepted(workload);",
    replacement: "void this.#recordAccepted(workload).catch(() => undefined);",
    tests: [order],
  },
  {
    name: "a workload that was being replaced is restored",
    file: `${node}/control-api/restore.ts`,
    text: "return parseDeployExtras(requestOf(record).request.nex).replace;",
    replacement: "return undefined;",
    tests: [killPoints],
    only: "process",
  },
  {
    name: "each node of a directory has the same epoch",
    file: `${node}/state/state-directory.ts`,
    text: "const epoch = kept.epoch + 1;",
    replacement: "const epoch = kept.epoch;",
    tests: [`${node}/state/state-directory.test.ts`],
  },
  {
    name: "machines of an unreadable record are ended",
    file: `${node}/node.ts`,
    text: "new Set([...deploys, ...unreadable].map(({ id }) => id))",
    replacement: "new Set(deploys.map(({ id }) => id))",
    tests: [adoption],
    only: "unreadable record",
  },
];

const machines: readonly Mutant[] = [
  {
    name: "an adopted machine may run another workload",
    file: `${node}/machines/machine.ts`,
    text: "if (running?.workloadId !== workloadId) {",
    replacement: "if (running === undefined) {",
    tests: [`${node}/machines/pool.test.ts`],
  },
  {
    name: "a workload restarts for ever",
    file: `${node}/workloads/restart.ts`,
    text: "if (spent) return undefined;",
    replacement: "",
    tests: [`${node}/workloads/restart.test.ts`],
  },
  {
    name: "a call that has started runs again after its machine's loss",
    file: `${node}/functions/function-calls.ts`,
    text: "if (running.has(call)) {",
    replacement: "if (running.size < 0) {",
    tests: [`${node}/functions/function-calls.test.ts`],
  },
  {
    name: "an answer of an earlier call ends the call in its slot",
    file: `${node}/agent-client/calls.ts`,
    text: "if (call === undefined || call.id !== id) return undefined;",
    replacement: "if (call === undefined) return undefined;",
    tests: [`${node}/agent-client/calls.test.ts`],
  },
  {
    name: "a frame may have any length",
    file: "packages/protocol/src/agent/frames.ts",
    text: "if (length >= frameHeaderBytes - lengthBytes && length <= frameBytesMax - lengthBytes) return length;",
    replacement: "if (length >= frameHeaderBytes - lengthBytes) return length;",
    tests: ["packages/protocol/src/agent/frames.test.ts"],
  },
];

const bounds: readonly Mutant[] = [
  {
    name: "a closed share keeps its part of the quota",
    file: `${node}/budget/quota.ts`,
    text: "this.give(this.#used);",
    replacement: "",
    tests: [`${node}/budget/budget.test.ts`],
  },
  {
    name: "bytes of calls that waited are never given back",
    file: `${node}/functions/function-calls.ts`,
    text: "this.#options.held.give(size);",
    replacement: "",
    tests: [`${node}/functions/function-calls.test.ts`],
  },
  {
    name: "a request is answered twice",
    file: `${node}/control-api/dispatcher.ts`,
    text: "message.respond(bytes);",
    replacement: "message.respond(bytes);\n      message.respond(bytes);",
    tests: [`${node}/control-api/dispatcher.test.ts`],
  },
  {
    name: "requests of one kind have no rate",
    file: `${node}/control-api/dispatcher.ts`,
    text: "return taken.count <= action.perSecondMax && taken.threadMs <= action.threadMsPerSecondMax;",
    replacement: "return taken.count > 0;",
    tests: [`${node}/control-api/dispatcher.test.ts`],
  },
];

const handOver: readonly Mutant[] = [
  {
    name: "a request that the node before has answered is handled again",
    file: `${node}/control-api/dispatcher.ts`,
    text: "this.#held = this.#held.filter(isOurs);",
    replacement: "",
    tests: [`${node}/control-api/dispatcher-hand-over.test.ts`],
  },
  {
    name: "a late copy of a request that the node before has answered is handled",
    file: `${node}/control-api/dispatcher.ts`,
    text: "if (this.#answeredElsewhere.has(key)) return true;",
    replacement: "",
    tests: [`${node}/control-api/dispatcher-hand-over.test.ts`],
  },
  {
    name: "a function is subscribed only when the node before has let it go",
    file: `${node}/workloads/workload.ts`,
    text: "if (previous.isRunning) await (this.#jobs ?? this.triggers)?.start(true);",
    replacement: "",
    tests: ["test/take-over.test.ts"],
    only: "loses no call",
  },
  {
    name: "a workload that is handed over does not finish its calls",
    file: `${node}/workloads/workload.ts`,
    text: "this.#function?.finish(handOverDrainMs)",
    replacement: "this.#function?.stop(0)",
    tests: ["test/take-over.test.ts"],
    only: "loses no call",
  },
  {
    name: "a stopped workload stays in its bucket",
    file: `${node}/workloads/recorded-deploys.ts`,
    text: "this.#durable?.remove({ id, namespace });",
    replacement: "",
    tests: ["test/durable.test.ts"],
    only: "disk is lost",
  },
];

const pulled = `${node}/functions/triggers/pulled`;
const streamFaults = "test/triggers/stream-faults.test.ts";

const triggers: readonly Mutant[] = [
  {
    name: "a stored message is ended before its dead letter is kept",
    file: `${pulled}/settlement.ts`,
    text: "await keep?.(call, delivery, reason);",
    replacement: "this.#end(call, contentOf('+TERM x')); await keep?.(call, delivery, reason);",
    tests: [streamFaults],
    only: "full stream of dead letters",
  },
  {
    name: "a stored message that lost its machine with others is blamed",
    file: `${pulled}/settlement.ts`,
    text: "if (machineLost !== true || !this.#isLostTogether) {",
    replacement: "if (machineLost !== false || !this.#isLostTogether) {",
    tests: [streamFaults],
    only: "hangs loses its machine",
  },
  {
    name: "a trigger takes streams of another namespace",
    file: `${node}/functions/triggers/stream-rules.ts`,
    text: "if (!owner.startsWith(`${namespace}/`))",
    replacement: "if (owner === '')",
    tests: [streamFaults],
    only: "deny list",
  },
  {
    name: "a copy asks for more messages than it has room for",
    file: `${node}/functions/function-calls.ts`,
    text: "const free = concurrency + ahead - machine.agent.calls.size;",
    replacement: "const free = concurrency + ahead;",
    tests: ["test/triggers/backlog.test.ts"],
  },
  {
    name: "triggers are taken with a token that is not bound to them",
    file: `${node}/admission/admit-deploy.ts`,
    text: 'if (extras.triggers !== undefined) demandBound(bound, "nex.triggers");',
    replacement: "",
    tests: ["test/control-api.test.ts"],
    only: "bound to them",
  },
];

export const mutants: readonly Mutant[] = [
  ...trust,
  ...state,
  ...machines,
  ...bounds,
  ...handOver,
  ...triggers,
];
