import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { actMs, makeContainerDriver, makeSpec, prepareContainers, within } from "@nexengine/testing/internal";
import { readCgroupMounts } from "../host/cgroup-mounts.ts";
import { rootfsPaths } from "../rootfs/options.ts";

const containers = await prepareContainers();
after(() => containers[Symbol.asyncDispose]());

/** Definitions for each script that runs as a machine. */
const prelude = `
const fs = require("node:fs"), os = require("node:os");
const attempt = (act) => { try { return act() ?? "done"; } catch (error) { return error.code; } };
const status = Object.fromEntries(fs.readFileSync("/proc/self/status", "utf8").split("\\n").map((line) => line.split(":\\t")));
`;

/** Runs an expression in a machine and returns its value. */
async function evaluate(expression: string): Promise<unknown> {
  const script = `${prelude} Promise.resolve(${expression}).then((value) => console.log(JSON.stringify(value)))`;
  const driver = makeContainerDriver({ command: [rootfsPaths.node, "-e", script, "--"] });
  const machine = await driver.boot(await makeSpec());
  try {
    const { console } = await within(machine.exited, actMs, "the exit");
    assert.notEqual(console, "");
    return JSON.parse(console) as unknown;
  } finally {
    await machine.destroy();
  }
}

suite("a container", { skip: containers.unmetRequirement ?? false }, () => {
  test("has an unprivileged user, no capabilities and a seccomp filter", async () => {
    const told = await evaluate(
      "[process.getuid(), status.CapEff, status.CapBnd, status.NoNewPrivs, status.Seccomp, process.pid]",
    );
    const none = "0".repeat(16);
    assert.deepEqual(told, [1000, none, none, "1", "2", 1]);
  });

  test("runs on the root that its spec names", async () => {
    const other = await mkdtemp(join(tmpdir(), "nex-root-"));
    const driver = makeContainerDriver({
      command: [rootfsPaths.node, "-p", "require('node:fs').readdirSync('/')", "--"],
    });
    try {
      await cp(containers.options.rootfs, other, { recursive: true, verbatimSymlinks: true });
      await chmod(other, 0o755);
      await mkdir(join(other, "of-the-spec"));
      const machine = await driver.boot(await makeSpec({ root: { kind: "directory", path: other } }));
      const { console } = await within(machine.exited, actMs, "the exit");
      assert.match(console, /'of-the-spec'/);
      await machine.destroy();
    } finally {
      await rm(other, { recursive: true });
    }
  });

  test("refuses a root that is an image", async () => {
    const root = { kind: "image", path: "/a.ext4" } as const;
    await assert.rejects(async () => makeContainerDriver().boot(await makeSpec({ root })), {
      code: "boot_failed",
      message: /the container driver has no root that is an image/,
    });
  });

  test("can write only to its working directory and /tmp", async () => {
    const places = ["./a", "/tmp/a", "/a", "/etc/a", "/nex/a", "/dev/a", "/proc/sys/kernel/hostname"];
    const told = await evaluate(
      `${JSON.stringify(places)}.map((path) => attempt(() => fs.writeFileSync(path, "a")))`,
    );
    assert.deepEqual(told, ["done", "done", "EROFS", "EROFS", "EROFS", "EACCES", "EROFS"]);
  });

  test("runs programs from its working directory but not from /tmp", async () => {
    const run = (path: string) =>
      `attempt(() => { fs.copyFileSync("${rootfsPaths.node}", "${path}");
        return require("node:child_process").execFileSync("${path}", ["-p", "42"], { stdio: ["ignore", "pipe", "ignore"] }).toString(); })`;
    assert.equal(await evaluate(run("./node")), "42\n");
    const script = `attempt(() => { fs.writeFileSync("/tmp/a", "#!${rootfsPaths.node}\\n", { mode: 0o755 });
      return require("node:child_process").execFileSync("/tmp/a").toString(); })`;
    assert.equal(await evaluate(script), "EACCES");
  });

  test("has its own loopback and no other network", async () => {
    const told = await evaluate(
      `[os.hostname(), Object.keys(os.networkInterfaces()), await new Promise((resolve) => {
      const server = require("node:net").createServer().listen(0, "127.0.0.7", () => {
        const { port } = server.address();
        require("node:net").connect(port, "127.0.0.7", function () { this.destroy(); server.close(); resolve("connected"); });
      });
    }), await require("node:dns").promises.lookup("localhost")]`
        .replace(/^/, "(async () => ")
        .concat(")()"),
    );
    const [hostname, interfaces, connected] = told as unknown[];
    assert.deepEqual([hostname, interfaces, connected], ["nex", ["lo"], "connected"]);
  });

  test("can't become root or see the host's processes", async () => {
    const told = await evaluate(
      `[attempt(() => process.setuid(0)), fs.readdirSync("/proc").filter((name) => Number(name) > 0).length,
        attempt(() => fs.readFileSync("/proc/kcore").length), fs.readFileSync("/proc/self/uid_map", "utf8").trim().split(/\\s+/)]`,
    );
    const [became, processes, core, [inside, outside, count] = []] = told as [
      string,
      number,
      unknown,
      string[],
    ];
    assert.deepEqual([became, processes, inside, count], ["EPERM", 1, "0", "65536"]);
    assert.match(String(core), /^(0|EACCES|ENOENT)$/);
    assert.ok(Number(outside) >= 1_000_000);
  });

  test("runs threads", async () => {
    const told = await evaluate(`new Promise((resolve) =>
      new (require("node:worker_threads").Worker)("require('node:worker_threads').parentPort.postMessage(7)", { eval: true })
        .once("message", resolve))`);
    assert.equal(told, 7);
  });
});

