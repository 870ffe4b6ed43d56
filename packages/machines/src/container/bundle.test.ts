import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { makeSpec } from "@nexengine/testing/internal";
import type { MachineLimits } from "../driver.ts";
import { readExitStatus } from "../host/exit-status.ts";
import { IdRanges } from "../host/id-range.ts";
import { hasProcessTable, readProcess } from "../host/process-table.ts";
import { bundleConfig } from "./config.ts";
import { layoutOf } from "./layout.ts";
import { guestMounts } from "./mounts.ts";
import { completeOptions } from "./options.ts";
import { seccompProfile } from "./seccomp.ts";

async function configOf(limits: MachineLimits, countsSwap = true): Promise<Record<string, unknown>> {
  const spec = await makeSpec({ limits, id: "one" });
  await rm(spec.directory, { recursive: true });
  const settings = completeOptions({ rootfs: "/r", command: ["/p", "a"], stateDirectory: "/s" });
  const facts = { hostIdFirst: 1, openFilesLimit: 500, countsSwap, cgroupNamespace: false };
  return bundleConfig(spec, { settings, layout: layoutOf("/m"), ...facts }) as Record<string, unknown>;
}

suite("bundleConfig", () => {
  test("passes the channels to the program, and keeps the open-file limit of this process", async () => {
    const { process: program } = await configOf({});
    const { args, rlimits } = program as { args: string[]; rlimits: { hard: number }[] };
    assert.deepEqual(args, ["/p", "a", "--channels=connect:/nex"]);
    assert.equal(rlimits[0]?.hard, 500);
  });

  test("limits memory and swap together if the kernel accounts for swap", async () => {
    const resourcesOf = async (limits: MachineLimits, countsSwap?: boolean): Promise<unknown> =>
      ((await configOf(limits, countsSwap))["linux"] as { resources: unknown }).resources;
    const devices = [{ allow: false, access: "rwm" }];
    assert.deepEqual(await resourcesOf({}), { devices });
    assert.deepEqual(await resourcesOf({ memoryBytes: 9, processes: 5 }), {
      devices,
      memory: { limit: 9, swap: 9 },
      pids: { limit: 5 },
    });
    assert.deepEqual(await resourcesOf({ memoryBytes: 9, vcpus: 0.5 }, false), {
      devices,
      memory: { limit: 9 },
      cpu: { period: 100_000, quota: 50_000 },
    });
  });
});

test("guestMounts limits every writable mount, even for tiny limits", () => {
  for (const diskBytes of [1, 1_048_576, 2 ** 30]) {
    const sizes = guestMounts(diskBytes, { channels: "/c" })
      .filter(({ type, destination }) => type === "tmpfs" && destination !== "/dev")
      .map(({ options }) => Number(options.find((option) => option.startsWith("size="))?.slice(5)));
    const total = sizes.reduce((sum, size) => sum + size, 0);
    assert.equal(sizes.length, 2);
    assert.ok(
      sizes.every((size) => size > 0) && total <= Math.max(diskBytes, 8_192),
      `${diskBytes}: ${sizes}`,
    );
  }
});

test("seccompProfile excludes system calls that reach beyond a machine", () => {
  const allowed = new Set(
    seccompProfile().syscalls.flatMap(({ names, action, args }) =>
      action === "SCMP_ACT_ALLOW" && !args ? names : [],
    ),
  );
  const refused = `add_key bpf chroot clone clone3 init_module io_uring_setup kexec_load keyctl mount move_mount
    open_by_handle_at perf_event_open pivot_root process_vm_writev ptrace reboot setns settimeofday socket swapon
    umount2 unshare userfaultfd personality name_to_handle_at seccomp socketpair sync syncfs`;
  for (const name of refused.split(/\s+/)) assert.ok(!allowed.has(name), name);
  for (const name of allowed) assert.match(name, /^[a-z0-9_]+$/);
});

test("IdRanges claims the lowest free range, and releases ranges of dead processes", async () => {
  const directory = await mkdtemp(join(tmpdir(), "nex-ranges-"));
  try {
    const ranges = new IdRanges(directory, 1_000_000, join(directory, "none"));
    const taken = await Promise.all(["a", "b", "c"].map((id) => ranges.take(id)));
    assert.deepEqual(taken.toSorted(), [0, 1, 2]);
    assert.equal(ranges.hostIdFirst(2), 1_131_072);
    await ranges.release(1, "somebody else");
    assert.equal((await readdir(directory)).length, 3);
    const first = taken[0] ?? assert.fail("None");
    await ranges.release(first, "a");
    assert.equal(await ranges.take("d"), first);
    await ranges.releaseAbandoned();
    assert.equal((await readdir(directory)).length, 3, "This process lives");
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("IdRanges of two nodes never overlap, and keep the range of a dead node's running machine", async () => {
  const directory = await mkdtemp(join(tmpdir(), "nex-ranges-"));
  try {
    const [one, other] = ["one", "other"].map((root) => join(directory, root));
    const claim = { machineId: "m", root: other, pid: 2 ** 22 + 1, startTicks: 1 };
    const notes = join(directory, "notes");
    await mkdir(join(other ?? "", "m"), { recursive: true });
    await mkdir(notes);
    await writeFile(join(notes, "0"), JSON.stringify(claim));
    const ranges = new IdRanges(notes, 1_000_000, one ?? "");
    await ranges.releaseAbandoned();
    assert.equal(await ranges.take("n"), 1);
    assert.equal(await new IdRanges(notes, 1_000_000, other ?? "").take("o"), 2);
    await rm(join(other ?? "", "m"), { recursive: true });
    await ranges.releaseAbandoned();
    assert.deepEqual((await readdir(notes)).sort(), ["1", "2"]);
  } finally {
    await rm(directory, { recursive: true });
  }
});

suite("readExitStatus", { skip: !hasProcessTable }, () => {
  test("tells a running process from one that exited or reuses its pid", () => {
    const self = readProcess(process.pid) ?? assert.fail("Not found");
    assert.equal(readExitStatus(self), undefined);
    assert.deepEqual(readExitStatus({ pid: process.pid, startTicks: self.startTicks + 1 }), {});
    assert.deepEqual(readExitStatus({ pid: 2 ** 22 + 1, startTicks: 1 }), {});
  });
});
