import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite, test } from "node:test";
import { actMs, within } from "@nexengine/testing/internal";
import { epochHeader, newToken } from "../microvm/epoch-header.ts";
import { guestPorts } from "../rootfs/guest-programs.ts";
import { openVsockChannels } from "./channels.ts";
import { jailNames } from "./layout.ts";

/** Plays Firecracker's vsock socket and the guest behind it. */
async function listen(
  root: string,
  connected: (port: number, socket: Socket) => void,
): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    socket.once("data", (line: Buffer) => {
      const [, port = ""] = /^CONNECT (\d+)\n$/.exec(line.toString("latin1")) ?? [];
      connected(Number(port), socket);
    });
  });
  await mkdir(dirname(join(root, jailNames.vsock)), { recursive: true });
  await once(server.listen(join(root, jailNames.vsock)), "listening");
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await rm(root, { recursive: true, force: true });
    },
  };
}

suite("openVsockChannels", { skip: process.platform !== "linux" }, () => {
  for (const cut of ["frames", "calls"] as const) {
    test(`connects both anew when the guest cuts its ${cut}, as a resumed copy does`, async () => {
      const directory = await mkdtemp(join(tmpdir(), "nex-vsock-"));
      const token = newToken();
      const mark = epochHeader(token, 1);
      const opened: number[] = [];
      await using _server = await listen(directory, (port, socket) => {
        opened.push(port);
        socket.write("OK 1073741824\n");
        const isFirst = opened.filter((other) => other === port).length === 1;
        socket.on("data", () => {
          if (port === guestPorts[cut] && isFirst) socket.destroy();
          else socket.write(Buffer.concat([mark, Buffer.from(`${port}`)]));
        });
      });
      const signal = new AbortController().signal;
      const opening = openVsockChannels(directory, { directory, token, epoch: 1, signal });
      const { frames, calls } = await within(opening, actMs, "both channels");
      assert.equal(String((await once(frames, "data"))[0]), `${guestPorts.frames}`);
      assert.equal(String((await once(calls, "data"))[0]), `${guestPorts.calls}`);
      const { calls: first, frames: second } = guestPorts;
      assert.deepEqual(opened, [first, second, first, second]);
      frames.destroy();
      calls.destroy();
    });
  }

  test("fails when the signal aborts while the guest is silent", async () => {
    const directory = await mkdtemp(join(tmpdir(), "nex-vsock-"));
    await using _server = await listen(directory, (_, socket) => socket.destroy());
    const gone = new AbortController();
    const { signal } = gone;
    const opening = openVsockChannels(directory, { directory, token: newToken(), epoch: 1, signal });
    gone.abort("the machine has exited");
    await assert.rejects(within(opening, actMs, "the attach"), {
      code: "attach_failed",
      message: /the machine has exited/,
    });
  });
});
