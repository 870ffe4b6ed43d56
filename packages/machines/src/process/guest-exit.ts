import { finished } from "node:stream/promises";
import type { MachineExit } from "../driver.ts";
import { ConsoleTail } from "../host/console-tail.ts";
import { settlesWithin } from "../host/wait.ts";
import type { Guest } from "./spawn.ts";

/** How long the console is read after the guest has exited, in ms. A surviving process may hold it open. */
const consoleGraceMs = 200;

/** Collects a guest's console and resolves with its exit. */
export function watchExit(guest: Guest): Promise<MachineExit> {
  const tail = new ConsoleTail();
  for (const stream of guest.console) tail.follow(stream);
  const consoleEnd = Promise.all(guest.console.map((stream) => finished(stream)));
  consoleEnd.catch(() => undefined);
  const exited = Promise.withResolvers<MachineExit>();
  guest.child.once("exit", async (code, signal) => {
    await settlesWithin(consoleEnd, consoleGraceMs);
    exited.resolve({ ...describe(code, signal), console: tail.text() });
  });
  return exited.promise;
}

function describe(code: number | null, signal: NodeJS.Signals | null): Omit<MachineExit, "console"> {
  if (code !== null) return { reason: "exited", code };
  return { reason: signal === null ? "unknown" : "killed" };
}
