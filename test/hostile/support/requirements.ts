/** Whether hostile cases can run here, and how many are wanted. */
import type { SandboxKind } from "@nexengine/machines";
import { unmetSandboxRequirement } from "@nexengine/testing";

/** Why they can't; printed by the tests that are left out. */
export async function unmetHostileRequirement(
  sandbox: SandboxKind = "container",
): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "control groups and mounts around hostile workloads need root";
  return await unmetSandboxRequirement(sandbox);
}

/** `npm run test:hostile` takes every defence away, with every case that could notice. */
export const longRun = process.env["NEX_TEST_HOSTILE"] === "long";
