/** Agents that break the protocol, flood, forge and fall silent: as if a workload had taken its agent's place. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { ActionName } from "../agent/actions.ts";
import { smallFrames } from "../agent/actions-running.ts";
import type { AgentCase, Check } from "./case.ts";
import { broken, ends, held, refused, restarted } from "./checks.ts";

/** Waits until this process, and so its node, holds less than this many MiB of buffers that can't be collected. */
async function holdsLessThan(mebibytes: number): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  let held = Number.POSITIVE_INFINITY;
  // Memory is given back some time after a collection.
  for (let attempt = 0; attempt < 100 && held >= mebibytes; attempt++) {
    collect();
    await delay(50);
    held = process.memoryUsage().arrayBuffers / 2 ** 20;
  }
  assert.ok(held < mebibytes, `the node holds ${Math.round(held)} MiB`);
}

function action(
  name: ActionName,
  technique: string,
  outcome: string,
  check: Check,
  more: Partial<AgentCase> = {},
): AgentCase {
  return { kind: "agent", name, action: name, technique, outcome, onProcess: "held", check, ...more };
}

function calls(
  name: ActionName,
  technique: string,
  outcome: string,
  check: Check,
  more: Partial<AgentCase> = {},
): AgentCase {
  return action(name, technique, outcome, check, { deployed: "function", ...more });
}

const notReady = (why: RegExp): Check => refused("no_ready_machine", why);
const noHello: Check = (attack) =>
  notReady(new RegExp(`no hello within ${attack.times.handshakeMs} ms`))(attack);
const neverReady = "Its machine is ended and never counts as ready";
const notStarted = (why: RegExp): Check => refused("workload_not_started", why);
const atOnce = "Its machine is ended at once (`agent_protocol`), and that is told of";
/** It shows itself as soon as it has said its hello: the node may have counted its machine as ready by then. */
const shownBeforeTheDeploy = (why: RegExp): Check =>
  refused(["no_ready_machine", "workload_not_started"], why);
const refusedDeploy = "The deploy is refused, and says why";
const stopMsMax = 4_000;

/** Every caller hears something, and soon. */
async function answersOf(answers: Promise<string>[]): Promise<string[]> {
  const settled = await Promise.allSettled(answers);
  return settled.map((answer) => (answer.status === "fulfilled" ? answer.value : String(answer.reason.code)));
}

const repliesRight: Check = async (attack) => {
  attack.demandDeployed();
  const texts = Array.from({ length: 20 }, (_, at) => `own ${at}`);
  assert.deepEqual(await answersOf(texts.map((text) => attack.call(text))), texts);
};

