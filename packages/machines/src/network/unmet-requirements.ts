/** Checks whether this host can give machines egress. */
import { findProgram } from "../host/program.ts";
import type { ProgramRun } from "../host/run-program.ts";
import type { UnmetRequirement } from "../host/unmet-requirement.ts";
import { parseIpv4Network } from "../ipv4.ts";
import { findUnmetForwardingRequirement } from "./forwarding.ts";
import { hostRules } from "./host-rules.ts";
import { batch, guestDevice, linkPrefix, switchScript, tapCommands } from "./link.ts";
import { machineRules, routerRules } from "./machine-rules.ts";
import { type NetworkTool, networkTools, runTool } from "./tools.ts";

const networkBitsMax = 30;
/** Documentation addresses (RFC 5737), assigned to no host. */
const probeAddress = "192.0.2.1";
const probeTarget = { address: "192.0.2.2", prefixBits: 32, port: 9 };
const probeLink = `${linkPrefix}trial`;
const probeTable = `${linkPrefix}_trial`;

/** Finds an unmet requirement of loopback addresses for machines. */
export async function findUnmetLoopbackRequirement(): Promise<UnmetRequirement | undefined> {
  return await findMissing(["ip", "nsenter"]);
}

/**
 * Finds an unmet requirement of egress. Probes in a temporary network namespace.
 *
 * @param needsTap For microVMs, whose monitors use tap devices.
 */
export async function findUnmetEgressRequirement(
  network: string,
  needsTap: boolean,
): Promise<UnmetRequirement | undefined> {
  const { prefixBits = networkBitsMax + 1 } = parseIpv4Network(network) ?? {};
  if (prefixBits > networkBitsMax) {
    const advice = `Use the first address of a network with a prefix of at most ${networkBitsMax} bits, such as 100.127.0.0/16`;
    return { reason: `"${network}" is not an IPv4 network that machines can use`, advice };
  }
  return (
    (await findMissing(["nft", "ip", "nsenter", "unshare"])) ??
    (await findUnmetForwardingRequirement()) ??
    (await probe(needsTap))
  );
}

/** Lists foreign nftables chains that drop forwarded packets by default. */
export async function findForwardDrops(): Promise<string[]> {
  const { output } = await runTool("nft", ["list", "chains"]);
  return parseForwardDrops(output);
}

/** Parses the output of `nft list chains`. */
export function parseForwardDrops(listed: string): string[] {
  const drops: string[] = [];
  let table = "";
  let chain = "";
  for (const line of listed.split("\n").map((text) => text.trim())) {
    table = /^table (.+) \{$/.exec(line)?.[1] ?? table;
    chain = /^chain (.+) \{$/.exec(line)?.[1] ?? chain;
    if (/hook forward .*policy drop;$/.test(line)) drops.push(`chain ${chain} of table ${table}`);
  }
  return drops;
}

async function findMissing(tools: readonly NetworkTool[]): Promise<UnmetRequirement | undefined> {
  for (const tool of tools) {
    if ((await findProgram(tool)) !== undefined) continue;
    const advice = `Install it: apt-get install ${networkTools[tool]}`;
    return { reason: `the program "${tool}" is not installed`, advice };
  }
  return undefined;
}

/** Everything created is removed with the network namespace of its probe. The last probe creates nothing. */
async function probe(needsTap: boolean): Promise<UnmetRequirement | undefined> {
  const devices = batch([`link add ${probeLink} type veth peer name ${guestDevice}`]);
  const rules = hostRules(probeTable, new Map([[probeLink, probeAddress]]));
  const ownRules = (needsTap ? routerRules : machineRules)(probeAddress, [probeTarget], []);
  const advice =
    "Use a kernel with veth and nf_tables (inet, nat, ct, reject), and give the node CAP_NET_ADMIN";
  const probes: Probe[] = [
    {
      what: "can't create a veth pair",
      run: () => inProbe(["ip", "-batch", "-"], devices),
      advice,
    },
    {
      what: "can't load the packet filter rules of machines",
      run: () => inProbe(["nft", "-f", "-"], `${rules}${ownRules}`),
      advice,
    },
    {
      what: "does not let the node change its packet filter",
      run: () => runTool("nft", ["--check", "-f", "-"], rules),
      advice,
    },
    ...(needsTap ? monitorProbes : []),
  ];
  for (const { what, run, advice: whatToDo } of probes) {
    const { failure } = await run();
    if (failure !== undefined) return { reason: `the host ${what}. ${failure}`, advice: whatToDo };
  }
  return undefined;
}

interface Probe {
  what: string;
  run: () => Promise<ProgramRun>;
  advice: string;
}

const monitorProbes: readonly Probe[] = [
  {
    what: "can't create a tap device",
    run: () => inProbe(["ip", "-batch", "-"], batch(tapCommands())),
    advice: "Load the kernel module tun, and make sure that /dev/net/tun exists",
  },
  {
    what: "can't enable forwarding in a network namespace",
    run: () => inProbe(["sh", "-e"], switchScript({ "ipv4/ip_forward": 1 })),
    advice: "Run the node where /proc/sys/net is writable",
  },
];

async function inProbe(command: readonly string[], input: string): Promise<ProgramRun> {
  return await runTool("unshare", ["--net", "--", ...command], input);
}
