/** An auction: who bids for a workload, which bid is the best, and why nobody bids. */
import { NexError } from "@nexengine/protocol/errors";
import {
  type AuctionRequest,
  type AuctionWhyResponse,
  auctionWhyResponseSchema,
  type PingResponse,
  pingResponseSchema,
} from "@nexengine/protocol/messages";
import { auctionSubject, auctionWhySubject, pingSubject } from "@nexengine/protocol/subjects";
import { isPublicKey } from "@nexengine/protocol/tokens";
import { checkEndorsed, isRefusedAsGoNode, lacksNeed, missingFeature, type Needs } from "./needs.ts";
import { askAll } from "./scatter.ts";
import type { Session } from "./session.ts";
import { knowsBoundTokens } from "./tokens.ts";

/** Bids whose load differs by less are taken for equal, so that deploys spread. */
const loadStep = 0.25;
/** Load assumed for a node that does not report it, such as a Go node. */
const loadUntold = 0.5;
const reasonsShown = 6;

/** How the reasons of several nodes read: "lacks the tag gpu=yes" is told of one. */
const plurals: Readonly<Record<string, string>> = {
  is: "are",
  has: "have",
  lacks: "lack",
  does: "do",
  runs: "run",
  keeps: "keep",
};

/**
 * Holds an auction.
 *
 * @returns the best bid: one with our proofs before one of a Go node or a stranger, a ready machine before none, a sandbox
 *   before none, then the less loaded; by chance among equals.
 * @throws NexError `no_node` that tells why the nodes don't bid, `feature_missing`, `endorsement_invalid`
 */
export async function holdAuction(session: Session, needs: Needs): Promise<PingResponse> {
  const body = JSON.stringify(requestOf(session, needs));
  // Asked at the same time who is there at all: once they have answered, a bid that has not come will not.
  const pings = askAll(session, pingSubject, "", pingResponseSchema);
  pings.catch(() => undefined);
  const answers = await askAll(session, auctionSubject, body, pingResponseSchema, { stallAfter: pings });
  const bids = endorsedOf(
    session,
    answers.filter(({ node_id }) => isPublicKey(node_id, "N")),
  );
  const chosen = bestOf(bids.filter((bid) => missingFeature(bid.nex, needs) === undefined));
  if (chosen !== undefined) return chosen;
  const [refused] = bids;
  if (refused === undefined) throw await noBid(session, needs, body, (await pings).length);
  const missing = missingFeature(refused.nex, needs) ?? "";
  const nobody =
    bids.length === 1 ? "the one node that bids does not" : `none of the ${bids.length} nodes that bid does`;
  throw lacksNeed(needs, missing, `${nobody} know it`, isRefusedAsGoNode(session, needs));
}

/**
 * The bids of endorsed nodes of the nexus, where the client was given an endorser's key or a nexus.
 *
 * @throws NexError `endorsement_invalid` of the first, where there are others only.
 */
function endorsedOf(session: Session, bids: readonly PingResponse[]): readonly PingResponse[] {
  let firstRefusal: unknown;
  const endorsed = bids.filter((bid) => {
    try {
      checkEndorsed(session, bid.node_id, bid);
      return true;
    } catch (error) {
      firstRefusal ??= error;
      return false;
    }
  });
  if (endorsed.length === 0 && firstRefusal !== undefined) throw firstRefusal;
  return endorsed;
}

function requestOf(session: Session, needs: Needs): AuctionRequest {
  return {
    ...(needs.arch === undefined ? {} : { arch: needs.arch, os: "linux" }),
    ...(needs.tags === undefined ? {} : { tags: needs.tags }),
    workload_types: [needs.type],
    nex: {
      version: 1,
      namespace: session.namespace,
      ...(needs.issuer === undefined ? {} : { issuer: needs.issuer }),
      ...(needs.artifactBytes === undefined ? {} : { artifact_bytes: needs.artifactBytes }),
      ...(needs.limits === undefined ? {} : { limits: needs.limits }),
    },
  };
}

