import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import type { MachineSpec } from "../driver.ts";
import { configDisk } from "./config-disk.ts";
import type { MicroVmSettings } from "./settings.ts";

const settings: MicroVmSettings = {
  command: ["/usr/bin/node", "it's $HOME `id`", "agent.mjs"],
  limitArguments: () => [],
  memoryBytesDefault: 268_435_456,
  attachTimeoutMs: 1_000,
  killTimeoutMs: 1_000,
};
const spec: MachineSpec = { id: "a", directory: "/a", limits: {}, network: "none", nodeLostTimeoutMs: 1_000 };

/** Sources the disk in a shell, as the init does. @returns the output of `command`. */
function sourced(disk: Buffer, command: string): string {
  return execFileSync("sh", ["-c", `${disk.toString("utf8")}\n${command}`], { encoding: "utf8" });
}

test("configDisk passes arguments through a shell unchanged", () => {
  const disk = configDisk(spec, settings, "f".repeat(32), "port");
  assert.equal(disk.length % 512, 0);
  const told = sourced(disk, `for word in "$@"; do echo "$word"; done; echo "$nex_token $nex_lost_ms"`);
  assert.deepEqual(told.trimEnd().split("\n"), [
    ...["/usr/bin/node", "it's $HOME `id`", "agent.mjs", "--channels=port:/nex"],
    `${"f".repeat(32)} 1000`,
  ]);
});

test("configDisk contains an address only for a machine with egress", () => {
  const shown = (address?: string): string =>
    sourced(configDisk(spec, settings, "", "port", address), `echo "<$nex_egress>"`);
  assert.equal(shown("100.127.0.1"), "<100.127.0.1>\n");
  assert.equal(shown(), "<>\n");
});

test("configDisk translates each limit for the guest's kernel", () => {
  const limits = { processes: 40, vcpus: 0.25, diskBytes: 16_777_216 };
  const loopbackAddresses = ["10.0.0.1", "10.0.0.1", "fd00::1"];
  const limited = configDisk({ ...spec, limits, loopbackAddresses }, settings, "", "port");
  const told = sourced(limited, `echo "$nex_processes|$nex_cpu|$nex_tmp|$nex_work|$nex_loopback"`);
  assert.equal(
    told,
    "40|25000 100000|size=4194304,nr_inodes=1024|size=12582912,nr_inodes=3072|10.0.0.1/32 fd00::1/128\n",
  );
  const unlimited = configDisk({ ...spec, limits: { vcpus: 2 } }, settings, "", "port");
  assert.equal(sourced(unlimited, `echo "$nex_processes|$nex_cpu"`), "max|max 100000\n");
});
