/** `nex preflight` and `nex rootfs`, as root and as another user. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { describe, test } from "node:test";
import { testDriverFiles, unmetSandboxRequirement } from "@nexengine/testing";
import { type Ended, NexHome, nexPath } from "./support/nex.ts";

const isRoot = process.getuid?.() === 0;
/** Somebody who is nobody on this host, or who runs the tests. */
const plainUser = isRoot ? { uid: 65_534, gid: 65_534 } : {};

/** The home of a user without rights, and commands that this user runs in it. */
class PlainHome implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "nex-plain-home-"));

  constructor() {
    if (plainUser.uid !== undefined) chownSync(this.path, plainUser.uid, plainUser.gid);
  }

  run(...args: string[]): Ended {
    const env = { PATH: process.env["PATH"], HOME: this.path, TMPDIR: this.path, NO_COLOR: "1" };
    const options = { ...plainUser, cwd: this.path, env, encoding: "utf8" } as const;
    return spawnSync(process.execPath, [nexPath, ...args], options);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function plainUserSkip(): { skip?: string } {
  using home = new PlainHome();
  return home.run("--version").status === 0 ? {} : { skip: "other users can't reach this checkout" };
}

const asPlainUser = plainUserSkip();
const isX64 = process.platform === "linux" && process.arch === "x64";
const onX64 = isX64 ? asPlainUser : { skip: "microVMs are made on Linux for x64 only" };
const hasTools = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].some((path) => existsSync(path));
const withoutTools = hasTools ? {} : { skip: "e2fsprogs is not on this host" };
const unmet = await unmetSandboxRequirement("container");
const inContainers = unmet === undefined ? {} : { skip: unmet };

interface Built {
  directory: string;
  built: boolean;
  manifest: { digest: string };
}

