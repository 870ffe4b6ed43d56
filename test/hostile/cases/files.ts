/** Files and processes of the host, of the node and of other machines, and the tricks of past escapes from runc. */
import assert from "node:assert/strict";
import type { Place } from "../support/place.ts";
import type { Check, ServiceCase } from "./case.ts";
import { allFail, broken, ends, held, ownKernel } from "./checks.ts";

function way(
  name: string,
  technique: string,
  outcome: string,
  argv: string | ((place: Place) => string[]),
  check: Check,
): ServiceCase {
  const args = typeof argv === "string" ? () => [argv] : argv;
  return { kind: "service", name, technique, outcome, onProcess: "not isolated", argv: args, check };
}

const readOnly = "Refused (EROFS)";

export const fileCases: readonly ServiceCase[] = [
  way(
    "a search for secrets",
    "Walks all files from `/`, and the roots of other processes, for a file of the host",
    "Not found",
    ({ secretName, secret, secretPath }) => ["file-search", secretName, secret, secretPath],
    held(/its path ENOENT, no walk found it$/),
  ),
  {
    ...way(
      "the node's files",
      "Opens the state directory of the node, the directories of other machines, a secret, the root of the first process's files",
      "Not there (ENOENT)",
      ({ paths }) => ["host-paths", ...paths],
      allFail("ENOENT"),
    ),
    triedOnProcess: true,
  },
  way(
    "a walk of /proc",
    "Looks for other processes, `kcore`, `kmsg`, `keys`, `timer_list` and the like",
    "Only its own machine",
    "proc-walk",
    held(/ENOENT/),
  ),
  {
    ...way(
      "facts of the host",
      "Reads how the host was booted, the addresses of its kernel and how busy it is (`cmdline`, `kallsyms`, `pressure`)",
      "Empty, or not there",
      "host-facts",
      held(/cmdline is empty/),
    ),
    inMicroVm: ownKernel,
  },
  way(
    "settings of the kernel",
    "Writes `core_pattern`, `modprobe`, `overcommit_memory`, `ip_forward`, `sysrq-trigger`",
    "Refused (EACCES, EROFS), or not there",
    "proc-writes",
    allFail("EACCES", "EROFS", "ENOENT"),
  ),
  way(
    "a walk of /sys",
    "Opens `uevent_helper`, control groups, devices",
    "There is no `/sys`",
    "sys-walk",
    allFail("ENOENT"),
  ),
  way(
    "the root file system",
    "Writes into `/`, `/etc` and over the agent's file",
    readOnly,
    "root-writes",
    held(/^held \/planted EROFS, .* E(ACCES|ROFS), .*planted.mjs EROFS$/),
  ),
  {
    ...way(
      "the channel directory",
      "Plants a link and a FIFO for the node to open; removes, renames and locks the node's own",
      readOnly,
      "channel-files",
      allFail("EROFS"),
    ),
    inMicroVm: { outcome: "Refused (EACCES), or not there", check: allFail("EACCES", "ENOENT") },
  },
  {
    ...way(
      "a second connection",
      "Connects to the agent's socket again, or opens its port",
      "Refused (ECONNREFUSED): the node takes one",
      "channel-again",
      held(/^held a second connection ECONNREFUSED, \/nex\/frames ENOENT$/),
    ),
    inMicroVm: {
      outcome: "Refused (EBUSY), or there is nothing to open",
      check: allFail("EBUSY", "ENOENT"),
    },
  },
  {
    ...way(
      "the channel of calls",
      "Opens it the wrong way, fills it and holds it",
      "Ended: what it writes there is no call of a host service",
      "channel-calls",
      broken(/a call of a host service/),
    ),
    inMicroVm: {
      outcome: "Ended likewise, or there is nothing to open",
      check: async (attack) => {
        await attack.until(
          "a verdict or an end",
          ({ lines, ends: told }) => lines.find((line) => /^(held|ESCAPED) /.test(line)) ?? told[0],
        );
        assert.doesNotMatch(attack.story.lines.join(), /ESCAPED/);
      },
    },
  },
  way(
    "/proc/self/exe",
    "Writes to the program that is being run, its own and the agent's (CVE-2019-5736)",
    "Refused (EACCES, EROFS, ETXTBSY)",
    "own-programs",
    allFail("EACCES", "EROFS", "ETXTBSY"),
  ),
  way(
    "leaked descriptors",
    "Goes up from every open directory and working directory (CVE-2024-21626)",
    "None leads outside",
    "descriptors",
    held(/none outside$/),
  ),
  {
    ...way(
      "signals outwards",
      "Signals the node by its number on the host, and kills the first process of its machine",
      "Not there (ESRCH), and the agent lives",
      ({ nodePid }) => ["signals", String(nodePid)],
      held(/^held kill ESRCH, pidfd_open ESRCH, the agent lives$/),
    ),
    inMicroVm: {
      outcome: "May meet the machine's own processes of that number; the agent lives",
      check: async (attack) => assert.match(await attack.verdict(), /, the agent lives$/),
    },
  },
  way(
    "the end of its agent",
    "Asks its own agent to end",
    "Its machine ends, and that is told of",
    "agent-end",
    ends(/exited|channel/),
  ),
  way(
    "the memory of its agent",
    "Overwrites its agent through `/proc/1/mem`",
    "May destroy its own machine, and no more; its end is told of",
    "agent-memory",
    async (attack) => {
      if (attack.refusal === undefined) await attack.end();
      else assert.equal(attack.refusal.code, "workload_not_started");
    },
  ),
];
