/**
 * Writes the permissions of everybody who works with Nex on NATS, as a page and as a server's configuration with two
 * tenants.
 */
import {
  type NatsPermissions,
  type NatsRole,
  natsPermissions,
} from "../../packages/protocol/src/nats/mod.ts";
import {
  auctionSubject,
  auctionWhySubject,
  deploySubject,
  eventWildcard,
  infoSubject,
  logSubject,
  pingNodeSubject,
  pingSubject,
  stopSubject,
  triggerSubject,
  workloadPingSubject,
} from "../../packages/protocol/src/subjects/mod.ts";

const tenants = ["acme", "globex"] as const;
/** Where both tenants have their triggers: their accounts keep them apart. */
const subjects = ["app.>"];
const inboxPrefix = "_INBOX";
/** Name of a variable of the configuration: the public key of a user. */
const keyOf = (user: string): string => `${user.toUpperCase().replace("-", "_")}_KEY`;
const accountOf = (tenant: string): string => tenant.toUpperCase();

/** Which answers a tenant may ask of the nodes, beside those about its own namespace. */
const common = [pingSubject, pingNodeSubject("*"), auctionSubject, auctionWhySubject];

/** Requests that tenants may send to the nodes, and messages about them that they get. */
function crossing(namespace: string): { services: string[]; streams: string[] } {
  return {
    services: [
      workloadPingSubject(namespace),
      workloadPingSubject(namespace, "*"),
      infoSubject(namespace, "*"),
      deploySubject(namespace, "*"),
      stopSubject(namespace, "*"),
      triggerSubject(namespace, "*"),
    ],
    streams: [
      eventWildcard(namespace),
      logSubject({ namespace, nodeId: "*", workloadName: "*", workloadId: "*" }),
    ],
  };
}

function userLines(user: string, role: NatsRole, namespace: string): string[] {
  const { publish, subscribe, responses } = natsPermissions(role, { namespace, subjects, inboxPrefix });
  const list = (texts: readonly string[]): string => texts.map((text) => `"${text}"`).join(", ");
  return [
    `      { nkey: $${keyOf(user)}`,
    "        permissions {",
    `          publish { allow: [${list(publish)}] }`,
    `          subscribe { allow: [${list(subscribe)}] }`,
    ...(responses === undefined
      ? []
      : [`          allow_responses { max: ${responses.max}, expires: "${responses.timeMs / 1000}s" }`]),
    "        } }",
  ];
}

function nodesAccount(): string[] {
  const everybody = tenants.map(accountOf).join(", ");
  return [
    "  # The nodes, and those who look after them.",
    "  NODES {",
    "    users: [",
    ...userLines("node", "node", "*"),
    ...userLines("operator", "operator", "*"),
    "    ]",
    "    exports: [",
    ...common.map(
      (subject) => `      { service: "${subject}", response_type: stream, accounts: [${everybody}] }`,
    ),
    ...tenants.flatMap((tenant) => {
      const { services, streams } = crossing(tenant);
      const only = `accounts: [${accountOf(tenant)}]`;
      return [
        ...services.map((subject) => `      { service: "${subject}", response_type: stream, ${only} }`),
        ...streams.map((subject) => `      { stream: "${subject}", ${only} }`),
      ];
    }),
    "    ]",
    "  }",
  ];
}

function tenantAccount(tenant: string): string[] {
  const { services, streams } = crossing(tenant);
  return [
    `  ${accountOf(tenant)} {`,
    "    jetstream: enabled",
    "    users: [",
    "      # Deploys, watches, and calls functions.",
    ...userLines(tenant, "issuer", tenant),
    "      # By whom the nodes act for the namespace.",
    ...userLines(`${tenant}-workloads`, "workloads", tenant),
    "    ]",
    "    imports: [",
    ...[...common, ...services].map(
      (subject) => `      { service: { account: NODES, subject: "${subject}" } }`,
    ),
    ...streams.map((subject) => `      { stream: { account: NODES, subject: "${subject}" } }`),
    "    ]",
    "  }",
  ];
}

/** The configuration of a server with two tenants. */
export function tenantsConfig(): string {
  return [
    "# Written by `npm run fix` out of the code, and started as it is by test/tenants.test.ts; see README.md.",
    "",
    "# Public keys of the users: NODE_KEY, OPERATOR_KEY, ACME_KEY, ACME_WORKLOADS_KEY, GLOBEX_KEY, GLOBEX_WORKLOADS_KEY.",
    'include "keys.conf"',
    "",
    "jetstream { store_dir: jetstream }",
    "",
    "accounts {",
    ...nodesAccount(),
    ...tenants.flatMap(tenantAccount),
    "  SYS {}",
    "}",
    "system_account: SYS",
    "",
  ].join("\n");
}

const roleTexts: Record<NatsRole, string> = {
  node: "The node itself: requests to it, events and logs. `*` stands for its id where that is not known.",
  workloads: "By whom a node acts for one namespace: its triggers and its artifacts.",
  listener:
    "A node's HTTP listener for one namespace, beside what the node's user has. Whoever has it can pretend to be any user of an HTTP route.",
  issuer: "Deploys into one namespace, watches it, and calls its functions.",
  operator: "Sees the nodes and every namespace, and asks for lame duck mode.",
};

/** A node with a history needs more than one without. */
function historySection(scope: Parameters<typeof natsPermissions>[1]): string[] {
  const plain = natsPermissions("node", scope);
  const kept = natsPermissions("node", { ...scope, history: [scope.namespace] });
  const more = (verb: "publish" | "subscribe"): string[] =>
    kept[verb]
      .filter((subject) => !plain[verb].includes(subject))
      .map((subject) => `| ${verb} | \`${subject}\` |`);
  return [
    "\n## node with a history\n",
    "Further permissions of a node for each namespace whose logs and events it keeps, and for `system`.\n",
    "| may | subject |\n| --- | --- |",
    ...more("publish"),
    ...more("subscribe"),
  ];
}

/** The page of permissions. */
export function permissionsPage(generated: string): string {
  const scope = { namespace: "NAMESPACE", subjects: ["SUBJECTS"], inboxPrefix };
  const section = (role: NatsRole): string[] => {
    const { publish, subscribe, responses }: NatsPermissions = natsPermissions(role, scope);
    const rows = [
      ...publish.map((subject) => `| publish | \`${subject}\` |`),
      ...subscribe.map((subject) => `| subscribe | \`${subject}\` |`),
      ...(responses === undefined
        ? []
        : [
            `| answer | what it was asked: ${responses.max}, within ${responses.timeMs / 1000} s (\`allow_responses\`) |`,
          ]),
    ];
    return [`\n## ${role}\n`, `${roleTexts[role]}\n`, "| may | subject |\n| --- | --- |", ...rows];
  };
  return [
    "# Permissions on NATS",
    generated,
    "The least that each role needs; `nex keys tenant` makes credentials with just these, and the tests run with them.",
    "`SUBJECTS` are where a namespace has its triggers. How they fit together is told in the",
    "[guide](../guide/permissions.md).",
    ...(Object.keys(roleTexts) as NatsRole[]).flatMap(section),
    ...historySection(scope),
    "",
  ].join("\n");
}