function built({ status, stdout, stderr }: Ended): Built {
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

describe("nex rootfs", () => {
  test(
    "builds a tree under its digest, the same for whoever builds it, and once in each place",
    asPlainUser,
    async () => {
      using plain = new PlainHome();
      using home = new NexHome();
      const first = built(plain.run("rootfs", "--output", join(plain.path, "rootfs"), "--json"));
      const again = built(plain.run("rootfs", "--output", join(plain.path, "rootfs"), "--json"));
      const other = built(await home.run(["rootfs", "--output", join(home.path, "rootfs"), "--json"]));
      assert.deepEqual([first.built, again.built, other.built], [true, false, true]);
      assert.deepEqual({ ...again, built: true }, first);
      assert.deepEqual(other.manifest, first.manifest);
      assert.ok(first.manifest.digest.startsWith(basename(first.directory)));
      assert.equal(dirname(first.directory), join(plain.path, "rootfs"));
      assert.ok(statSync(first.directory).isDirectory());
    },
  );

  test("prints the directory alone where a script reads it", asPlainUser, () => {
    using home = new PlainHome();
    const { stdout, stderr } = home.run("rootfs", "-o", home.path);
    assert.ok(statSync(stdout.trim()).isDirectory());
    assert.match(stderr, /Built Node v\d+\.\d+\.\d+ \(\w+\), \d+ files, [\d.]+ MB/);
  });

  test("writes the same image for a plain user as for root, which verify finds whole", {
    ...asPlainUser,
    ...withoutTools,
  }, async () => {
    using plain = new PlainHome();
    using home = new NexHome();
    const digestOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
    const images = [join(plain.path, "x.ext4"), join(home.path, "x.ext4")] as const;
    const first = plain.run("rootfs", "--format", "ext4", "-o", images[0]);
    assert.equal(first.status, 0, first.stderr);
    assert.equal(first.stdout.trim(), images[0]);
    const second = await home.run(["rootfs", "--format", "ext4", "-o", images[1]]);
    assert.equal(second.status, 0, second.stderr);
    assert.equal(digestOf(images[1]), digestOf(images[0]));
    const verified = plain.run("rootfs", "verify", images[0]);
    assert.equal(verified.status, 0, verified.stderr);
    assert.match(verified.stdout, /all \d+ files are as the manifest [0-9a-f]{32} says/);
  });

  test("builds over a base, as a tree and as both images, and tells what the base has lost", {
    ...asPlainUser,
    ...withoutTools,
  }, () => {
    using home = new PlainHome();
    const base = join(home.path, "base");
    mkdirSync(join(base, "etc"), { recursive: true });
    writeFileSync(join(base, "etc/passwd"), "root::0:0::/:/bin/sh\n");
    writeFileSync(join(base, "etc/words"), "words of the base", { mode: 0o644 });
    symlinkSync("words", join(base, "etc/link"));
    const formats = existsSync("/usr/bin/mksquashfs") ? ["ext4", "squashfs"] : ["ext4"];
    for (const format of formats) {
      const image = join(home.path, `x.${format}`);
      const { status, stderr } = home.run("rootfs", "--format", format, "--base", base, "-o", image);
      assert.equal(status, 0, stderr);
      assert.match(stderr, /^\/etc\/passwd of the base gave way to Nex's own$/m);
      const verified = home.run("rootfs", "verify", image, "--json");
      assert.equal(verified.status, 0, verified.stderr);
      assert.deepEqual(JSON.parse(verified.stdout).manifest.links, { "/etc/link": "words" });
    }
    const tree = built(home.run("rootfs", "--base", base, "-o", join(home.path, "trees"), "--json"));
    assert.equal(readFileSync(join(tree.directory, "etc/link"), "utf8"), "words of the base");
  });

  const bootDirectory = process.env["NEX_TEST_BOOT_DIRECTORY"];
  const withoutKernel = bootDirectory === undefined ? { skip: "there is no kernel of machines here" } : {};
  test("verify finds a damaged kernel beside a tree", withoutKernel, () => {
    using home = new PlainHome();
    const { directory } = built(home.run("rootfs", "-o", home.path, "--json"));
    const kernel = join(home.path, "boot/vmlinux");
    cpSync(join(bootDirectory ?? "", "boot"), join(home.path, "boot"), { recursive: true });
    const whole = home.run("rootfs", "verify", directory);
    assert.equal(whole.status, 0, whole.stderr);
    assert.match(whole.stdout, /boot\/vmlinux, .*boot\/initramfs: as they were written/);
    const bytes = readFileSync(kernel);
    bytes[5_000_000] = (bytes[5_000_000] ?? 0) ^ 1;
    writeFileSync(kernel, bytes);
    const damaged = home.run("rootfs", "verify", directory);
    assert.notEqual(damaged.status, 0);
    assert.match(damaged.stderr, /boot\/vmlinux has another content/);
    rmSync(`${kernel}.json`);
    assert.match(home.run("rootfs", "verify", directory).stderr, /has no manifest/);
  });

  test("says what is wrong with an image, a size or a kernel, and writes nothing", asPlainUser, () => {
    using home = new PlainHome();
    const image = join(home.path, "x.ext4");
    writeFileSync(image, "no image");
    const failures: Record<string, string[]> = {
      "damaged|e2fsck": ["verify", image],
      "not there": ["verify", join(home.path, "none")],
      "no shell to run it": ["-o", home.path, "--script", "x.sh"],
      "Cannot fetch the image": ["-o", home.path, "--image", "alpine"],
      "base.*not there": ["-o", home.path, "--base", join(home.path, "none")],
      "--size is for": ["-o", home.path, "--size", "64MiB"],
      "nowhere.*not there": [
        "--format",
        "ext4",
        "-o",
        `${image}2`,
        "--kernel",
        "nowhere",
        "--busybox",
        "none",
      ],
    };
    for (const [message, args] of Object.entries(failures)) {
      const { status, stderr } = home.run("rootfs", ...args);
      assert.notEqual(status, 0);
      assert.match(stderr, new RegExp(`^Error: .*(?:${message})`));
    }
    assert.equal(existsSync(`${image}2`), false);
  });

  test("says that an agent's bundle is not there", asPlainUser, () => {
    using home = new PlainHome();
    const { status, stderr } = home.run("rootfs", "-o", home.path, "--agent", "nowhere.mjs");
    assert.notEqual(status, 0);
    assert.match(stderr, /^Error: .*nowhere\.mjs/);
  });
});

describe("nex preflight", () => {
  test("finds that containers work, as a node then takes them", inContainers, async () => {
    using home = new NexHome();
    const rootfs_directory = testDriverFiles().rootfsDirectory;
    const config = home.write("config.json", { container: { rootfs_directory } });
    const { status, stdout, stderr } = await home.run(["node", "preflight", "--json", "--config", config]);
    assert.equal(status, 0, stderr);
    const { sandbox, findings, trials } = JSON.parse(stdout);
    assert.equal(sandbox, "container");
    assert.deepEqual(
      trials.map(({ kind }: { kind: string }) => kind),
      ["firecracker", "qemu", "container", "process"],
    );
    assert.equal(findings[0].text, `configuration: "${config}"`);
    assert.equal(stderr, "");
  });

  test("leaves no rootfs with --check, and finds the same", inContainers, async () => {
    using home = new NexHome();
    const rootfs_directory = join(home.path, "rootfs");
    const config = home.write("config.json", { container: { rootfs_directory } });
    const checked = await home.run(["node", "preflight", "--check", "--json", "--config", config]);
    assert.equal(checked.status, 0, checked.stderr);
    assert.equal(JSON.parse(checked.stdout).sandbox, "container");
    assert.equal(existsSync(rootfs_directory), false);
  });

  test("says to a user who is not root why there are no containers, and ends with 5", asPlainUser, () => {
    using home = new PlainHome();
    const { status, stdout, stderr } = home.run("preflight");
    assert.equal(status, 5);
    assert.match(stdout, /^– container: .*does not run as root/m);
    assert.match(stdout, /To have it: Run the node as root/);
    assert.match(stdout, /^✔ process: works, and isolates nothing$/m);
    assert.match(stderr, /^Error: No node can start here as it is configured \(sandbox auto\)$/m);
    const asJson = home.run("preflight", "--json");
    assert.equal(asJson.status, 5);
    assert.equal(JSON.parse(asJson.stdout).sandbox, null);
  });

  test("is content with plain processes where the configuration says so", asPlainUser, () => {
    using home = new PlainHome();
    writeFileSync(join(home.path, "config.json"), JSON.stringify({ sandbox: "process" }));
    const { status, stdout } = home.run("preflight");
    assert.equal(status, 0, stdout);
    assert.match(stdout, /machines of the kind process$/m);
  });

  for (const kind of ["sandbox", "nosandbox"]) {
    test(
      `writes a configuration with --init ${kind}, which it then reads without a word`,
      asPlainUser,
      () => {
        using home = new PlainHome();
        const first = home.run("preflight", "--init", kind, "--json");
        assert.match(first.stderr, /^Wrote "\.\/config\.json"$/m);
        const second = home.run("preflight", "--json");
        assert.doesNotMatch(second.stderr, /Note:|Wrote|Left/);
        const { findings, sandbox } = JSON.parse(second.stdout);
        assert.deepEqual([findings[0].ok, findings[0].text], [true, 'configuration: "./config.json"']);
        assert.equal(sandbox, kind === "sandbox" ? null : "process");
      },
    );
  }

  test("never writes over a configuration, and writes none with --check", asPlainUser, () => {
    using home = new PlainHome();
    const path = join(home.path, "config.json");
    home.run("preflight", "--init", "sandbox", "--check");
    assert.equal(existsSync(path), false);
    writeFileSync(path, '{"sandbox":"process"}');
    const { status, stderr } = home.run("preflight", "--init", "sandbox");
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^Left "\.\/config\.json" as it is$/m);
    assert.equal(readFileSync(path, "utf8"), '{"sandbox":"process"}');
  });

  test("installs nothing that is not pinned, and says where the hash stands", onX64, () => {
    using home = new PlainHome();
    const refused = (message: RegExp, status: number, ...args: string[]): void => {
      const ended = home.run("preflight", "--install", ...args);
      assert.equal(ended.status, status, ended.stderr);
      assert.match(ended.stderr, message);
    };
    const url = "http://127.0.0.1:1/x";
    const hash = "0".repeat(64);
    refused(
      /without --firecracker-sha256: nothing is taken unverified[\s\S]*x\.sha256\.txt/,
      2,
      "--firecracker-url",
      url,
    );
    refused(/without --kernel-sha256/, 2, "--kernel-url", url);
    refused(/without --busybox-url/, 2, "--busybox-sha256", hash);
    refused(/is no address/, 2, "--firecracker-url", "file:///x", "--firecracker-sha256", hash);
    refused(/is no SHA-256/, 2, "--firecracker-url", url, "--firecracker-sha256", "short");
    refused(
      /Cannot install Firecracker from .*: the download failed/,
      5,
      "--firecracker-url",
      url,
      "--firecracker-sha256",
      hash,
    );
    assert.equal(existsSync(join(home.path, ".cache", "nex", "firecracker-1.12.1")), false);
  });

  test("installs nothing with --check", onX64, () => {
    using home = new PlainHome();
    const { stderr } = home.run("preflight", "--check", "--install", "--kernel-url", "http://127.0.0.1:1/x");
    assert.doesNotMatch(stderr, /Cannot install/);
  });

  test("names what is wrong with a configuration, and warns of what changes nothing", asPlainUser, () => {
    using home = new PlainHome();
    const path = join(home.path, "config.json");
    writeFileSync(path, '{"sandbox":"jail"}');
    const wrong = home.run("preflight");
    assert.equal(wrong.status, 5);
    assert.match(wrong.stdout, /^✘ configuration: .*sandbox/m);
    writeFileSync(path, '{"sandbox":"process","colour":"red"}');
    assert.match(home.run("preflight").stderr, /Note: unknown configuration key "colour"/);
  });
});
