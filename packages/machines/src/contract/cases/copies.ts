import assert from "node:assert/strict";
import { test } from "node:test";
import type { Subject } from "../abilities.ts";
import { TestMachine } from "../test-machine.ts";

const copies = 8;
/** A clock that was copied would be wrong by the age of the template and more. */
const clockMsMax = 5_000;

/** What copies of one machine must not have in common. */
export function copyCases({ driver, abilities }: Subject): void {
  const skip = abilities.copies === true ? {} : { skip: "no machine is a copy of another" };

  test("copies of a machine have randomness of their own, and the right time", skip, async () => {
    const drawn: string[] = [];
    for (let count = 0; count < copies; count++) {
      await using machine = await TestMachine.ready(driver, abilities);
      const before = Date.now();
      const [bytes = "", time = ""] = (await machine.ask("random")).split(" ");
      assert.ok(
        Number(time) > before - clockMsMax && Number(time) < Date.now() + clockMsMax,
        `${time} ${before}`,
      );
      assert.match(bytes, /^[0-9a-f]{32}$/);
      drawn.push(bytes);
    }
    assert.equal(new Set(drawn).size, copies, drawn.join(" "));
  });
}
