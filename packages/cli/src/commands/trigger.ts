/** `nex trigger`: what calls the functions of the namespace, over all nodes. */
import type { LeftTrigger, NexClient, TriggerStatus, WorkloadDetails } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import type { Command } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { hint } from "../hints.ts";
import { issuerKey } from "../key-files.ts";
import { withClient } from "../login.ts";
import { print, printJson, printTable, visible } from "../output.ts";

interface TriggerOptions extends GlobalOptions {
  issuer?: string;
  json: boolean;
}

/** A trigger of one copy. */
interface Placed extends TriggerStatus {
  workload: WorkloadDetails;
}

/** Adds the command with its own. */
export function addTrigger(program: Command): void {
  const trigger = program.command("trigger").description("what calls the functions of the namespace");
  const add = (name: string, description: string): Command =>
    trigger.command(name).description(description).option("--json", "print the result as JSON", false);
  add("ls", "list the triggers of all functions, or of one")
    .argument("[workload]", "name or id")
    .action((workload: string | undefined, _: unknown, self: Command) =>
      list(workload, self.optsWithGlobals<TriggerOptions>()),
    );
  add("info", "describe the triggers of a function: state, counters, last error")
    .argument("<workload>", "name or id")
    .argument("[trigger]", "name of one")
    .action((workload: string, name: string | undefined, _: unknown, self: Command) =>
      describe(workload, name, self.optsWithGlobals<TriggerOptions>()),
    );
  for (const action of ["pause", "resume"] as const) {
    const description =
      action === "pause"
        ? "let a trigger take no more messages, in every copy of the function"
        : "let a paused trigger go on";
    add(action, description)
      .argument("<workload>", "name or id")
      .argument("<trigger>", "name of the trigger")
      .option("--issuer <file>", "seed file of the key that started the function; your own otherwise")
      .action((workload: string, name: string, _: unknown, self: Command) =>
        change(action, workload, name, self.optsWithGlobals<TriggerOptions>()),
      );
  }
  add("rm", "forget where the triggers of a stopped function were, so that its next deploy begins anew")
    .argument("<workload>", "its name")
    .argument("[trigger]", "name of one; all otherwise")
    .action((workload: string, name: string | undefined, _: unknown, self: Command) =>
      remove(workload, name, self.optsWithGlobals<TriggerOptions>()),
    );
}

async function placed(
  client: NexClient,
  workload: string | undefined,
  { timeout }: GlobalOptions,
): Promise<Placed[]> {
  const workloads = await client.workloadDetails(workload, { timeoutMs: timeout });
  return workloads
    .sort(
      (one, other) => one.workload.name.localeCompare(other.workload.name) || one.id.localeCompare(other.id),
    )
    .flatMap((one) => (one.nex?.triggers ?? []).map((trigger) => ({ ...trigger, workload: one })));
}

async function list(workload: string | undefined, options: TriggerOptions): Promise<void> {
  await withClient(options, async (client) => {
    const found = await placed(client, workload, options);
    if (options.json) {
      printJson(found.map(asJson));
      return;
    }
    printTable({
      title: "Triggers",
      columns: ["Workload", "Trigger", "On", "State", "Waiting", "Failed", "Dead", "Node"],
      rows: found.map(
        ({
          workload: {
            workload: { name },
            nodeName,
          },
          ...trigger
        }) => [
          name,
          trigger.name,
          trigger.on,
          trigger.state,
          numberOf(trigger.pending),
          numberOf(trigger.retried),
          numberOf(trigger.dead),
          nodeName,
        ],
      ),
      whenEmpty: `No function in namespace "${options.namespace}" has a trigger`,
      yields: [2, 7],
    });
    for (const { name, problem, workload: one } of found) {
      if (problem !== undefined) print(visible(`${one.workload.name}, ${name}: ${problem}`));
    }
  });
}

function numberOf(value: number | undefined): string {
  return value === undefined ? "" : String(value);
}

function asJson({ workload, ...trigger }: Placed): object {
  const { id, nodeId, nodeName } = workload;
  return { workload: workload.workload.name, workload_id: id, node_id: nodeId, node: nodeName, ...trigger };
}

