/** Names of the files in a machine's directory that QEMU opens. */
import { controlName } from "../microvm/layout.ts";

/** File names passed to QEMU. They are relative to the machine's directory, so that long paths work. */
export const names = {
  frames: "frames.sock",
  calls: "calls.sock",
  control: controlName,
  config: "config.img",
  orders: "orders.sock",
  migration: "migration.sock",
} as const;
