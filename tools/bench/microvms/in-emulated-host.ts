/** What runs in the emulated host. */
import { benchFirecrackerEmulated } from "../microvms.ts";

process.exitCode = (await benchFirecrackerEmulated()) ? 0 : 1;
