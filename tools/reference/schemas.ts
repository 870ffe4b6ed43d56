/** The messages of the control protocol as JSON Schemas and as an AsyncAPI document, out of the schemas in use. */
import { z } from "zod";
import * as node from "../../packages/protocol/src/messages/node.ts";
import * as triggers from "../../packages/protocol/src/messages/triggers.ts";
import * as workload from "../../packages/protocol/src/messages/workload.ts";
import {
  auctionSubject,
  auctionWhySubject,
  deploySubject,
  infoSubject,
  lameDuckSubject,
  pingNodeSubject,
  pingSubject,
  stopSubject,
  triggerSubject,
  workloadPingSubject,
} from "../../packages/protocol/src/subjects/subjects.ts";

/** A message: its name, what it is, its schema. */
interface Message {
  name: string;
  summary: string;
  schema: z.ZodType;
  /** Answers stand in an envelope. */
  kind?: string;
}

/** A kind of request, with the subject on which it is asked. */
interface Operation {
  name: string;
  address: string;
  summary: string;
  request: string | undefined;
  answer: string | undefined;
}

const messages: readonly Message[] = [
  { name: "auction_request", summary: "What a workload asks of a node.", schema: node.auctionRequestSchema },
  {
    name: "info_request",
    summary: "Nothing, or which page, ended workloads or log lines are wanted.",
    schema: node.infoRequestSchema,
  },
  { name: "deploy_request", summary: "What to run, and for whom.", schema: workload.deployRequestSchema },
  { name: "stop_request", summary: "Which workload to end.", schema: workload.stopRequestSchema },
  {
    name: "trigger_request",
    summary: "Which trigger of a workload to pause, or to let go on.",
    schema: triggers.triggerActionRequestSchema,
  },
  {
    name: "trigger_response",
    summary: "The state of the trigger.",
    schema: triggers.triggerActionResponseSchema,
    kind: "trigger_response",
  },
  {
    name: "lameduck_request",
    summary: "Nothing, or an operator's token.",
    schema: node.lameDuckRequestSchema,
  },
  {
    name: "ping_response",
    summary: "What a node is; also a bid in an auction.",
    schema: node.pingResponseSchema,
    kind: "ping_response",
  },
  {
    name: "workload_ping_response",
    summary: "The workloads that matched; its envelope is a ping's.",
    schema: node.workloadPingResponseSchema,
    kind: "ping_response",
  },
  {
    name: "auction_why_response",
    summary: `Why a node does not bid; at most ${node.bidReasonsMax} reasons.`,
    schema: node.auctionWhyResponseSchema,
    kind: "auction_why_response",
  },
  {
    name: "info_response",
    summary: "A node and a namespace's workloads on it.",
    schema: node.infoResponseSchema,
    kind: "info_response",
  },
  {
    name: "run_response",
    summary: "The workload that was started.",
    schema: workload.runResponseSchema,
    kind: "run_response",
  },
  {
    name: "stop_response",
    summary: "The workload that was ended.",
    schema: workload.stopResponseSchema,
    kind: "stop_response",
  },
  {
    name: "lameduck_response",
    summary: "The node takes no more workloads.",
    schema: node.lameDuckResponseSchema,
    kind: "lameduck_response",
  },
];

const operations: readonly Operation[] = [
  {
    name: "ping",
    address: pingSubject,
    summary: "Every node answers.",
    request: undefined,
    answer: "ping_response",
  },
  {
    name: "pingNode",
    address: pingNodeSubject("{node}"),
    summary: "One node answers.",
    request: undefined,
    answer: "ping_response",
  },
  {
    name: "pingWorkloads",
    address: workloadPingSubject("{namespace}", "{workload}"),
    summary: "Nodes with a matching workload answer; both filters can be left out.",
    request: undefined,
    answer: "workload_ping_response",
  },
  {
    name: "auction",
    address: auctionSubject,
    summary: "Nodes that meet the request answer; the others are silent.",
    request: "auction_request",
    answer: "ping_response",
  },
  {
    name: "auctionWhy",
    address: auctionWhySubject,
    summary: "Every node of ours answers.",
    request: "auction_request",
    answer: "auction_why_response",
  },
  {
    name: "info",
    address: infoSubject("{namespace}", "{node}"),
    summary: "One node answers.",
    request: "info_request",
    answer: "info_response",
  },
  {
    name: "deploy",
    address: deploySubject("{namespace}", "{node}"),
    summary: "Starts a workload.",
    request: "deploy_request",
    answer: "run_response",
  },
  {
    name: "stop",
    address: stopSubject("{namespace}", "{node}"),
    summary: "Ends a workload.",
    request: "stop_request",
    answer: "stop_response",
  },
  {
    name: "trigger",
    address: triggerSubject("{namespace}", "{node}"),
    summary: "Pauses a trigger of a workload, or lets it go on.",
    request: "trigger_request",
    answer: "trigger_response",
  },
  {
    name: "lameduck",
    address: lameDuckSubject("{node}"),
    summary: "The node takes no more workloads; for an operator it ends.",
    request: "lameduck_request",
    answer: "lameduck_response",
  },
];

