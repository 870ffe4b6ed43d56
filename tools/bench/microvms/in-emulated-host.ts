/** The benchmark that runs in the emulated host. */
import { benchFirecrackerEmulated } from "../microvms.ts";

if (!(await benchFirecrackerEmulated())) process.exitCode = 1;
