import assert from "node:assert/strict";
import { test } from "node:test";
import packageFile from "../package.json" with { type: "json" };
import * as mod from "./mod.ts";

/** The modules behind the doors by subject, by the name of the door. */
const doors = await Promise.all(
  Object.entries(packageFile.exports)
    .filter(([door]) => door !== ".")
    .map(async ([door, target]) => {
      const names = Object.keys(await import(`../${target["nex-src"]}`));
      return { door, names };
    }),
);

test("the doors by subject export everything that the public one exports", () => {
  const names = new Set(doors.flatMap((door) => door.names));
  for (const name of Object.keys(mod)) assert.ok(names.has(name), name);
});

test("a name stands in one door only", () => {
  const seen = new Map<string, string>();
  for (const { door, names } of doors) {
    for (const name of names) {
      assert.equal(seen.get(name), undefined, `${name} stands in ${door} too`);
      seen.set(name, door);
    }
  }
});
