/**
 * The forms in which a function may be written: Go Nex's (a script whose value is a function), CommonJS
 * (`module.exports`), and an ES module with a default export.
 */
import { isNativeError } from "node:util/types";
import { compileFunction, Script, SourceTextModule } from "node:vm";
import type { Globals } from "@nexengine/protocol/agent";
import { errorText, NexError } from "@nexengine/protocol/errors";
import type { Realm } from "./realm.ts";

/** A function that was found in a source text, and how to find it again from the text. */
export interface FoundFunction {
  form: "script" | "commonjs" | "module";
  /** How long its globals live unless the deploy says otherwise. */
  globals: Globals;
  /** Evaluates the source anew. */
  evaluate(): unknown | Promise<unknown>;
}

const filename = "function.js";

/**
 * Finds out in which form a source is written, without running it.
 *
 * @throws NexError `artifact_invalid` with the place of a syntax error.
 */
export function findFunction(source: string, realm: Realm): FoundFunction {
  const scriptError = syntaxErrorOf(() => new Script(source, { filename }));
  if (scriptError === undefined) {
    return usesExports(source) ? commonJsForm(source, realm) : scriptForm(source, realm);
  }
  const moduleError = syntaxErrorOf(() => parseModule(source, realm));
  if (moduleError === undefined) return moduleForm(source, realm);
  throw isModuleLike(source) ? moduleError : scriptError;
}

function usesExports(source: string): boolean {
  return /\bmodule\s*\.\s*exports\b|\bexports\s*\.\s*[\w$]+\s*=|\bmodule\s*\[/.test(source);
}

function isModuleLike(source: string): boolean {
  return /^\s*(?:import\b(?!\s*\()|export\b)/m.test(source);
}

function scriptForm(source: string, realm: Realm): FoundFunction {
  // Its stacks name the function as those of the other forms do.
  const named = `${source}\n//# sourceURL=${filename}`;
  return {
    form: "script",
    globals: "fresh",
    evaluate: () => demandFunction(realm.api.evaluate(named), "the value of the script"),
  };
}

function commonJsForm(source: string, realm: Realm): FoundFunction {
  const body: unknown = compileFunction(source, ["module", "exports", "require"], {
    filename,
    parsingContext: realm.context,
    importModuleDynamically: realm.refuseImport,
  });
  return {
    form: "commonjs",
    globals: "keep",
    evaluate: () => {
      const { module, require } = realm.api.moduleScope();
      Reflect.apply(body as (...args: unknown[]) => void, undefined, [module, module.exports, require]);
      return demandFunction(defaultOf(module.exports), "module.exports");
    },
  };
}

function moduleForm(source: string, realm: Realm): FoundFunction {
  return {
    form: "module",
    globals: "keep",
    evaluate: async () => {
      const module = parseModule(source, realm);
      await module.link(realm.refuseImport);
      await module.evaluate();
      const exported = module.namespace as { default?: unknown };
      return demandFunction(exported.default, "the default export");
    },
  };
}

function parseModule(source: string, realm: Realm): SourceTextModule {
  return new SourceTextModule(source, {
    identifier: filename,
    context: realm.context,
    importModuleDynamically: realm.refuseImport,
  });
}

/** A bundler puts a default export below `default`. */
function defaultOf(exported: unknown): unknown {
  if (typeof exported !== "object" || exported === null) return exported;
  return (exported as { default?: unknown }).default;
}

function demandFunction(value: unknown, what: string): unknown {
  if (typeof value === "function") return value;
  throw new NexError(
    "artifact_invalid",
    `the source has no function: ${what} is ${value === null ? "null" : `of the type ${typeof value}`}`,
  );
}

function syntaxErrorOf(compile: () => unknown): NexError | undefined {
  try {
    compile();
    return undefined;
  } catch (cause) {
    // The error may be of the function's realm, so no instance of this one's Error.
    const { message, stack } = isNativeError(cause) ? cause : { message: errorText(cause), stack: "" };
    const line = /function\.js:(\d+)/.exec(stack ?? "")?.[1];
    const text = line === undefined ? message : `${message} (line ${line})`;
    return new NexError("artifact_invalid", `the source has a syntax error: ${text}`, { cause });
  }
}
