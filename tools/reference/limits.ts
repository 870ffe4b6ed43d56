/** The page of limits: of a node, of requests by their subject, and of what all workloads share. */
import { budgetLimits } from "../../packages/node/src/budget/budget.ts";
import { nodeActions } from "../../packages/node/src/control-api/actions.ts";
import type { ActionContext } from "../../packages/node/src/control-api/context.ts";
import {
  requestsPerTurnMax,
  requestsWaitingMax,
  turnMsMax,
  waitingBytesMax,
} from "../../packages/node/src/control-api/dispatcher.ts";
import { defaultTuning } from "../../packages/node/src/options.ts";
import {
  jsonDepthMax,
  jsonValuesMax,
  locationPartBytesMax,
} from "../../packages/protocol/src/formats/mod.ts";
import {
  argumentBytesMax,
  argvCountMax,
  askedTagsMax,
  askedTypesMax,
  descriptionBytesMax,
  egressAllowMax,
  publishMax,
  triggerSubjectsMax,
} from "../../packages/protocol/src/messages/mod.ts";
import { namespaceBytesMax, workloadNameBytesMax } from "../../packages/protocol/src/subjects/mod.ts";
import { environmentBytesMax, tokenBytesMax } from "../../packages/protocol/src/tokens/mod.ts";

const requestLimits: readonly (readonly [string, number])[] = [
  ["levels of a body's JSON", jsonDepthMax],
  ["values in a body's JSON", jsonValuesMax],
  ["bytes of a token", tokenBytesMax],
  ["bytes of an environment, and of what is in `nex.sealed`, before sealing", environmentBytesMax],
  ["arguments (`argv`)", argvCountMax],
  ["characters of an argument", argumentBytesMax],
  ["characters of a description", descriptionBytesMax],
  ["characters of a part of `location`", locationPartBytesMax],
  ["trigger subjects", triggerSubjectsMax],
  ["entries of `egress_allow`", egressAllowMax],
  ["published ports", publishMax],
  ["tags that an auction may ask for", askedTagsMax],
  ["types of workload that an auction may name", askedTypesMax],
  ["bytes of a namespace", namespaceBytesMax],
  ["characters of a workload's name", workloadNameBytesMax],
  ["requests that are taken up in one turn of the node's loop", requestsPerTurnMax],
  ["milliseconds of a turn, after which the rest waits for the next", turnMsMax],
  ["requests that may wait; those beyond are refused", requestsWaitingMax],
  ["bytes of the bodies of all requests that wait", waitingBytesMax],
];

/** The page. @param generated The mark of a page that is written out of the code. */
export function limitsPage(generated: string): string {
  const rows = Object.entries(defaultTuning).map(([name, value]) => row([`\`${name}\``, value]));
  return [
    "# Limits of a node",
    generated,
    "Limits of a node and its workloads. The unit stands last in the name. Programs that start a node give",
    "others as `tuning`.\n",
    "| limit | default |\n| --- | --- |",
    ...rows,
    "\n## Limits of a request\n",
    "A request over one of these is refused (`request_too_large`, `token_invalid`; an auction is met with silence) before a",
    "signature is checked or anything is fetched; an environment (`environment_unreadable`) before it is opened. They are",
    "the same on every node.\n",
    "| limit | value |\n| --- | --- |",
    ...requestLimits.map(row),
    "\n## Sizes and rates by subject\n",
    "A larger body is refused unread. Requests beyond a rate, or beyond the share of the node's thread, are refused until",
    "the next second. A node that is asked with many others stays silent instead.\n",
    "| subject | bytes of a body | requests a second | ms of the thread a second | beyond |\n| --- | --- | --- | --- | --- |",
    ...requestRows(),
    "\n## Budget of the node\n",
    "All workloads of a node share one budget. An owner is a machine, or the host services of a function; of log lines",
    "and health checks it is a workload. Each owner has its guaranteed part whatever the others take.\n",
    "| share | all owners together | one owner at most | one owner in any case |\n| --- | --- | --- | --- |",
    ...budgetRows(),
    "",
    ...descriptorNotes(),
    "",
  ].join("\n");
}

function requestRows(): string[] {
  const context = { info: { nodeId: "<node>" } } as unknown as ActionContext;
  return nodeActions(context).map(
    ({ subject, bodyBytesMax, perSecondMax, threadMsPerSecondMax, isScattered }) =>
      row([
        `\`${subject}\``,
        bodyBytesMax,
        perSecondMax,
        threadMsPerSecondMax,
        isScattered === true ? "silent" : "refused",
      ]),
  );
}

function budgetRows(): string[] {
  const { sockets, heldBytes, framesPerSecond, logLinesPerSecond, checks } = budgetLimits;
  const shares = [
    ["sockets of relays and of HTTP requests", sockets],
    ["bytes held for agents and callers", heldBytes],
    ["frames a second that the node did not ask for", framesPerSecond],
    ["log lines a second", logLinesPerSecond],
    ["health checks at once", checks],
  ] as const;
  return shares.map(([what, { common, ownerMax, guaranteed }]) => row([what, common, ownerMax, guaranteed]));
}

function descriptorNotes(): string[] {
  const { descriptorsReserved, descriptorsOfMachine, heldPartOfMemory } = budgetLimits;
  return [
    `Sockets and machines also depend on the limit of open files (\`ulimit -n\`). ${descriptorsReserved} of them are for the node`,
    "itself, at most a quarter of the others for sockets, of which one owner gets half at most.",
    `Each machine takes ${descriptorsOfMachine} of the rest; a deploy beyond them is refused (\`no_ready_machine\`).`,
    `Bytes that are held are at most 1/${1 / heldPartOfMemory} of the host's memory.`,
  ];
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.map((cell) => cell.toLocaleString("en")).join(" | ")} |`;
}