const parameterTexts: Readonly<Record<string, string>> = {
  node: "The node's public key, N…",
  namespace: "One token; system is nobody's",
  workload: "The id or the name of a workload",
};

type Json = Record<string, unknown>;

/** A schema as JSON Schema: what must be there, and what is passed by where it is not known. */
function jsonSchema(schema: z.ZodType): Json {
  return z.toJSONSchema(schema, {
    io: "output",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema: json }) => {
      const { def } = zodSchema._zod;
      if (def.type !== "object") return;
      const strict = (def as { catchall?: z.core.$ZodType }).catchall?._zod.def.type === "never";
      if (!strict) delete json.additionalProperties;
      const properties = (json.properties ?? {}) as Record<string, Json>;
      const required = (json.required ?? []).filter((name) => !("default" in (properties[name] ?? {})));
      if (required.length > 0) json.required = required;
      else delete json.required;
    },
  }) as Json;
}

function envelopeOf({ kind, schema }: Message): Json {
  const { $schema: _, ...data } = jsonSchema(schema);
  return {
    type: "object",
    required: ["type", "data"],
    properties: {
      type: { const: `io.nats.nex.v1.${kind}` },
      data: { anyOf: [data, { const: "", description: "of a failure" }] },
      error: { type: "string", description: "the text of a failure" },
      nex: {
        type: "object",
        description: "of a failure",
        properties: { version: { const: 1 }, code: { type: "string", description: "see errors.md" } },
      },
    },
  };
}

function bodyOf(message: Message): Json {
  const { $schema: _, ...schema } =
    message.kind === undefined ? jsonSchema(message.schema) : envelopeOf(message);
  return schema;
}

function asyncApi(version: string): Json {
  const channels = operations.map(({ name, address, summary, request, answer }) => {
    const parameters = [...address.matchAll(/\{(\w+)\}/g)].map(([, parameter = ""]) => [
      parameter,
      { description: parameterTexts[parameter] },
    ]);
    const used = [request, answer].filter((one) => one !== undefined);
    const channel = {
      address,
      summary,
      ...(parameters.length === 0 ? {} : { parameters: Object.fromEntries(parameters) }),
      messages: Object.fromEntries(used.map((one) => [one, { $ref: `#/components/messages/${one}` }])),
    };
    return [name, channel];
  });
  const receives = operations.map(({ name, summary, request, answer }) => {
    const at = (message: string) => ({ $ref: `#/channels/${name}/messages/${message}` });
    const operation = {
      action: "receive",
      summary,
      channel: { $ref: `#/channels/${name}` },
      ...(request === undefined ? {} : { messages: [at(request)] }),
      ...(answer === undefined
        ? {}
        : { reply: { channel: { $ref: `#/channels/${name}` }, messages: [at(answer)] } }),
    };
    return [name, operation];
  });
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Control protocol of Nex",
      version,
      description:
        "What a node answers. Names of members match without regard to case, null is as good as absent, unknown members are passed by, but for those below nex. Written out of the code by npm run fix.",
    },
    channels: Object.fromEntries(channels),
    operations: Object.fromEntries(receives),
    components: {
      messages: Object.fromEntries(
        messages.map((message) => [
          message.name,
          { summary: message.summary, contentType: "application/json", payload: bodyOf(message) },
        ]),
      ),
    },
  };
}

/** The files: path from the root, and text. */
export function schemaPages(version: string): [path: string, text: string][] {
  const text = (json: Json): string => `${JSON.stringify(json, undefined, 2)}\n`;
  const draft = "https://json-schema.org/draft/2020-12/schema";
  return [
    ...messages.map((message): [string, string] => [
      `docs/reference/messages/${message.name}.json`,
      text({ $schema: draft, title: message.name, description: message.summary, ...bodyOf(message) }),
    ]),
    [
      "docs/reference/messages/deploy_request.nex.json",
      text({ ...jsonSchema(workload.deployExtrasSchema), title: "nex of a deploy_request" }),
    ],
    ["docs/reference/asyncapi.json", text(asyncApi(version))],
  ];
}
