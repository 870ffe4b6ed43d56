/**
 * Every block of README and docs: shell blocks are typed in their order, programs are checked and run, configurations are
 * read as a node reads them. A block that can't run here says why in a marker above it, see `support/doc-blocks.ts`.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { readConfigFile } from "@nexengine/node/internal";
import { createKey } from "@nexengine/protocol";
import { signEndorsement, signerOfSeed } from "@nexengine/protocol/tokens";
import {
  compileC,
  echoFunctionPath,
  startTestNexus,
  startTestNode,
  unmetSandboxRequirement,
  until,
} from "@nexengine/testing";
import { Identity } from "../packages/node/src/state/identity.ts";
import { blocksOf, commandsOf, type DocBlock, documents } from "./support/doc-blocks.ts";
import { DocPlace, hasProgram } from "./support/doc-place.ts";

const root = join(import.meta.dirname, "..");

/** Things that the reader of a document has and the document does not make, and values for its placeholders. */
interface DocReader {
  prepare?(place: DocPlace, stack: AsyncDisposableStack): Promise<void>;
  /** The command as it is typed. */
  type?(command: string, place: DocPlace, stack: AsyncDisposableStack): string | Promise<string>;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** A service that only stays. */
async function writeService(place: DocPlace, name: string): Promise<void> {
  const source = place.write(`${name}.c`, "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n");
  const built = await compileC(source);
  if (built !== undefined) copyFileSync(built.path, join(place.path, name));
}

async function upHere(place: DocPlace): Promise<void> {
  const up = await place.type("nex up --sandbox process");
  assert.match(up.output, /Ctrl-C here/);
}

/** A request that makes a stream, as it is typed. */
function streamRequest(name: string, subject: string): string {
  const body = JSON.stringify({ name, subjects: [subject], max_msgs_per_subject: -1 });
  return `nex request '$JS.API.STREAM.CREATE.${name}' '${body}'`;
}

const readers: Readonly<Record<string, DocReader>> = {
  "README.md": {
    prepare: (place) => writeService(place, "site"),
    type: async (command) => command.replace("8080:", `${await freePort()}:`),
  },
  "docs/tutorial.md": {
    // The sandboxes of this host have tests of their own.
    type: (command) => (command === "nex up" ? "nex up --sandbox process" : command),
  },
  "docs/guide/http.md": { prepare: upHere },
  "docs/guide/services.md": {
    prepare: async (place) => {
      await upHere(place);
      await writeService(place, "hello");
      copyFileSync(join(root, "examples/echo/service-go/go.mod"), join(place.path, "go.mod"));
      place.write("hello.go", "package main\n\nfunc main() {}\n");
    },
  },
  "docs/guide/triggers.md": {
    prepare: upHere,
    // The command line of NATS is not everywhere.
    type: (command) =>
      command
        .replace(/^nats stream add (\S+) --subjects "(.*)" --defaults$/, (_, name, subject) =>
          streamRequest(name, subject),
        )
        .replace(/^nats kv add (\S+)$/, (_, name) => streamRequest(`KV_${name}`, `$KV.${name}.>`)),
  },
  "docs/guide/permissions.md": {
    prepare: async (place) => {
      await upHere(place);
      copyFileSync(echoFunctionPath, join(place.path, "echo.js"));
      for (const name of ["acme-account.nk", "nodes-signing.nk"])
        place.write(name, createKey("account").seed);
      const made = await place.type("nex keys tenant orders.creds --key acme-account.nk");
      assert.equal(made.status, 0, made.output);
    },
    type: (command) =>
      command.replace("N…", createKey("node").publicKey).replace("A…", createKey("account").publicKey),
  },
  "docs/guide/trust.md": {
    prepare: async (place) => {
      copyFileSync(echoFunctionPath, join(place.path, "echo.js"));
      mkdirSync(join(place.home, ".nex/nodes/1"), { recursive: true, mode: 0o700 });
    },
    type: async (command, place, stack) => {
      const { id: nodeId } = await Identity.open(join(place.home, ".nex/nodes/1"));
      if (command.includes("nex node up")) {
        const owner = signerOfSeed(readFileSync(join(place.path, "owner.nk"), "utf8"));
        const endorsement = signEndorsement({ nodeId, nexus: "prod" }, owner, 600, Date.now());
        place.write("node.json", { sandbox: "process", endorsement });
      }
      if (command.includes("nex lameduck")) {
        const { publicKey } = signerOfSeed(readFileSync(join(place.path, "ops.nk"), "utf8"));
        const config = { operators: [publicKey] };
        const node = stack.use(await startTestNode({ server: place.server.url, config }));
        return command.replace("NODE", node.id);
      }
      const key = command.includes("O…")
        ? signerOfSeed(readFileSync(join(place.path, "owner.nk"), "utf8")).publicKey
        : "";
      return command.replace("NODE_ID", nodeId).replace("O…", key);
    },
  },
};

/** Why a block can't be run here, if it can't. */
async function unmetRequirement({ notRun, needs }: DocBlock): Promise<string | undefined> {
  if (notRun !== undefined) return notRun;
  for (const need of needs) {
    const unmet =
      need === "container"
        ? await unmetSandboxRequirement("container")
        : hasProgram(need)
          ? undefined
          : `${need} is not here`;
    if (unmet !== undefined) return unmet;
  }
  return undefined;
}

/** The program that a command begins with, where it is one that may be missing. */
function programOf(command: string): string | undefined {
  return /^(?:[A-Z_0-9]+=\S+ )*(go|gcc)\b/.exec(command)?.[1];
}

async function runShell(
  block: DocBlock,
  place: DocPlace,
  stack: AsyncDisposableStack,
  context: TestContext,
): Promise<void> {
  const reader = readers[block.file];
  for (const written of commandsOf(block)) {
    const program = programOf(written);
    if (program !== undefined && !hasProgram(program)) {
      context.diagnostic(`${block.file}:${block.line}: ${program} is not here`);
      continue;
    }
    const command = (await reader?.type?.(written, place, stack)) ?? written;
    const { status, output } = await place.type(
      command.replaceAll("nats://127.0.0.1:4222", place.server.url),
    );
    assert.equal(status, block.exitStatus, `${block.file}:${block.line}: ${command}\n${output}`);
  }
}

/** Checks the types of a program, and runs it until it has printed something. */
async function runProgram(block: DocBlock, place: DocPlace): Promise<void> {
  await upHere(place);
  for (const [name, kind] of [
    ["issuer.nk", "account"],
    ["publisher.xk", "curve"],
  ] as const) {
    if (name !== "issuer.nk") place.write(name, createKey(kind).seed);
    else copyFileSync(join(place.home, ".nex/issuer.nk"), join(place.path, name));
  }
  const folder = join(root, ".nex", `docs-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    const text = block.text.replace("nats://127.0.0.1:4222", place.server.url);
    writeFileSync(join(folder, "block.ts"), text);
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({
        extends: "../../tsconfig.json",
        include: ["block.ts"],
        compilerOptions: { noUnusedLocals: false },
      }),
    );
    const tsc = join(root, "node_modules/.bin/tsc");
    await promisify(execFile)(tsc, ["-p", folder]).catch((error: { stdout: string }) =>
      assert.fail(error.stdout),
    );
    const child = spawn(process.execPath, ["--conditions=nex-src", join(folder, "block.ts")], {
      cwd: place.path,
      env: place.environment,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (chunk) => {
        output += chunk;
      });
    await until(() => output !== "" || child.exitCode !== null);
    child.kill("SIGTERM");
    await once(child, "close");
    assert.equal(output, "hello\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Reads a configuration as a node does; real keys stand for those that are only indicated. */
async function readConfig(block: DocBlock, place: DocPlace): Promise<void> {
  const text = block.text
    .replaceAll("A…", createKey("account").publicKey)
    .replace('"…"', `"${"0".repeat(64)}"`);
  const { warnings } = await readConfigFile(place.write("block.json", text));
  assert.deepEqual(warnings, []);
}

/** Deploys a function under its name, and calls it. */
async function runFunction(block: DocBlock): Promise<void> {
  await using nexus = await startTestNexus();
  await nexus.function(block.text, { name: "block" });
  assert.deepEqual(JSON.parse(await nexus.call("block", "hello")), { subject: "block", bytes: 5 });
}

for (const file of documents()) {
  const blocks = blocksOf(file);
  if (blocks.length === 0) continue;
  test(`the blocks of ${file} work as they stand`, async (context) => {
    await using stack = new AsyncDisposableStack();
    const place = stack.use(await DocPlace.open());
    await readers[file]?.prepare?.(place, stack);
    for (const block of blocks) {
      const unmet = await unmetRequirement(block);
      if (unmet !== undefined) context.diagnostic(`${file}:${block.line} is not run: ${unmet}`);
      else if (block.fileName !== undefined) place.write(block.fileName, `${block.text}\n`);
      else if (block.language === "sh") await runShell(block, place, stack, context);
      else if (block.language === "ts") await runProgram(block, place);
      else if (block.language === "js") await runFunction(block);
      else if (block.language === "json") await readConfig(block, place);
      else assert.fail(`${file}:${block.line}: nothing here tries a block of "${block.language}"`);
    }
  });
}

describe("the configuration for autostart", () => {
  test("finds what nex devrun has uploaded, under the key that it names", async () => {
    const block = blocksOf("docs/guide/nodes.md").find(({ text }) => text.includes("autostart"));
    const { autostart } = JSON.parse(block?.text ?? "{}");
    const [{ sha256: _, ...workload }] = autostart.workloads;
    await using nexus = await startTestNexus();
    const { nodeId, id, name } = await nexus.deploy(
      { path: echoFunctionPath },
      { name: workload.name, type: "v8", triggerSubjects: ["unused"] },
    );
    await nexus.stop({ nodeId, id, name } as never);
    await using _node = await startTestNode({
      server: nexus.server.url,
      config: { autostart: { workloads: [workload] } },
    });
    while ((await nexus.client.workloadDetails(name)).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(await nexus.call("hello", "there"), "there");
  });
});
