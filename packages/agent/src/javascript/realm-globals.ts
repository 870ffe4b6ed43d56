/** Keeps the intrinsics and globals of a realm from one call to the next. */
import type { GlobalsKeeper } from "./realm-types.ts";

/** Handed over as source text: it must not refer to anything outside itself. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: its parts can't stand outside of it
export function keepGlobals(): GlobalsKeeper {
  const global = globalThis as unknown as Record<PropertyKey, unknown>;
  const { ownKeys, getOwnPropertyDescriptor, defineProperty, deleteProperty, getPrototypeOf, apply } =
    Reflect;
  const { freeze } = Object;
  const RealmTypeError = TypeError;
  const RealmMap = Map;
  const { isView } = ArrayBuffer;
  /** Objects whose members others inherit: their data members become accessors, so that own members can be set. */
  const repairOverrides = (prototype: object): void => {
    for (const key of ownKeys(prototype)) {
      if (typeof key !== "string" || key === "then" || key === "exec") continue;
      const own = getOwnPropertyDescriptor(prototype, key);
      if (own === undefined || !("value" in own) || !own.configurable) continue;
      const { value } = own;
      if (key === "constructor" && (prototype === Promise.prototype || prototype === RegExp.prototype))
        continue;
      defineProperty(prototype, key, {
        get: () => value,
        set(this: object, next: unknown) {
          if (this === prototype) throw new RealmTypeError(`Cannot change ${key} of an intrinsic`);
          defineProperty(this, key, { value: next, writable: true, enumerable: true, configurable: true });
        },
        enumerable: own.enumerable ?? false,
        configurable: false,
      });
    }
  };
  const freezeIntrinsics = (): void => {
    noteDefinitions(Object, "defineProperty");
    noteDefinitions(Object, "defineProperties");
    noteDefinitions(Reflect, "defineProperty");
    const seen = new Set<object>();
    const prototypes: object[] = [];
    const pending: unknown[] = [
      function* () {},
      async () => {},
      async function* () {},
      (function* () {})(),
      (async function* () {})(),
      [][Symbol.iterator](),
      new RealmMap()[Symbol.iterator](),
      new Set()[Symbol.iterator](),
      ""[Symbol.iterator](),
      "".matchAll(/(?:)/g),
      () => {},
    ];
    for (const key of ownKeys(global)) pending.push(getOwnPropertyDescriptor(global, key)?.value);
    while (pending.length > 0) {
      const next = pending.pop();
      if ((typeof next !== "object" && typeof next !== "function") || next === null) continue;
      if (next === global || seen.has(next)) continue;
      seen.add(next);
      pending.push(getPrototypeOf(next));
      for (const key of ownKeys(next)) {
        const own = getOwnPropertyDescriptor(next, key);
        if (own === undefined) continue;
        const { value } = own;
        if (
          key === "prototype" &&
          ((typeof value === "object" && value !== null) || value === Function.prototype)
        ) {
          prototypes.push(value);
        }
        pending.push(own.value, own.get, own.set);
      }
    }
    for (const prototype of prototypes) repairOverrides(prototype);
    for (const value of seen) {
      // A typed array can't be frozen; those of the set-up are not reachable.
      if (!isView(value)) freeze(value);
    }
  };

  let baseline = new RealmMap<PropertyKey, PropertyDescriptor>();
  /** Has nothing been added that shows, nothing removed, and no value replaced? Costs less than a look at each. */
  let untouched = (): boolean => false;
  /** Something was defined that may not show. */
  let defined = false;
  const { keys: enumerable, getOwnPropertySymbols } = Object;
  // biome-ignore lint/security/noGlobalEval: globals are compared fastest by code that names them
  const indirectEval = eval;
  const remember = (): void => {
    baseline = new RealmMap();
    const names: string[] = [];
    const values: unknown[] = [];
    for (const key of ownKeys(global)) {
      const own = getOwnPropertyDescriptor(global, key);
      if (own === undefined) continue;
      baseline.set(key, own);
      if (typeof key !== "string" || !("value" in own) || !own.writable || !/^[A-Za-z_$][\w$]*$/.test(key))
        continue;
      names.push(key);
      values.push(own.value);
    }
    const enumerableCount = enumerable(global).length;
    const symbolCount = getOwnPropertySymbols(global).length;
    const source = `((values) => {
      const [${names.map((_, at) => `v${at}`).join()}] = values;
      return () => ${names.map((name, at) => `${name} === v${at}`).join(" && ")};
    })`;
    const same = (indirectEval(source) as (values: unknown[]) => () => boolean)(values);
    untouched = () => {
      if (defined) return false;
      try {
        return (
          same() &&
          enumerable(global).length === enumerableCount &&
          getOwnPropertySymbols(global).length === symbolCount
        );
      } catch {
        // One of them is gone.
        return false;
      }
    };
  };
  /** Functions that can add members without listing them report it here. */
  const noteDefinitions = (holder: object, name: string): void => {
    const original = (holder as Record<string, unknown>)[name] as (...args: unknown[]) => unknown;
    const noting = {
      [name](...args: unknown[]) {
        defined = true;
        return apply(original, undefined, args);
      },
    }[name] as (...args: unknown[]) => unknown;
    defineProperty(noting, "length", { value: original.length, configurable: true });
    defineProperty(holder, name, { value: noting, writable: true, configurable: true });
  };
  const same = Object.is;
  const restore = (): void => {
    if (untouched()) return;
    defined = false;
    const keys = ownKeys(global);
    let known = 0;
    for (const key of keys) {
      const was = baseline.get(key);
      if (was === undefined) {
        if (!deleteProperty(global, key)) global[key] = undefined;
        continue;
      }
      known++;
      if (!same(was.value, global[key]) && was.get === undefined) defineProperty(global, key, was);
    }
    if (known === baseline.size) return;
    for (const [key, was] of baseline) {
      if (getOwnPropertyDescriptor(global, key) === undefined) defineProperty(global, key, was);
    }
  };
  return { freeze: freezeIntrinsics, remember, restore };
}
