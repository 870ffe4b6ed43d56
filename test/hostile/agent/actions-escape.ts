/** Attacks that Node itself can try in a machine, as if the code of a function had got out of its realm. */
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import * as fs from "node:fs";
import { connect, type NetConnectOpts } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { FrameType } from "@nexengine/protocol/agent";
import type { Wire } from "./wire.ts";

const filesMax = 100_000;
const connectMs = 1_000;
const workersMax = 200;

/** Things of the host that a case names, see support/place.ts. */
interface Place {
  secret: string;
  secretName: string;
  secretPath: string;
  port: number;
  addresses: string[];
  paths: string[];
}

/** Lets something try, and tells what came of it in the refusal of the deploy. */
async function attempt(
  wire: Wire,
  act: (place: Place, succeed: (what: string) => void) => Promise<string>,
): Promise<void> {
  const { environment } = await wire.order();
  const escapes: string[] = [];
  const how = await act(JSON.parse(environment["PLACE"] ?? "{}"), (what) => escapes.push(what));
  const message = escapes.length > 0 ? `ESCAPED ${escapes.join(", ")}` : `held ${how}`;
  wire.sendJson(FrameType.deployed, { accepted: false, message: message.slice(0, 2_000) });
}

/** @returns the code of the error. */
function codeOf(act: () => unknown): string {
  try {
    act();
    return "success";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}

function* walk(directory: string, count = { files: 0 }): Generator<string> {
  let entries: fs.Dirent[] = [];
  try {
    entries = fs.readdirSync(directory, { withFileTypes: true });
  } catch {}
  for (const entry of entries) {
    if (count.files++ > filesMax) return;
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* walk(path, count);
    else yield path;
  }
}

async function reaches(to: NetConnectOpts): Promise<boolean> {
  return (await codeOfConnect(to)) === "success";
}

/** @returns the code of the error. */
async function codeOfConnect(to: NetConnectOpts): Promise<string> {
  const socket = connect(to);
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once("connect", () => resolve("success"));
  socket.once("error", ({ code = "an error" }: NodeJS.ErrnoException) => resolve(code));
  const outcome = await Promise.race([promise, delay(connectMs, "silence")]);
  socket.destroy();
  return outcome;
}

export const escapeActions = {
  "a walk by Node": (wire: Wire) =>
    attempt(wire, async ({ secret, secretName, paths }, succeed) => {
      let files = 0;
      for (const path of walk("/")) {
        files++;
        if (path.endsWith(secretName)) succeed(path);
        if (!/^\/proc\/\d+\/(environ|cmdline)$/.test(path)) continue;
        if (
          codeOf(() => fs.readFileSync(path)) === "success" &&
          fs.readFileSync(path, "utf8").includes(secret)
        )
          succeed(path);
      }
      for (const path of paths) if (codeOf(() => fs.statSync(path)) !== "ENOENT") succeed(path);
      if (files < 100) succeed(`nothing but ${files} files`);
      return "no file of the host among those seen";
    }),
  "channels by Node": (wire: Wire) =>
    attempt(wire, async (_, succeed) => {
      const names = fs.readdirSync("/nex");
      const codes = [
        codeOf(() => fs.symlinkSync("/etc/passwd", "/nex/req.2")),
        codeOf(() => fs.writeFileSync("/nex/frames.new", "")),
        ...names.flatMap((name) => [
          codeOf(() => fs.unlinkSync(`/nex/${name}`)),
          codeOf(() => fs.renameSync(`/nex/${name}`, "/nex/moved")),
        ]),
        codeOf(() => fs.chmodSync("/nex", 0o777)),
      ];
      if (codes.includes("success")) succeed(codes.join());
      const again = await codeOfConnect({ path: "/nex/frames.sock" });
      if (again === "success") succeed("a second connection");
      if (codeOf(() => fs.openSync("/nex/frames", "r+")) === "success") succeed("its own port again");
      // Held open both ways, for as long as the machine lives.
      for (const name of names.filter((one) => /^re[qp]\.1$/.test(one))) {
        fs.openSync(`/nex/${name}`, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
        fs.openSync(`/nex/${name}`, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
      }
      return `${[...new Set(codes)].join()}, ${again}`;
    }),
  "network by Node": (wire: Wire) =>
    attempt(wire, async ({ port, addresses }, succeed) => {
      for (const host of ["127.0.0.1", "::1", "169.254.169.254", "1.1.1.1", ...addresses]) {
        const to = host.startsWith("1.") ? 53 : host.startsWith("169") ? 80 : port;
        if (await reaches({ host, port: to })) succeed(`${host}:${to}`);
      }
      const names = await Promise.allSettled(
        ["example.com", "metadata.google.internal"].map((name) => lookup(name)),
      );
      if (names.some(({ status }) => status === "fulfilled")) succeed("a name is found");
      const datagrams = createSocket("udp4");
      const [sent] = await Promise.allSettled([
        new Promise<void>((resolve, reject) =>
          datagrams.send("x", 53, "1.1.1.1", (error) => (error ? reject(error) : resolve())),
        ),
      ]);
      datagrams.close();
      if (sent?.status === "fulfilled") succeed("a datagram leaves");
      return "nobody is reached";
    }),
  "programs by Node": (wire: Wire) =>
    attempt(wire, async (_, succeed) => {
      const codes = ["/bin/sh", "/usr/bin/env", "/usr/sbin/runc"].map(
        (program) => (spawnSync(program).error as NodeJS.ErrnoException | undefined)?.code ?? "success",
      );
      if (codes.includes("success")) succeed(codes.join());
      const script = "#!/usr/bin/node\nprocess.exit(0)";
      const planted = codeOf(() => fs.writeFileSync("/tmp/planted", script, { mode: 0o4755 }));
      const run = (spawnSync("/tmp/planted").error as NodeJS.ErrnoException | undefined)?.code ?? "success";
      if (run === "success") succeed("runs a program from /tmp");
      const ids = [
        codeOf(() => process.setuid?.(0)),
        codeOf(() => process.setgid?.(0)),
        codeOf(() => process.kill(1_000_000, 0)),
      ];
      if (ids.includes("success")) succeed(ids.join());
      return `${codes.join()}, ${planted}, ${run}, ${ids.join()}`;
    }),
  "workers by Node": (wire: Wire) =>
    attempt(wire, async (_, succeed) => {
      let made = 0;
      let failed = 0;
      for (let worker = 0; worker < workersMax && failed === 0; worker++) {
        try {
          const one = new Worker("setInterval(() => {}, 1000)", {
            eval: true,
            resourceLimits: { maxOldGenerationSizeMb: 2 },
          });
          one.on("error", () => failed++);
          await Promise.race([once(one, "online"), delay(connectMs)]).catch(() => failed++);
          made++;
        } catch {
          failed++;
        }
      }
      if (made === workersMax) succeed(`${made} workers`);
      return "stopped";
    }),
};
