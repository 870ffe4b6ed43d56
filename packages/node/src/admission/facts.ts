/** The owner of the facts for admission: configuration, identity, and what runs at this moment. */
import { type Driver, hostNetworks } from "@nexengine/machines";
import type { Limits } from "@nexengine/protocol/messages";
import type { NatsLogin } from "@nexengine/protocol/nats";
import type { NodeConfig } from "../config/config.ts";
import { machinesMaxOf, type NamespaceRules, rulesOf } from "../config/namespaces.ts";
import type { Connections } from "../connections/connections.ts";
import { defaultLimits, type NodeTuning } from "../options.ts";
import type { Identity } from "../state/identity.ts";
import type { UsedTokens } from "../state/used-tokens.ts";
import type { Workloads } from "../workloads/workloads.ts";
import type { DeployFacts, Replaceable } from "./admit-deploy.ts";
import type { LameDuckFacts } from "./admit-lame-duck.ts";
import type { LimitFacts } from "./limits.ts";

const bytesPerMebibyte = 1_048_576;

/** Sources of the facts. */
export interface AdmissionFactsSources {
  config: NodeConfig;
  tuning: NodeTuning;
  /** The node's own login. */
  login: NatsLogin;
  identity: Identity;
  connections: Connections;
  workloads: Workloads;
  usedTokens: UsedTokens;
  driver: Driver;
  isLameDuck(): boolean;
}

export class AdmissionFacts {
  readonly #sources: AdmissionFactsSources;

  constructor(sources: AdmissionFactsSources) {
    this.#sources = sources;
  }

  /** The facts of this moment for a deploy into a namespace; those of the node alone without one. */
  forDeploy(namespace: string | undefined): DeployFacts {
    const { config, tuning, login, identity, connections, workloads, usedTokens, driver } = this.#sources;
    const rules = rulesOf(config, namespace);
    const loginOfNamespace = namespace === undefined ? login : connections.loginOf(namespace);
    return {
      nodeId: identity.id,
      requireBoundClaims: config.require_bound_claims,
      isUsed: (token) => usedTokens.has(token),
      replaceable: (id) => this.#replaceable(id),
      lameDuck: this.#sources.isLameDuck(),
      workloadCount: workloads.count,
      workloadCountMax: config.node_limits.max_workloads,
      machineCount: workloads.machineCount(),
      machineCountMax: machinesMaxOf(config.node_limits),
      namespaceMachineCount: namespace === undefined ? 0 : workloads.machineCount(namespace),
      workloadTypes: config.workload_types,
      rules,
      namespaceCount: namespace === undefined ? 0 : workloads.countIn(namespace),
      isConnected: namespace === undefined || connections.isConnected(namespace),
      inboxPrefixes: [login, loginOfNamespace].flatMap(({ inboxPrefix }) => inboxPrefix ?? []),
      xkey: identity.xkey,
      login: loginOfNamespace,
      requestConnections: config.request_connections,
      functionConcurrency: tuning.functionConcurrency,
      limits: limitFactsOf(rules, config, driver),
      artifactBytesMax: Math.min(rules.workloadBytesMax, tuning.artifactBytesMax),
      nowMs: Date.now(),
    };
  }

  /** The facts of this moment for lame duck mode. */
  forLameDuck(): LameDuckFacts {
    const { operators, lameduck_requires_operator: requiresOperator } = this.#sources.config;
    return { ...this.forDeploy(undefined), operators, requiresOperator };
  }

  #replaceable(id: string): Replaceable | undefined {
    const workload = this.#sources.workloads.replaceable(id);
    if (workload === undefined) return undefined;
    const { namespace, claims, spec } = workload;
    return { namespace, issuer: claims.iss, replicas: spec.replicas };
  }
}

/** Bounds of a workload's limits, by the rules of its namespace or the node's. */
export function limitFactsOf(
  { limits }: Pick<NamespaceRules, "limits">,
  config: NodeConfig,
  driver: Driver,
): LimitFacts {
  return {
    defaults: defaultsOf({ ...config, limits }),
    max: limits.max,
    driver,
    hostNetworks: hostNetworks(),
  };
}

/** Limits of a workload that asks for none: ours, those of the Go Nex template, and those of the configuration. */
function defaultsOf({
  machine_template: template,
  limits,
}: Pick<NodeConfig, "machine_template" | "limits">): Limits {
  return {
    ...defaultLimits,
    ...(template?.vcpu_count === undefined ? {} : { vcpus: template.vcpu_count }),
    ...(template?.memsize_mib === undefined ? {} : { memory_bytes: template.memsize_mib * bytesPerMebibyte }),
    ...limits.default,
  };
}