export const agentCases: readonly AgentCase[] = [
  action("garbage", "Answers with random bytes", neverReady, notReady(/Cannot read frames/)),
  action(
    "huge frame",
    "Announces a frame of 4 GiB",
    neverReady,
    notReady(/frame of 4294967295 bytes is out of bounds/),
  ),
  action(
    "empty frame",
    "Announces a frame that is shorter than its head",
    neverReady,
    notReady(/out of bounds/),
  ),
  action(
    "unknown type",
    "Sends a frame of no known type",
    neverReady,
    notReady(/type 200 is not one of an agent's/),
  ),
  action("other protocol", "Speaks another version", neverReady, notReady(/the agent speaks 99/)),
  action("hello of another shape", "Members of other types", neverReady, notReady(/hello is not valid/)),
  action("hello that is no JSON", "Half an object", neverReady, notReady(/not JSON/)),
  action("hello without end", "Message parts that never end", neverReady, notReady(/over 65536 bytes/)),
  action("silent hello", "Never says a word", neverReady, noHello),
  action("hello by drips", "Says it byte by byte", neverReady, noHello),
  action("hanging up", "Ends the channel, and lives on", neverReady, notReady(/./)),
  action("dying early", "Exits before it is ready", neverReady, notReady(/exited|ended/)),
  action("silent deploy", "Never answers the deploy", refusedDeploy, (attack) =>
    notStarted(new RegExp(`no answer to the deploy within ${attack.times.deployMs} ms`))(attack),
  ),
  action("artifact unread", "Never reads the artifact", refusedDeploy, (attack) =>
    notStarted(new RegExp(`within ${attack.times.deployMs} ms|takes no more`))(attack),
  ),
  action("deployed of another shape", "Members of other types", refusedDeploy, notStarted(/not valid/)),
  action(
    "boundless concurrency",
    "Claims to take a billion calls at once",
    refusedDeploy,
    notStarted(/not valid/),
  ),
  action("long refusal", "Refuses with 40,000 characters", refusedDeploy, notStarted(/not valid/)),
  action(
    "credit overflow",
    "Grants endless credit",
    "Bounded; its workload runs and ends as it says",
    ends(/^status: 0$/),
  ),
  action(
    "answers twice",
    "Answers again and again, with other answers",
    "The first one counts",
    ends(/^status: 4$/),
  ),
  action(
    "end in one breath",
    "Says in one breath that its workload runs and has ended",
    "Both are told of",
    ends(/^status: 5$/),
  ),
  action("frames of a node", "Sends what only a node may", atOnce, broken(/type 4 is not one of an agent's/)),
  action("level of no log", "A log line of no level", atOnce, broken(/its level or length is out of bounds/)),
  action(
    "log line too long",
    "A log line of more than 16 KiB",
    atOnce,
    broken(/its level or length is out of bounds/),
  ),
  action("log line without end", "Parts of a line that never end", atOnce, broken(/over 65536 bytes/)),
  action(
    "flood of log frames",
    "Sends 100,000 lines of log",
    "Held to the rate; dropped lines are counted and told of",
    async (attack) => {
      await attack.line(/^\d+ log lines were dropped/);
      assert.match(await attack.end(), /^status: 0$/);
      assert.ok(attack.story.lineCount < 40_000, `${attack.story.lineCount} lines came through`);
    },
    // A machine that is emulated writes slower, and is to be held all the same.
    { limits: { logBytesPerSecond: 16_384 } },
  ),
  action(
    "flood of empty lines",
    "Sends 100,000 lines of log without a character in them",
    "Held to 2,000 lines a second; dropped lines are counted and told of",
    async (attack) => {
      const beganMs = performance.now();
      await attack.line(/^\d+ log lines were dropped/);
      assert.match(await attack.end(), /^status: 0$/);
      const seconds = Math.ceil((performance.now() - beganMs) / 1_000) + 2;
      const { lineCount } = attack.story;
      assert.ok(lineCount <= 2_000 * seconds, `${lineCount} lines came through in ${seconds} s`);
    },
    {
      inMicroVm: {
        outcome: "Likewise, where the machine is fast enough to flood",
        check: async (attack) => assert.match(await attack.end(), /^status: 0$/),
      },
    },
  ),
  action(
    "flood of small frames",
    "Sends 300,000 frames of 12 bytes that nobody asked for",
    "Read at 50,000 a second",
    async (attack) => {
      const line = await attack.line(/^sent in \d+ ms$/);
      // The bytes in the sockets' buffers go out at once.
      const leastMs = (1_000 * smallFrames) / 50_000 / 1.5;
      assert.ok(Number(/\d+/.exec(line)) >= leastMs, line);
    },
    { slow: true },
  ),
  action("exit of another shape", "A status of 9,999", atOnce, broken(/Cannot read how a workload ended/)),
  action(
    "many exits",
    "Says a thousand times that its workload has ended",
    "Told of once",
    async (attack) => {
      assert.match(await attack.end(), /^status: 0$/);
      await attack.nexus.client.flush();
      assert.equal(attack.story.ends.length, 1);
    },
  ),
  action(
    "silent undeploy",
    "Never ends its workload, nor itself",
    "Killed after the grace",
    async (attack) => {
      await attack.line(/ready/);
      const tookMs = await attack.stop();
      assert.ok(tookMs < stopMsMax, `the stop took ${Math.round(tookMs)} ms`);
    },
  ),
  action(
    "channel let go",
    "Ends the channel while its workload runs, and lives on",
    "Its machine is ended, and that is told of",
    ends(/ended the channel/),
    {
      inMicroVm: {
        outcome: "Likewise by Firecracker; a serial port of QEMU does not show it, and a stop ends it",
        check: async (attack) => {
          await attack.line(/deployed/);
          await attack.finish();
          await attack.end();
        },
      },
    },
  ),
  action("console flood", "Writes 32 MB to its console", "The last 4 KiB are kept", ends(/^status: 0$/)),
  action(
    "children left",
    "Starts processes in other sessions and exits",
    "They die with it; the end is told of",
    ends(/exited|channel/),
  ),
  calls(
    "forged results",
    "Results, starts and pongs for calls that it does not have",
    "Nobody hears them",
    repliesRight,
  ),
  calls(
    "results of no call",
    "Parts of results for calls that it does not have, 96 MB of them",
    "Thrown away as they come; its calls are answered",
    async (attack) => {
      const before = process.memoryUsage().arrayBuffers / 2 ** 20;
      await repliesRight(attack);
      await holdsLessThan(before + 48);
    },
  ),
  calls("results twice", "Several results for one call", "The first one counts", repliesRight),
  calls(
    "late results",
    "A result after the time limit",
    "The caller has been told; nobody hears it",
    async (attack) => {
      attack.demandDeployed();
      assert.deepEqual(await answersOf([attack.call("late")]), ["function_timed_out"]);
    },
  ),
  calls(
    "result without end",
    "Parts of a result that never end",
    "Its call fails at 128 MiB, or at its time limit; the rest is thrown away",
    async (attack) => {
      attack.demandDeployed();
      const [answer = ""] = await answersOf([attack.call("x")]);
      assert.match(answer, /function_(overloaded|stopped|timed_out)/);
      await holdsLessThan(400);
    },
  ),
  calls(
    "result in crumbs",
    "Parts of a result that are small, to take more memory than they count",
    atOnce,
    async (attack) => {
      attack.demandDeployed();
      assert.deepEqual(await answersOf([attack.call("x")]), ["function_stopped"]);
      await attack.until("the restart", ({ restarts }) =>
        restarts.find((why) => /is not the last one/.test(why)),
      );
    },
  ),
  calls(
    "errors of another code",
    "An error of code 65,535 with 50,000 line ends",
    "Code 500, one line",
    async (attack) => {
      attack.demandDeployed();
      assert.deepEqual(await answersOf([attack.call("x")]), ["function_threw"]);
    },
  ),
  calls(
    "calls never begun",
    "Takes calls and does not begin them",
    "Each caller is told when its turn does not come",
    async (attack) => {
      attack.demandDeployed();
      const answers = await answersOf([1, 2, 3].map(() => attack.call("x")));
      // The first one runs, for all that its node knows, and the others may. On a busy host they wait too long before.
      for (const answer of answers) assert.match(answer, /^function_(timed_out|overloaded)$/);
      assert.ok(answers.includes("function_timed_out"));
    },
    {
      inMicroVm: {
        outcome: "Likewise; while a new machine boots, others may be told that there is none",
        check: async (attack) => {
          attack.demandDeployed();
          const [first, ...others] = await answersOf([1, 2, 3].map(() => attack.call("x")));
          assert.equal(first, "function_timed_out");
          for (const answer of others) assert.match(answer, /function_(timed_out|overloaded|stopped)/);
        },
      },
    },
  ),
  calls(
    "silence after a call began",
    "Begins calls, never answers, nor pings",
    "Ended at the time limit; each caller is told",
    async (attack) => {
      attack.demandDeployed();
      for (const answer of await answersOf([1, 2, 3].map(() => attack.call("x")))) {
        assert.match(answer, /function_(timed_out|stopped)/);
      }
    },
  ),
  calls(
    "nothing read",
    "Reads nothing, while calls of 900 kB come",
    "Waiting calls are bounded; each caller is told",
    async (attack) => {
      attack.demandDeployed();
      const payload = Buffer.alloc(900_000);
      const answers: Promise<string[]>[] = [];
      for (let call = 0; call < 90; call++) {
        answers.push(answersOf([attack.call(payload)]));
        // One after the other: all at once would be too much for the node's connection, whatever an agent does.
        await attack.nexus.client.flush();
      }
      for (const answer of (await Promise.all(answers)).flat())
        assert.match(answer, /function_(overloaded|stopped|timed_out)/);
    },
  ),
  action(
    "host call before the deploy",
    "Calls a host service before it has a workload",
    atOnce,
    shownBeforeTheDeploy(/no function runs/),
  ),
  calls(
    "endless host call",
    "Announces a blocking call of a host service of 4 GiB",
    atOnce,
    restarted(/4294967295 bytes are out of bounds/),
  ),
  calls(
    "two blocking host calls",
    "Makes two blocking calls at once",
    atOnce,
    restarted(/one is open already/),
  ),
  calls(
    "malformed host call",
    "Makes a call whose arguments are longer than it",
    atOnce,
    restarted(/it is malformed/),
  ),
  calls(
    "large host calls",
    "Makes 64 calls of 7 MiB at once",
    "At most 128 MiB of them are held; each is answered",
    async (attack) => {
      await held(/each is answered/)(attack);
      await holdsLessThan(400);
    },
  ),
  calls("flood of host calls", "Makes two thousand calls in one breath", atOnce, restarted(/256 are open/)),
  action(
    "relay unasked",
    "Opens a stream although its machine has no network",
    atOnce,
    broken(/type 48 is not one of an agent's/),
    { limits: { network: "none" } },
  ),
  action(
    "relay before the deploy",
    "Opens a stream before it has a workload",
    neverReady,
    shownBeforeTheDeploy(/type 48 is not one of an agent's/),
  ),
  action("relay to nowhere", "Opens streams to servers that there are not", "Reset", held(/reset/)),
  action(
    "relay by another's ids",
    "Opens a stream with an id of the node's",
    atOnce,
    broken(/is not a valid new id/),
  ),
  action("relay by one id twice", "Opens a stream twice", atOnce, broken(/is not a valid new id/)),
  action(
    "relay beyond the window",
    "Sends more than it was allowed",
    atOnce,
    broken(/more than its credit allows/),
  ),
  action(
    "relay of nothing",
    "Data, ends and credit of streams that there are not",
    "Nobody hears them",
    held(/nobody/),
  ),
  action(
    "thousands of streams",
    "Opens 5,000 streams",
    "4,096; the others are reset",
    held(/904 are refused/),
  ),
  action(
    "a walk by Node",
    "Out of its realm: walks all files, environments and command lines",
    "Only its own machine",
    held(/no file/),
    { onProcess: "not isolated" },
  ),
  action(
    "channels by Node",
    "Out of its realm: plants, removes and renames in the channel directory, connects again, holds the FIFOs",
    "Refused (EROFS, ECONNREFUSED)",
    held(/^held EROFS, ECONNREFUSED$/),
    {
      onProcess: "not isolated",
      inMicroVm: {
        outcome: "Refused (EACCES, EPERM)",
        check: held(/^held (EACCES|EPERM)(,(EACCES|EPERM))*, ENOENT$/),
      },
    },
  ),
  action(
    "network by Node",
    "Out of its realm: connects, sends datagrams and looks up names",
    "Nobody is reached",
    held(/nobody/),
    { onProcess: "not isolated" },
  ),
  action(
    "programs by Node",
    "Out of its realm: runs shells and planted programs, becomes root, signals the host",
    "Not there (ENOENT), refused (EACCES, EPERM, ESRCH)",
    held(/^held ENOENT,ENOENT,ENOENT, success, EACCES, EPERM,EPERM,ESRCH$/),
    { onProcess: "not isolated" },
  ),
  action(
    "workers by Node",
    "Out of its realm: starts 200 workers",
    "Stopped at the limit of processes or of memory",
    async (attack) => {
      if (attack.refusal?.code !== "workload_not_started") await held(/stopped/)(attack);
    },
    { onProcess: "not isolated" },
  ),
];
