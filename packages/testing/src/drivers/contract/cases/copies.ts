import assert from "node:assert/strict";
import { test } from "node:test";
import type { Subject } from "../abilities.ts";
import { TestMachine } from "../test-machine.ts";

const copies = 8;
/** Maximum clock error, in ms. A copied clock would be wrong by at least the age of the template. */
const clockMsMax = 5_000;

/** State that copies of one machine must not share. */
export function copyCases({ driver, abilities }: Subject): void {
  const skip = abilities.copies === true ? {} : { skip: "machines are not copies of each other" };

  test("copies of a machine have separate entropy and the right time", skip, async () => {
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