async function describe(workload: string, name: string | undefined, options: TriggerOptions): Promise<void> {
  await withClient(options, async (client) => {
    const all = await placed(client, workload, options);
    const found = all.filter((trigger) => name === undefined || trigger.name === name);
    if (found.length === 0) throw absent(workload, name, all, options);
    if (options.json) {
      printJson(found.map(asJson));
      return;
    }
    for (const trigger of found) {
      const { workload: one, on, state, problem, last_error: lastError } = trigger;
      print(visible(`${one.workload.name} (${one.id}) on ${one.nodeName}: ${trigger.name}`));
      const facts: [string, string | undefined][] = [
        ["On", on],
        ["State", state],
        ["Problem", problem],
        ["Received", numberOf(trigger.received)],
        ["Done", numberOf(trigger.acked)],
        ["In hand", numberOf(trigger.in_flight)],
        ["Waiting", numberOf(trigger.pending)],
        ["Retried", numberOf(trigger.retried)],
        ["Dead", numberOf(trigger.dead)],
        ["Last error", lastError],
        ["Remark", trigger.remark],
      ];
      for (const [what, value] of facts) if (value) print(visible(`   ${`${what}:`.padEnd(12)} ${value}`));
    }
  });
}

async function change(
  action: "pause" | "resume",
  workload: string,
  name: string,
  options: TriggerOptions,
): Promise<void> {
  const issuer = issuerKey(options.issuer);
  await withClient(options, async (client) => {
    const all = await placed(client, workload, options);
    const found = all.filter((trigger) => trigger.name === name);
    if (found.length === 0) throw absent(workload, name, all, options);
    const results: object[] = [];
    for (const { workload: one } of found) {
      const at = { nodeId: one.nodeId, workloadId: one.id, name: one.workload.name, trigger: name, issuer };
      const status = await (action === "pause" ? client.pauseTrigger(at) : client.resumeTrigger(at));
      results.push(asJson({ ...status, workload: one }));
      if (!options.json)
        print(visible(`✅ "${one.workload.name}" (${one.id}): trigger ${name} is ${status.state}`));
    }
    if (options.json) printJson(results);
  });
}

function absent(
  workload: string,
  name: string | undefined,
  all: readonly Placed[],
  options: TriggerOptions,
): NexError {
  if (all.length === 0) {
    return new NexError(
      "no_such_workload",
      `No function "${workload}" with triggers runs in namespace "${options.namespace}"`,
      { advice: `See what runs with: ${hint(options, "ps")}` },
    );
  }
  const names = [...new Set(all.map((trigger) => trigger.name))].join(", ");
  return new NexError("no_such_trigger", `"${workload}" has no trigger "${name}"`, {
    advice: `It has: ${names}`,
  });
}

async function remove(workload: string, name: string | undefined, options: TriggerOptions): Promise<void> {
  await withClient(options, async (client) => {
    const running = await client.workloadDetails(workload, { timeoutMs: options.timeout });
    if (running.length > 0) {
      throw new NexError("wrong_state", `Cannot forget the triggers of "${workload}": it runs`, {
        advice: `Stop it first, or in one step: ${hint(options, "stop", workload)} --forget`,
      });
    }
    const forgotten = await forget(client, workload, name);
    if (options.json) printJson(forgotten);
    else if (forgotten.length === 0) print(visible(`Triggers of "${workload}" have left nothing`));
    for (const left of options.json ? [] : forgotten) print(forgottenLine(left));
  });
}

/** Forgets the triggers of a workload. */
export async function forget(
  client: NexClient,
  workload: string,
  name: string | undefined,
): Promise<LeftTrigger[]> {
  const left = await client.leftTriggers(workload);
  const wanted = left.filter(({ trigger }) => name === undefined || trigger === name);
  for (const one of wanted) await client.forgetTrigger(one);
  return wanted;
}

export function forgottenLine({ trigger, stream, pending }: LeftTrigger): string {
  return visible(
    `✅ forgot ${trigger} on ${stream}, with ${count(pending, "message")} that nobody had taken`,
  );
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
