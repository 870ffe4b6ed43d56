/** Functions in Wasm: commands of WASI preview 1, compiled once, that run once for each call. */
import { readFileSync } from "node:fs";
import { CallError, type Deploy } from "@nexengine/protocol/agent";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { type Call, CallQueue, type CallRunner } from "../call-queue.ts";
import { LogLevel, type Provider, type ProviderHost, type RunningWorkload } from "../provider.ts";
import { DroppedMemory } from "./dropped-memory.ts";
import { type CompiledModule, engine, type HostFunction, type WasmImports } from "./engine.ts";
import { WasmHostServices } from "./host-services.ts";
import { type Instance, Instances } from "./instances.ts";
import { FunctionMemory } from "./memory.ts";
import { boundModule, readModule, type WasmModule } from "./module.ts";
import { CommandExit, Wasi } from "./wasi.ts";

const memoryBytesDefault = 256 * 1024 * 1024;
/** Memory of a machine that the agent itself needs. */
const agentBytes = 64 * 1024 * 1024;
const memoryBytesLeast = 16 * 1024 * 1024;
/** Discarded instances may hold a quarter of a function's memory. */
const droppedShare = 4;
const logTextMax = 4_096;
/** EX_DATAERR of sysexits.h: the data was wrong, and will be at the next attempt. */
const badDataExit = 65;

export const wasmProvider: Provider = { start: startWasm };

async function startWasm(deploy: Deploy, artifact: string, host: ProviderHost): Promise<RunningWorkload> {
  const bytesMax = memoryBytesMax(deploy.memoryBytesMax);
  const memory = new FunctionMemory();
  const wasi = new Wasi(memory, host, deploy);
  const services = new WasmHostServices(memory, host.hostCalls);
  const known: Offered = { wasi_snapshot_preview1: wasi.functions(), nex: services.functions() };
  const { module, compiled } = await compile(readFileSync(artifact), bytesMax);
  let instances: Instances;
  try {
    instances = new Instances(
      compiled,
      module,
      importsFor(module, known),
      new DroppedMemory(bytesMax / droppedShare),
    );
  } catch (cause) {
    if (cause instanceof NexError) throw cause;
    const text = cause instanceof CommandExit ? "its start function ends it" : errorText(cause);
    throw refusal(`no instance can be made: ${text}`, cause);
  }
  return new WasmFunction(instances, memory, wasi, services, host).calls;
}

/** The functions that modules may import, by module and name. */
type Offered = Readonly<
  Record<string, Readonly<Record<string, readonly [signature: string, run: HostFunction]>>>
>;

function refusal(text: string, cause?: unknown): NexError {
  return new NexError("artifact_invalid", `Failed to validate workload: ${text}`, { cause });
}

function memoryBytesMax(machineBytes: number | undefined): number {
  if (machineBytes === undefined) return memoryBytesDefault;
  return Math.max(machineBytes - agentBytes, memoryBytesLeast);
}

async function compile(
  bytes: Uint8Array<ArrayBuffer>,
  memoryBytesMax: number,
): Promise<{ module: WasmModule; compiled: CompiledModule }> {
  try {
    const module = readModule(bytes);
    if (!module.exports.some(({ name, kind }) => name === "_start" && kind === 0)) {
      throw new NexError("artifact_invalid", 'it is no command: it exports no function "_start"');
    }
    return { module, compiled: await engine.compile(boundModule(module, { memoryBytesMax })) };
  } catch (cause) {
    const text = errorText(cause).replace(/^WebAssembly\.\w+\(\): /, "");
    throw refusal(`failed to compile module: ${text}`, cause);
  }
}

function importsFor({ imports }: WasmModule, offered: Offered): WasmImports {
  const given: Record<string, Record<string, HostFunction>> = {};
  for (const { module, name, signature } of imports) {
    const [wanted, run] = own(own(offered, module), name) ?? [];
    if (run === undefined) throw refusal(`it imports the unknown function "${name}" of "${module}"`);
    if (signature !== undefined && signature !== wanted) {
      throw refusal(`it imports the function "${name}" of "${module}" with another type than it has`);
    }
    given[module] ??= {};
    given[module][name] = run;
  }
  return given;
}

function own<T>(members: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return members !== undefined && Object.hasOwn(members, name) ? members[name] : undefined;
}

class WasmFunction implements CallRunner {
  readonly calls: CallQueue;
  readonly #instances: Instances;
  readonly #memory: FunctionMemory;
  readonly #wasi: Wasi;
  readonly #services: WasmHostServices;
  readonly #host: ProviderHost;

  constructor(
    instances: Instances,
    memory: FunctionMemory,
    wasi: Wasi,
    services: WasmHostServices,
    host: ProviderHost,
  ) {
    this.#instances = instances;
    this.#memory = memory;
    this.#wasi = wasi;
    this.#services = services;
    this.#host = host;
    this.calls = new CallQueue(host, 1, this);
  }

  run(call: Call): void {
    const wasi = this.#wasi;
    let instance: Instance | undefined;
    wasi.begin(call);
    try {
      instance = this.#instances.take();
      this.#memory.use(instance.memory);
      instance.start();
      this.#answer(call, wasi.exit);
    } catch (error) {
      if (error instanceof CommandExit) this.#answer(call, error);
      else this.#fail(call, error);
    }
    wasi.end();
    this.#services.end();
    // The start function of the next instance must not see the memory of this one.
    if (instance === undefined || !this.#instances.giveBack(instance)) this.#memory.use(undefined);
  }

  #answer(call: Call, exit: CommandExit | undefined): void {
    const { code } = exit ?? { code: 0 };
    if (code === 0) {
      this.calls.reply(call, this.#wasi.output);
      return;
    }
    const text = `the module ended with exit code ${code}`;
    const retry = code === badDataExit ? { retry: false as const } : {};
    this.calls.fail(call, { code: CallError.threw, text, ...retry });
  }

  #fail(call: Call, error: unknown): void {
    const stack = error instanceof Error ? error.stack : undefined;
    this.#host.log(LogLevel.error, (stack ?? errorText(error)).slice(0, logTextMax));
    this.calls.fail(call, { code: CallError.threw, text: failureText(error) });
  }
}

function failureText(error: unknown): string {
  if (error instanceof engine.RuntimeError) return `the module trapped: ${error.message}`;
  return `the module failed: ${errorText(error)}`;
}
