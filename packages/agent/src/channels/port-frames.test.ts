import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { constants, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { FramePort } from "./port-frames.ts";
import { EpochHeader, portStream } from "./serial-port.ts";

const longMs = 60_000;
const skip = process.platform !== "linux" && "serial ports are Linux's";

/** A port whose host is this test. It is a FIFO, so what the guest writes comes back to it, as from an echoing host. */
class Port implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "nex-port-"));
  readonly header: EpochHeader;
  readonly guest: FramePort;
  readonly #fd: number;

  constructor() {
    const path = join(this.directory, "frames");
    execFileSync("mkfifo", [path]);
    writeFileSync(join(this.directory, "token"), `ffffffff${"ab".repeat(12)}\n`);
    this.#fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    this.header = new EpochHeader(this.directory);
    this.guest = new FramePort(portStream(join(this.directory, "frames")), this.header, 0);
  }

  say(...parts: (string | number)[]): void {
    for (const part of parts) {
      writeSync(this.#fd, typeof part === "string" ? Buffer.from(part) : this.header.of(part));
    }
  }

  async next(): Promise<Duplex> {
    return (await this.guest.next(longMs)) ?? assert.fail("No epoch has begun");
  }

  [Symbol.dispose](): void {
    this.guest.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

async function read(frames: Duplex): Promise<string> {
  const [chunk] = await once(frames, "data");
  return String(chunk);
}

test("FramePort throws away what came before the first header, and takes one that is said again once", {
  skip,
}, async () => {
  using port = new Port();
  port.say("stale", 3, 3, 3, "hello");
  assert.equal(await read(await port.next()), "hello");
});

test("FramePort ends an epoch where a later one begins, and goes on in that", { skip }, async () => {
  using port = new Port();
  port.say(1, "first");
  const first = await port.next();
  assert.equal(await read(first), "first");
  const closed = once(first, "close");
  port.say("late", 2, "second");
  const second = await port.next();
  await closed;
  assert.equal(await read(second), "second");
  assert.equal(port.guest.epoch, 2);
});

test("FramePort writes for the epoch that runs only", { skip }, async () => {
  using port = new Port();
  port.say(1);
  const first = await port.next();
  port.say(2);
  const second = await port.next();
  first.write("lost");
  second.write("sent");
  assert.equal(await read(second), "sent");
});

test("FramePort waits for an epoch no longer than it is told", { skip }, async () => {
  using port = new Port();
  assert.equal(await port.guest.next(1), undefined);
});