/** The best bid, by chance among equals. */
export function bestOf(
  bids: readonly PingResponse[],
  random: () => number = Math.random,
): PingResponse | undefined {
  const ranked = bids.map((bid) => ({ bid, rank: rankOf(bid) }));
  const best = ranked.reduce<readonly number[] | undefined>(
    (highest, { rank }) => (highest === undefined || compare(rank, highest) > 0 ? rank : highest),
    undefined,
  );
  const equals = ranked.filter(({ rank }) => best !== undefined && compare(rank, best) === 0);
  return equals[Math.floor(random() * equals.length)]?.bid;
}

function rankOf({ nex, tags }: PingResponse): readonly number[] {
  // A bid without our features may be anybody's, also where Go nodes are allowed. The proof is checked once it is chosen.
  const proven = knowsBoundTokens(nex) && nex?.xkey_proof !== undefined ? 1 : 0;
  // A node that does not report its ready machines counts as having one, as Go nodes do.
  const ready = (nex?.ready_machines ?? 1) > 0 ? 1 : 0;
  const sandboxed = tags?.["nex.unsafe"] === "true" || nex?.sandbox === "process" ? 0 : 1;
  return [proven, ready, sandboxed, -Math.floor((nex?.load ?? loadUntold) / loadStep)];
}

function compare(one: readonly number[], other: readonly number[]): number {
  const at = one.findIndex((value, index) => value !== other[index]);
  return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0);
}

async function noBid(session: Session, needs: Needs, body: string, nodes: number): Promise<NexError> {
  if (nodes === 0) {
    return new NexError("no_node", `Cannot deploy "${needs.name}": there is no node in this nexus`, {
      advice: "Start one with: nex node up, or start everything with: nex up",
    });
  }
  const answers = await askAll(session, auctionWhySubject, body, auctionWhyResponseSchema).catch(() => []);
  const told = answers.some(({ reasons }) => reasons.length > 0);
  const who = nodes === 1 ? "the one node there is does not" : `none of the ${nodes} nodes does`;
  const isOther = answers.some(({ reasons }) => reasons.some(({ code }) => code === "platform"));
  const why = told
    ? describeReasons(answers, Math.max(nodes, answers.length))
    : `asked for ${asked(needs)}, ${who}`;
  return new NexError("no_node", `No node accepts "${needs.name}": ${why}`, {
    advice:
      isOther && needs.arch !== undefined
        ? `The executable is built for ${processorOf(needs.arch)}; build it for the nodes' processor, see: nex node ls --full`
        : "See what the nodes offer with: nex node ls --full",
  });
}

function processorOf(arch: string): string {
  return arch === "arm64" ? "ARM (linux/arm64)" : `x86-64 (linux/${arch})`;
}

function asked({ type, arch, tags, limits }: Needs): string {
  return [
    `type ${type}`,
    ...(arch === undefined ? [] : [`linux/${arch}`]),
    ...Object.entries(tags ?? {}).map(([name, value]) => `tag ${name}=${value}`),
    ...Object.entries(limits ?? {}).map(([name, value]) => `${name} ${JSON.stringify(value)}`),
  ].join(", ");
}

/**
 * The reasons of nodes against a workload, and how many give each: "2 lack the tag gpu=yes, 1 is in lame duck mode".
 */
export function describeReasons(answers: readonly AuctionWhyResponse[], nodes: number): string {
  const counts = new Map<string, number>();
  for (const { reasons } of answers) {
    for (const text of new Set(reasons.map((reason) => reason.text))) {
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
  }
  const told = [...counts].sort(([, a], [, b]) => b - a);
  const parts = told
    .slice(0, reasonsShown)
    .map(([text, count]) => `${count} ${count === 1 ? text : pluralOf(text)}`);
  if (told.length > reasonsShown) parts.push("and more");
  const silent = nodes - answers.filter(({ reasons }) => reasons.length > 0).length;
  if (silent > 0) parts.push(`${silent} ${silent === 1 ? "does" : "do"} not say why`);
  return parts.join(", ");
}

function pluralOf(text: string): string {
  const [verb = ""] = text.split(" ", 1);
  const plural = plurals[verb];
  return plural === undefined ? text : plural + text.slice(verb.length);
}
