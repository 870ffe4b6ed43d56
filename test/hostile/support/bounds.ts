/** The bounds of a hostile run: a control group around everything, and a small file system in memory. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OuterCgroup } from "./outer-cgroup.ts";

const tmpfsOptions = "size=900m,nr_inodes=100000,mode=711";
const sourcePrefix = "nex-hostile-";

/** Bounds that this process has put around itself; given back at the end of their scope, or of the process. */
export class Bounds implements AsyncDisposable {
  readonly cgroup: OuterCgroup;
  /** The file system; it is also the directory for temporary files while the bounds stand. */
  readonly directory: string;
  readonly #previousTmp = process.env["TMPDIR"];
  readonly #release = (): void => this.#unmount();

  constructor() {
    unmountAbandoned();
    this.directory = mkdtempSync(join(tmpdir(), "nex-hostile-"));
    process.once("exit", this.#release);
    mount(`${sourcePrefix}${process.pid}`, this.directory);
    process.env["TMPDIR"] = this.directory;
    this.cgroup = new OuterCgroup();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cgroup[Symbol.asyncDispose]();
    this.#unmount();
  }

  #unmount(): void {
    process.off("exit", this.#release);
    if (this.#previousTmp === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = this.#previousTmp;
    unmount(this.directory);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The mounts of this process, a line each. */
export function mountsNow(): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
}

function mount(source: string, directory: string): void {
  execFileSync("mount", ["-t", "tmpfs", "-o", tmpfsOptions, source, directory]);
}

/** Also while something still has a file of it open. */
function unmount(directory: string): void {
  try {
    execFileSync("umount", ["-l", directory], { stdio: "ignore" });
  } catch {}
}

function unmountAbandoned(): void {
  for (const line of mountsNow()) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , , , directory = ""] = before.split(" ");
    const pid = after.split(" ")[1]?.replace(sourcePrefix, "") ?? "";
    if (!/^tmpfs nex-hostile-\d+ /.test(after) || existsSync(`/proc/${pid}`)) continue;
    unmount(directory);
    rmSync(directory, { recursive: true, force: true });
  }
}
