/** `nex request SUBJECT [PAYLOAD|-]`: call a function and print its reply. */
import { buffer } from "node:stream/consumers";
import { NexError } from "@nexengine/protocol/errors";
import { type Command, Option } from "commander";
import type { GlobalOptions } from "../global-options.ts";
import { withClient } from "../login.ts";
import { collect, parseDuration } from "../option-values.ts";
import { print, printJson, visible } from "../output.ts";

interface RequestOptions extends GlobalOptions {
  header: string[];
  wait: number;
  json: boolean;
}

const waitMsDefault = 30_000;

/** Adds the command. */
export function addRequest(program: Command): void {
  program
    .command("request")
    .description("send a request and print the reply")
    .argument("<subject>", "where to")
    .argument("[payload]", "what; - reads it from the standard input", "")
    .option("-H, --header <name:value>", "header of the request; repeatable", collect, [])
    .addOption(
      new Option("--wait <duration>", "how long to wait for the reply")
        .argParser(parseDuration)
        .default(waitMsDefault, "30s"),
    )
    .option("--json", "print reply and headers as JSON", false)
    .action(async (subject: string, payload: string, _: unknown, self: Command) => {
      await request(subject, payload, self.optsWithGlobals<RequestOptions>());
    });
}

async function request(subject: string, payload: string, options: RequestOptions): Promise<void> {
  const headers = parseHeaders(options.header);
  const body = payload === "-" ? await buffer(process.stdin) : payload;
  await withClient(options, async (client) => {
    const reply = await client.call(subject, body, {
      timeoutMs: options.wait,
      ...(headers === undefined ? {} : { headers }),
    });
    const data = Buffer.from(reply.data);
    if (options.json) printJson({ data: data.toString(), headers: reply.headers });
    // Programs get the bytes as they came. On a terminal, a reply must not act.
    else if (process.stdout.isTTY)
      print(data.toString().replace(/\n$/, "").split("\n").map(visible).join("\n"));
    else process.stdout.write(data);
  });
}

function parseHeaders(given: readonly string[]): Record<string, string> | undefined {
  if (given.length === 0) return undefined;
  return Object.fromEntries(
    given.map((header) => {
      const at = header.indexOf(":");
      if (at > 0) return [header.slice(0, at).trim(), header.slice(at + 1).trim()];
      throw new NexError("usage", `Cannot read the header "${header}": it must look like NAME:VALUE`);
    }),
  );
}
