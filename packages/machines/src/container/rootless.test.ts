import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { suite, test } from "node:test";
import { promisify } from "node:util";
import { findRootlessHindrances, type RootlessHost } from "./rootless.ts";

const user = { uid: 1_234, name: "ada" };
const delegated = {
  "/etc/subuid": "root:1:65536\nada:100000:65536\n",
  "/etc/subgid": "1234:100000:65536\n",
  "/proc/sys/user/max_user_namespaces": "1000\n",
  "/proc/self/cgroup": "0::/user.slice\n",
  "/cgroup/user.slice/cgroup.controllers": "cpu memory pids\n",
};

function hostWith(
  files: Record<string, string>,
  programs: readonly string[] = ["newuidmap", "newgidmap"],
  cgroupVersion: RootlessHost["cgroupVersion"] = 2,
): RootlessHost {
  const all: Record<string, string> = { ...delegated, ...files };
  return {
    user,
    read: (path) => all[path],
    hasProgram: async (name) => programs.includes(name),
    cgroupVersion,
    cgroupDirectory: "/cgroup",
  };
}

suite("findRootlessHindrances", () => {
  test("finds no obstacle on a suitable host", async () => {
    assert.deepEqual(await findRootlessHindrances(hostWith({})), []);
  });

  test("names each obstacle and its fix", async () => {
    const cases: [RootlessHost, RegExp][] = [
      [hostWith({ "/proc/sys/user/max_user_namespaces": "0\n" }), /sysctl user.max_user_namespaces=/],
      [hostWith({ "/proc/sys/kernel/unprivileged_userns_clone": "0" }), /sysctl .*userns_clone=1/],
      [hostWith({ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1" }), /sysctl .*userns=0/],
      [hostWith({}, ["newgidmap"]), /"newuidmap" is not installed \(apt-get install uidmap\)/],
      [hostWith({ "/etc/subuid": "ada:100000:1000" }), /usermod --add-subuids \S+ ada/],
      [hostWith({ "/etc/subgid": "ad:100000:65536" }), /usermod --add-subgids \S+ ada/],
      [hostWith({}, undefined, 1), /version 1 can't be delegated/],
      [hostWith({ "/cgroup/user.slice/cgroup.controllers": "pids" }), /no cpu, memory controller/],
    ];
    for (const [host, said] of cases) {
      const hindrances = await findRootlessHindrances(host);
      assert.equal(hindrances.length, 1, String(hindrances));
      assert.match(String(hindrances), said);
    }
  });
});

test("findUnmetRequirement tells a non-root user what this host forbids", {
  skip: process.getuid?.() !== 0 && "only root can become somebody else",
}, async () => {
  const module = new URL("./requirements.ts", import.meta.url).href;
  const options = new URL("./options.ts", import.meta.url).href;
  const script = `
    const { findUnmetRequirement } = await import("${module}");
    const { completeOptions } = await import("${options}");
    process.setgroups([]);
    process.setgid(65534);
    process.setuid(65534);
    console.log(JSON.stringify(await findUnmetRequirement(completeOptions({ rootfs: "/", command: ["/a"], stateDirectory: "/s" }))));`;
  const args = [...process.execArgv, "--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { reason, advice } = JSON.parse(stdout) as { reason: string; advice: string };
  assert.match(reason, /does not run as root, and rootless containers are not supported yet/);
  assert.match(reason, /subuid gives \w+ fewer than 65536 ids|would allow it/);
  assert.match(advice, /^Run the node as root/);
});
