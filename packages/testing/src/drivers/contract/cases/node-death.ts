import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { cleanUpOrphans } from "@nexengine/machines/internal";
import type { Subject } from "../abilities.ts";
import { afterNodeDeath } from "../dead-node.ts";
import { eventually } from "../expect.ts";
import { actMs } from "../test-machine.ts";

export function nodeDeathCases({ abilities }: Subject): void {
  const { driverModule, endsWithNode, orphans } = abilities;
  const gone = (directory: string): Promise<void> =>
    eventually(() => orphans(directory).length === 0, actMs, "the machine has exited with its node");

  test("kill -9 of its node terminates a machine", {
    skip: !driverModule || endsWithNode === "none",
  }, async () => {
    await afterNodeDeath(abilities, { command: "hello" }, ({ directory }) => gone(directory));
  });

  test("kill -9 of its node terminates a busy machine", {
    skip: !driverModule || endsWithNode !== "all",
  }, async () => {
    await afterNodeDeath(abilities, { command: "spin" }, ({ directory }) => gone(directory));
  });

  test("cleanUpOrphans kills the daemon of a dead node's machine", {
    skip: !driverModule || endsWithNode === "none",
  }, async () => {
    await afterNodeDeath(abilities, { command: "daemon" }, async ({ directory }) => {
      assert.notDeepEqual(orphans(directory), [], "The daemon outlives the node");
      await cleanUpOrphans(directory);
      await gone(directory);
      assert.equal(existsSync(directory), false);
    });
  });
}
