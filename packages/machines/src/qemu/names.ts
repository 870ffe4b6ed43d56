import { controlName } from "../microvm/layout.ts";

/** The names that QEMU is told. It runs in the directory of the machine, so that a long path does no harm. */
export const names = {
  frames: "frames.sock",
  calls: "calls.sock",
  control: controlName,
  config: "config.img",
  orders: "orders.sock",
  migration: "migration.sock",
} as const;
