import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { EpochHeader } from "./serial-port.ts";

const skip = process.platform !== "linux" && "listening sockets are inherited on Linux";
const firstToken = `ffffffff${"ab".repeat(12)}`;
const secondToken = `ffffffff${"cd".repeat(12)}`;

/** Says back what comes as frames, and makes a blocking call for each line. */
const guest = `
import { openChannels } from ${JSON.stringify(fileURLToPath(new URL("./channels.ts", import.meta.url)))};
const { frames, openCalls } = openChannels("sockets:" + process.argv[1], { nodeLostTimeoutMs: 20_000 });
for await (const channel of frames) {
  await new Promise((resolve) => {
    channel.on("data", (chunk) => {
      const epoch = Number(String(chunk));
      const line = openCalls(epoch);
      line.write(Buffer.from("call " + epoch));
      const answer = Buffer.alloc(64);
      const count = line.readSome(answer, 0);
      line.close();
      channel.write("answered " + answer.toString("utf8", 0, count));
    });
    channel.once("close", resolve);
  });
}
`;

/** A socket that has a name and does not listen: the guest does, and this process takes nothing away from it. */
function boundSocket(path: string): { fd: number; close(): void } {
  interface Binding {
    Pipe: new (kind: number) => { fd: number; bind(path: string): number; close(): void };
    constants: { SERVER: number };
  }
  const { Pipe, constants } = (process as unknown as { binding(name: "pipe_wrap"): Binding }).binding(
    "pipe_wrap",
  );
  const handle = new Pipe(constants.SERVER);
  assert.equal(handle.bind(path), 0);
  return handle;
}

/** A program with two listening sockets, as the init of a microVM starts the agent. */
class Machine implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nex-accepted-"));
  readonly #sockets: { close(): void }[] = [];
  #child: ChildProcess | undefined;

  async start(): Promise<void> {
    this.setToken(firstToken);
    const fds: number[] = [];
    for (const name of ["frames", "calls"]) {
      const handle = boundSocket(join(this.directory, name));
      this.#sockets.push(handle);
      fds.push(handle.fd);
    }
    const args = ["--conditions=nex-src", "--disable-warning=ExperimentalWarning", "--input-type=module"];
    const stdio = ["ignore", "inherit", "inherit", ...fds] as const;
    this.#child = spawn(process.execPath, [...args, "-e", guest, this.directory], { stdio: [...stdio] });
    await once(this.#child, "spawn");
  }

  setToken(token: string): void {
    writeFileSync(join(this.directory, ".token"), `${token}\n`);
    renameSync(join(this.directory, ".token"), join(this.directory, "token"));
  }

  /** Until the guest listens, it is refused. */
  async connect(name: string): Promise<Socket> {
    for (;;) {
      const socket = connect(join(this.directory, name));
      try {
        await once(socket, "connect");
        return socket;
      } catch {
        await delay(10);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child?.kill("SIGKILL");
    for (const socket of this.#sockets) socket.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Reads so many bytes. */
async function read(socket: Socket, count: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < count) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  return bytes;
}

/** Begins an epoch as a node does, and lets the guest make a call. */
async function begin(machine: Machine, token: string, epoch: number): Promise<Socket[]> {
  const header = headerOf(token, epoch);
  const calls = await machine.connect("calls");
  const frames = await machine.connect("frames");
  calls.write(header);
  frames.write(header);
  assert.deepEqual(await read(frames, header.length), header);
  frames.write(String(epoch));
  const called = await read(calls, header.length + `call ${epoch}`.length);
  assert.equal(called.subarray(header.length).toString(), `call ${epoch}`);
  calls.write(`yes ${epoch}`);
  assert.equal(String(await read(frames, `answered yes ${epoch}`.length)), `answered yes ${epoch}`);
  return [frames, calls];
}

function headerOf(token: string, epoch: number): Buffer {
  const directory = mkdtempSync(join(tmpdir(), "nex-header-"));
  try {
    writeFileSync(join(directory, "token"), token);
    return new EpochHeader(directory).of(epoch);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("an agent takes one epoch after the other from the sockets that it inherits", { skip }, async () => {
  await using machine = new Machine();
  await machine.start();
  const first = await begin(machine, firstToken, 1);
  for (const socket of first) socket.destroy();
  // A connection that begins nothing does no harm.
  const silent = await machine.connect("frames");
  silent.write("nothing that is a header");
  silent.destroy();
  const second = await begin(machine, firstToken, 2);
  // The next node comes before the previous one is seen to go.
  const third = await begin(machine, firstToken, 3);
  for (const socket of [...second, ...third]) socket.destroy();
});

test("an agent makes its calls over the connection of its epoch, whatever was connected before", {
  skip,
}, async () => {
  await using machine = new Machine();
  await machine.start();
  for (const socket of await begin(machine, firstToken, 1)) socket.destroy();
  // A template's connection is present in each of its copies, and has ended.
  const stale = await machine.connect("calls");
  stale.destroy();
  const frames = await machine.connect("frames");
  frames.write(headerOf(firstToken, 2));
  assert.deepEqual(await read(frames, 24), headerOf(firstToken, 2));
  const calls = await machine.connect("calls");
  calls.write(headerOf(firstToken, 2));
  frames.write("2");
  assert.equal(String((await read(calls, 24 + 6)).subarray(24)), "call 2");
  calls.write("late");
  assert.equal(String(await read(frames, 13)), "answered late");
  for (const socket of [frames, calls]) socket.destroy();
});

test("an agent that still waits for the calls of an epoch leaves those of the next alone", {
  skip,
}, async () => {
  await using machine = new Machine();
  await machine.start();
  // As in a copy of a machine that was stopped here: the calls of its epoch never come.
  const previous = await machine.connect("frames");
  previous.write(headerOf(firstToken, 1));
  assert.deepEqual(await read(previous, 24), headerOf(firstToken, 1));
  for (const socket of await begin(machine, firstToken, 2)) socket.destroy();
  previous.destroy();
});

test("an agent answers to the token that its machine has by then, and to no other", { skip }, async () => {
  await using machine = new Machine();
  await machine.start();
  for (const socket of await begin(machine, firstToken, 1)) socket.destroy();
  const header = headerOf(secondToken, 2);
  const calls = await machine.connect("calls");
  const frames = await machine.connect("frames");
  calls.write(header);
  frames.write(header);
  const answered = read(frames, header.length);
  machine.setToken(secondToken);
  assert.deepEqual(await answered, header);
  for (const socket of [calls, frames]) socket.destroy();
});