suite("containers", { skip: containers.unmetRequirement ?? false }, () => {
  test("leave no cgroup, mount, id range or runtime state after five boots", async () => {
    const { cgroupParent = "", stateDirectory } = containers.options;
    // Other tests create network namespaces and mounts at the same time.
    const readMounts = async (): Promise<string[]> =>
      (await readFile("/proc/self/mountinfo", "utf8"))
        .split("\n")
        .filter((line) => !/ \/run\/netns[ /]|nex-hostile-/.test(line));
    const mounts = await readMounts();
    const groups = (): string[] =>
      readCgroupMounts()
        .map(({ directory }) => join(directory, cgroupParent))
        .filter((path) => existsSync(path));
    const driver = makeContainerDriver();
    for (let index = 0; index < 5; index++) {
      const machine = await driver.boot(await makeSpec());
      assert.notDeepEqual(groups(), []);
      await machine.destroy();
      assert.deepEqual(groups(), []);
    }
    assert.deepEqual(await readMounts(), mounts);
    assert.deepEqual(await readdir(join(stateDirectory, "ranges")), []);
    assert.deepEqual(await readdir(join(stateDirectory, "runtime")), []);
  });

  test("have separate ids when they run together, and share a parent cgroup until the last one exits", async () => {
    const driver = makeContainerDriver();
    const machines = await Promise.all([1, 2, 3].map(async () => await driver.boot(await makeSpec())));
    try {
      const ranges = machines.map((machine) => machine.record?.().facts["range"]);
      assert.deepEqual(ranges.sort(), [0, 1, 2]);
      await Promise.all(machines.map((machine) => machine.destroy()));
      assert.deepEqual(await readdir(join(containers.options.stateDirectory, "ranges")), []);
    } finally {
      for (const machine of machines) await machine.destroy();
    }
  });

  test("can't reuse the id of a running machine", async () => {
    const driver = makeContainerDriver();
    const spec = await makeSpec();
    const machine = await driver.boot(spec);
    try {
      await assert.rejects(driver.boot(await makeSpec({ id: spec.id })), { code: "boot_failed" });
      assert.equal((await machine.usage()).processes !== 0, true);
    } finally {
      await machine.destroy();
    }
  });
});
