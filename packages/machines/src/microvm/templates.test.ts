import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { MachineSpec } from "../driver.ts";
import type { MicroVm, Monitor } from "./machine.ts";
import { type Copier, Templates } from "./templates.ts";

test("Templates boots every machine with egress, and copies other machines from the second one of a kind on", async () => {
  const directory = await mkdtemp(join(tmpdir(), "nex-templates-"));
  const done: string[] = [];
  const did = async (what: string): Promise<MicroVm> => {
    done.push(what);
    return {} as MicroVm;
  };
  const copier: Copier<string> = {
    boot: () => did("boot"),
    makeTemplate: () => did("template").then(() => "template"),
    copy: () => did("copy"),
  };
  const templates = new Templates({} as Monitor, copier, directory);
  const spec: MachineSpec = { id: "a", directory, limits: {}, network: "nats", nodeLostTimeoutMs: 1_000 };
  const egress = [{ address: "192.0.2.1", prefixBits: 32, port: 80 }];
  try {
    for (let count = 0; count < 3; count++) await templates.boot({ ...spec, network: "egress", egress });
    assert.deepEqual(done.splice(0), ["boot", "boot", "boot"]);
    for (let count = 0; count < 3; count++) await templates.boot(spec);
    assert.deepEqual(done.splice(0), ["boot", "template", "copy", "copy"]);
    for (const path of ["/a.ext4", "/b.ext4", "/a.ext4"])
      await templates.boot({ ...spec, root: { kind: "image", path } });
    assert.deepEqual(done, ["boot", "boot", "template", "copy"]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
