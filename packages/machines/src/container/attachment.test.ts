import assert from "node:assert/strict";
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { actMs, countDescriptors, eventually, rejectsWith, within } from "@nexengine/testing/internal";
import { Attachments, type OpenEpoch } from "../host/attachments.ts";
import { openFifo } from "../host/fifo.ts";
import { latestEpoch, openChannels } from "./attachment.ts";

const opener =
  ({ path }: { path: string }): OpenEpoch =>
  (epoch, signal) =>
    openChannels(path, epoch, signal);
const never = new AbortController().signal;

/** A channel directory, removed at the end of its scope. */
class ChannelDirectory implements AsyncDisposable {
  readonly path: string;

  readonly #base: string;

  constructor(base: string, below: string) {
    this.#base = base;
    this.path = join(base, below);
  }

  static async make(below = ""): Promise<ChannelDirectory> {
    const directory = new ChannelDirectory(await mkdtemp(join(tmpdir(), "nex-channels-")), below);
    await mkdir(directory.path, { recursive: true });
    return directory;
  }

  /** Connects as a guest does: retries, and uses a short path. */
  async connect(): Promise<Socket> {
    const directory = openSync(this.path, "r");
    const sockets: Socket[] = [];
    const connected = async (): Promise<boolean> => {
      const socket = connect(`/proc/self/fd/${directory}/frames.sock`);
      const done = await once(socket, "connect").catch(() => undefined);
      if (done) sockets.push(socket);
      return done !== undefined;
    };
    await eventually(connected, actMs, "the guest is connected");
    closeSync(directory);
    return sockets[0] ?? assert.fail("Not connected");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#base, { recursive: true, force: true });
  }
}

suite("openChannels", { skip: process.platform !== "linux" }, () => {
  test("carries both channels in a directory whose path is too long for a socket", async () => {
    await using directory = await ChannelDirectory.make("d".repeat(120));
    const opening = openChannels(directory.path, 1, never);
    const guest = await directory.connect();
    const { frames, calls } = await within(opening, actMs, "the channels");
    guest.write("frame");
    assert.equal(String(await within(once(frames, "data"), actMs, "a frame")), "frame");
    const request = openSync(join(directory.path, "req.1"), "r+");
    writeSync(request, "call");
    assert.equal(String(await within(once(calls, "data"), actMs, "a call")), "call");
    closeSync(request);
    for (const end of [guest, frames, calls]) end.destroy();
  });

  test("accepts one connection per epoch, and removes the FIFOs of previous epochs", async () => {
    await using directory = await ChannelDirectory.make();
    await writeFile(join(directory.path, ".frames.sock"), "left by a node that was killed");
    for (const epoch of [1, 2]) {
      const opening = openChannels(directory.path, epoch, never);
      const guest = await directory.connect();
      const { frames, calls } = await within(opening, actMs, "the channels");
      const second = connect(join(directory.path, "frames.sock"));
      await assert.rejects(once(second, "connect"));
      for (const end of [guest, frames, calls]) end.destroy();
    }
    assert.deepEqual((await readdir(directory.path)).sort(), ["frames.sock", "rep.2", "req.2"]);
    assert.equal(await latestEpoch(directory.path), 2);
  });

  test("does not follow a link in the place of a FIFO", async () => {
    await using directory = await ChannelDirectory.make();
    const victim = join(directory.path, "victim");
    await writeFile(victim, "kept");
    await symlink(victim, join(directory.path, "req.1"));
    await assert.rejects(openChannels(directory.path, 1, never));
    for (const name of ["req.1", "victim", "none"]) {
      assert.throws(() => openFifo(join(directory.path, name), "write"), { code: "attach_failed" }, name);
    }
    assert.equal(await readFile(victim, "utf8"), "kept");
  });

  test("releases everything when nobody connects", async () => {
    await using directory = await ChannelDirectory.make();
    const before = countDescriptors();
    const attachments = new Attachments(opener(directory), 0, 20);
    await rejectsWith(attachments.open(1, "a"), "attach_failed");
    await eventually(() => countDescriptors() <= before, actMs, "descriptors are given back");
  });
});

suite("Attachments", { skip: process.platform !== "linux" }, () => {
  test("a later epoch aborts a pending attach, and an earlier epoch is refused", async () => {
    await using directory = await ChannelDirectory.make();
    const attachments = new Attachments(opener(directory), 4, actMs);
    await rejectsWith(attachments.open(4, "a"), "attach_failed");
    const previous = attachments.open(5, "a");
    const refused = rejectsWith(previous, "attach_failed");
    const later = attachments.open(6, "a");
    await refused;
    const guest = await directory.connect();
    const { frames } = await within(later, actMs, "the later attach");
    attachments.destroy();
    assert.ok(frames.destroyed);
    guest.destroy();
  });

  test("the call channel ends with the machine, even if the guest never opened it", async () => {
    await using directory = await ChannelDirectory.make();
    const attachments = new Attachments(opener(directory), 0, actMs);
    const opening = attachments.open(1, "a");
    const guest = await directory.connect();
    const { calls } = await within(opening, actMs, "the attach");
    const closed = once(calls, "close");
    calls.resume();
    attachments.hangUp();
    await within(closed, actMs, "the end of the calls");
    guest.destroy();
    attachments.destroy();
  });
});
