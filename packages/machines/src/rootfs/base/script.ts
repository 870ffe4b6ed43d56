/** Runs the script of a rootfs in namespaces of its own. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { MachineError } from "../../errors.ts";
import { findProgram } from "../../host/program.ts";
import { runProgram } from "../../host/run-program.ts";
import { callProgram } from "../call-program.ts";
import type { FileTree } from "../file-tree.ts";
import type { RootfsScript } from "../options.ts";

const timeoutMsDefault = 600_000;
const probeTimeoutMs = 10_000;
const scriptBytesMax = 1_048_576;
const tailCharactersMax = 500;
const shell = "/bin/sh";
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const number = { chdir: 80, pivotRoot: 155, unmount: 166 } as const;
const detach = 2;

/** Flags for new namespaces of every kind: no network, no host processes, and private mounts. */
const namespaces = ["--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--net", "--ipc", "--uts"];
/** Adds a user namespace, in which root owns only the caller's files. */
const userNamespace = ["--user", "--map-root-user"];

/**
 * Shell script between the new namespaces and the user's script: mounts what programs expect, and makes the tree the
 * root. The final program is passed in, because no host program is available after the root has changed.
 */
const prepare = `
set -e
mount --rbind "$1" "$1"
cd "$1"
mount -t tmpfs -o mode=755,size=1m dev dev
for name in null zero full random urandom; do
  : >"dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
ln -s /proc/self/fd dev/fd
mount -t proc proc proc 2>/dev/null || :
mount -t tmpfs -o mode=1777,size=256m tmp tmp
mount -t tmpfs -o mode=755,size=4m nex nex
head -c "$2" >nex/enter
cat >nex/script
chmod 755 nex/enter
ulimit -f 16777216
exec env -i "PATH=$3" HOME=/root TERM=dumb nex/enter ${shell} /nex/script </dev/null
`;

/**
 * Runs a script in a tree, as root of new namespaces, without network and with the tree as its only file system.
 *
 * @param root The tree, as a directory that only this process writes to.
 * @param tree The same tree as a plan.
 * @throws MachineError `rootfs_failed` if the script can't run, fails or times out.
 */
export async function runScript(root: string, script: RootfsScript, tree: FileTree): Promise<void> {
  const failed = (why: string, cause?: unknown): MachineError =>
    new MachineError("rootfs_failed", `Cannot run the script "${script.path}" in the base: ${why}`, {
      cause,
    });
  const text = await readFile(script.path).catch((cause: Error) => {
    throw failed("it can't be read", cause);
  });
  if (text.length > scriptBytesMax) throw failed(`it has more than ${scriptBytesMax} bytes`);
  if (tree.find(shell) === undefined) throw failed(`the base has no ${shell}`);
  const program = await findProgram("/usr/bin/unshare");
  if (process.platform !== "linux" || process.arch !== "x64" || program === undefined) {
    throw failed('that takes Linux on x64, and "unshare" of util-linux');
  }
  const options = await namespaceOptions(program, failed);
  const enter = enterProgram();
  const args = [...options, "/bin/sh", "-c", prepare, "sh", root, String(enter.length), searchPath];
  const why = await run(program, args, Buffer.concat([enter, text]), script);
  if (why !== undefined) throw failed(why);
}

/** @returns the namespaces that this host allows, found by probing. */
async function namespaceOptions(
  program: string,
  failed: (why: string, cause?: unknown) => MachineError,
): Promise<string[]> {
  const withUser = [...userNamespace, ...namespaces];
  const attempts = process.getuid?.() === 0 ? [withUser, namespaces] : [withUser];
  let why: string | undefined;
  for (const options of attempts) {
    const { failure } = await runProgram(program, [...options, "/bin/true"], { timeoutMs: probeTimeoutMs });
    if (failure === undefined) return options;
    why = failure;
  }
  throw failed(
    `this host lets us have no namespaces (${why}); allow user namespaces, run this as root on a host that does, or give a base in which the script has been run`,
  );
}

/** Makes the current directory the root, and detaches the previous root. */
function enterProgram(): Buffer {
  const [here, top] = [Buffer.from(".\0"), Buffer.from("/\0")];
  return callProgram(
    [
      { number: number.pivotRoot, args: [here, here] },
      { number: number.unmount, args: [here, detach] },
      { number: number.chdir, args: [top] },
    ],
    "execute",
  );
}

/** @returns the reason of a failure. */
async function run(
  program: string,
  args: readonly string[],
  input: Buffer,
  { timeoutMs = timeoutMsDefault, onOutput }: RootfsScript,
): Promise<string | undefined> {
  let tail = "";
  let isLate = false;
  const child = spawn(program, [...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: searchPath, LC_ALL: "C" },
  });
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString("utf8")).slice(-tailCharactersMax);
    onOutput?.(chunk);
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  // A script that exits early does not read all its input.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  child.once("error", (error) => resolve(error.message));
  child.once("close", (code, signal) => {
    const said = tail.trim().split("\n").at(-1) ?? "";
    const how = code === null ? `it was ended by ${signal}` : `it ended with ${code}`;
    resolve(code === 0 ? undefined : said === "" ? how : `${how}: ${said}`);
  });
  try {
    const why = await promise;
    return isLate ? `it took longer than ${timeoutMs} ms` : why;
  } finally {
    clearTimeout(timer);
  }
}
