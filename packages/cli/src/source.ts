/** Finds out what kind of file it is, and which bytes of it are deployed. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { basename, dirname, extname, resolve } from "node:path";
import type { LocalArtifact } from "@nexengine/client";
import { errorText, NexError } from "@nexengine/protocol/errors";
import { looksLikeElf } from "@nexengine/protocol/formats";
import type { WorkloadType } from "@nexengine/protocol/messages";
import { printable } from "@nexengine/protocol/subjects";

const scriptExtensions = new Set([".js", ".mjs", ".cjs", ".ts", ".mts", ".cts"]);

/** The kinds by the names that people and the wire use. */
export const typeNames: Readonly<Record<string, WorkloadType>> = {
  native: "native",
  v8: "v8",
  javascript: "v8",
  wasm: "wasm",
};

/**
 * The type of a workload, from its file's first bytes and name.
 *
 * @throws NexError `file_not_found`, `artifact_invalid`
 */
export function typeOfFile(path: string): WorkloadType {
  const head = readHead(path);
  if (looksLikeElf(head)) return "native";
  if (head.length === 4 && head.readUInt32BE(0) === 0x0061736d) return "wasm";
  const extension = extname(path).toLowerCase();
  if (isScript(head) && !scriptExtensions.has(extension)) throw scriptRefused(path);
  if (scriptExtensions.has(extension)) return "v8";
  if (extension === ".wasm") return "wasm";
  throw new NexError(
    "artifact_invalid",
    `Cannot deploy "${path}": it is neither an ELF executable nor JavaScript nor Wasm`,
    {
      advice: "Name its type with: --type native|v8|wasm",
    },
  );
}

function isScript(head: Buffer): boolean {
  return head.subarray(0, 2).toString("latin1") === "#!";
}

function scriptRefused(path: string): NexError {
  const [, program = ""] = /^#![ \t]*([^\r\n]+)/.exec(readFileSync(path, "latin1").slice(0, 256)) ?? [];
  const kind = /\b(?:ba|da|k|z|a)?sh\b/.test(program) ? "a shell script" : "a script";
  return new NexError(
    "artifact_invalid",
    `Cannot deploy "${path}": it is ${kind} for ${printable(program)}, and machines have no interpreter`,
    {
      advice: "Deploy a static executable, or a function in JavaScript, TypeScript or Wasm",
    },
  );
}

function readHead(path: string): Buffer {
  const head = Buffer.alloc(4);
  try {
    const fd = openSync(path, "r");
    try {
      return head.subarray(0, readSync(fd, head, 0, 4, 0));
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    const reason =
      code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : errorText(cause);
    throw new NexError("file_not_found", `Cannot deploy "${path}": ${reason}`, { cause });
  }
}

/**
 * The bytes to upload for a file: the file itself, or one bundle for TypeScript and for a module that imports others.
 *
 * @throws NexError `artifact_invalid` with the place of a syntax error
 */
export async function artifactOf(path: string, type: WorkloadType): Promise<LocalArtifact> {
  if (type === "native" && isScript(readHead(path))) throw scriptRefused(path);
  if (type !== "v8") return { path };
  const source = readFileSync(path, "utf8");
  const isTypeScript = /\.[mc]?ts$/i.test(path);
  if (!isTypeScript && !importsOthers(source)) {
    await checkSyntax(path, source);
    return { path };
  }
  return { bytes: Buffer.from(isModule(source) ? await bundle(path) : await stripTypes(path, source)) };
}

function importsOthers(source: string): boolean {
  return /^\s*import\b(?!\s*\()|^\s*export\b[^;]*\bfrom\b|\brequire\s*\(/m.test(source);
}

function isModule(source: string): boolean {
  return /^\s*(?:import|export)\b|\brequire\s*\(|\bmodule\s*\.\s*exports\b/m.test(source);
}

/** Inside the bundle, without the sources' text: the agent names their places in errors. */
const sourceMap = { sourcemap: "inline", sourcesContent: false } as const;

async function bundle(path: string): Promise<Uint8Array> {
  const esbuild = await import("esbuild");
  try {
    const result = await esbuild.build({
      entryPoints: [resolve(path)],
      bundle: true,
      write: false,
      format: "esm",
      // Bundles the files of a package that need nothing of Node: functions run in a realm like a browser's worker.
      platform: "browser",
      conditions: ["worker", "module"],
      mainFields: ["browser", "module", "main"],
      define: { "process.env.NODE_ENV": '"production"' },
      target: "node24",
      ...sourceMap,
      absWorkingDir: dirname(resolve(path)),
      logLevel: "silent",
    });
    return result.outputFiles[0]?.contents ?? new Uint8Array();
  } catch (cause) {
    throw buildFailure(path, cause);
  }
}

async function stripTypes(path: string, source: string): Promise<string> {
  const esbuild = await import("esbuild");
  try {
    return (
      await esbuild.transform(source, {
        loader: "ts",
        target: "node24",
        logLevel: "silent",
        sourcefile: basename(path),
        ...sourceMap,
      })
    ).code;
  } catch (cause) {
    throw buildFailure(path, cause);
  }
}

/** A file that can't be parsed is refused here already, with the place of the error. */
async function checkSyntax(path: string, source: string): Promise<void> {
  const { Script } = await import("node:vm");
  try {
    new Script(source, { filename: path });
  } catch {
    // A module is no script: then the bundler's parser judges, which takes both.
    const esbuild = await import("esbuild");
    await esbuild
      .transform(source, { loader: "js", logLevel: "silent", sourcefile: basename(path) })
      .catch((cause: unknown) => {
        throw buildFailure(path, cause);
      });
  }
}

interface BuildMessage {
  text: string;
  location: { file: string; line: number; column: number } | null;
}

function buildFailure(path: string, cause: unknown): NexError {
  const first = (cause as { errors?: BuildMessage[] } | undefined)?.errors?.[0];
  if (first !== undefined) {
    const { location } = first;
    const elsewhere =
      location !== null && resolve(dirname(path), location.file) !== resolve(path)
        ? `${location.file}, `
        : "";
    const place =
      location === null ? "" : ` (${elsewhere}line ${location.line}, column ${location.column + 1})`;
    return new NexError("artifact_invalid", `Cannot deploy "${path}": ${first.text}${place}`, { cause });
  }
  return new NexError("artifact_invalid", `Cannot deploy "${path}": ${errorText(cause)}`, { cause });
}
