/** `nex events`: what nodes and workloads do, as it comes, and what they have done. */
import type { EventEntry } from "@nexengine/client";
import { NexError } from "@nexengine/protocol/errors";
import { systemNamespace } from "@nexengine/protocol/subjects";
import type { Command } from "commander";
import { colors as pc } from "../colors.ts";
import { ConnectionWatch } from "../connection-watch.ts";
import type { GlobalOptions } from "../global-options.ts";
import { interruption } from "../interruption.ts";
import { withClient } from "../login.ts";
import { pastTime, positive } from "../option-values.ts";
import { jsonText, note, print, visible } from "../output.ts";
import { formatTime, type TimeFormat } from "../time-format.ts";

interface EventsOptions extends GlobalOptions {
  count?: number;
  json: boolean;
  since?: Date;
  follow: boolean;
}

/** Adds the command. */
export function addEvents(program: Command): void {
  program
    .command("events")
    .description(
      "show the events of the namespace and of the nodes, as they come; with --since those that were",
    )
    .option(
      "--since <time>",
      "what the history has from a time on: how long ago (10m, 7d), or 2026-01-31T12:00:00Z",
      pastTime,
    )
    .option("-f, --follow", "with --since: go on with what comes", false)
    .option("--count <n>", "end after so many events", positive)
    .option("--json", "print each event as JSON", false)
    .action(async (_: unknown, self: Command) => {
      await events(self.optsWithGlobals<EventsOptions>());
    });
}

async function events(options: EventsOptions): Promise<void> {
  if (options.namespace === systemNamespace) {
    throw new NexError(
      "namespace_invalid",
      `Cannot watch namespace "${systemNamespace}" by name: its events always come along`,
    );
  }
  await withClient(options, async (client) => {
    const { since, follow } = options;
    const signal = interruption();
    const isKept = since !== undefined;
    const feed = isKept ? await client.eventHistory({ since, follow, signal }) : client.events({ signal });
    await client.flush();
    const connection = new ConnectionWatch(client, { isKept });
    if (!isKept || follow)
      note(pc.dim(`Events of namespace "${options.namespace}" and of the nodes; Ctrl-C ends`));
    let left = options.count ?? Number.POSITIVE_INFINITY;
    for await (const entry of feed) {
      print(options.json ? jsonText(entry.event) : eventLine(entry, options.timeformat));
      if (--left <= 0) break;
    }
    if (left > 0) connection.demandOpen();
  });
}

function eventLine({ namespace, type, event }: EventEntry, timeFormat: TimeFormat): string {
  const time = event.time === undefined ? new Date() : new Date(event.time);
  const data = Object.entries(event.data ?? {})
    .filter(([, value]) => typeof value !== "object")
    .map(([key, value]) => `${pc.dim(`${visible(key)}=`)}${visible(String(value))}`);
  return [
    pc.dim(formatTime(time, timeFormat)),
    pc.cyan(visible(namespace)),
    pc.bold(visible(type)),
    ...data,
  ].join(" ");
}
