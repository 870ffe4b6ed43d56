/** Composes a node of its parts; nobody else holds the whole. */

import { type Driver, hostNetworks, MachineError } from "@nexengine/machines";
import {
  defaultServer,
  type Limits,
  type NatsLogin,
  NexError,
  type Sandbox,
  toNexError,
} from "@nexengine/protocol/internal";
import { pino } from "pino";
import type { DeployFacts } from "./admission/admit-deploy.ts";
import type { LameDuckFacts } from "./admission/admit-lame-duck.ts";
import { grantLimits, type LimitFacts } from "./admission/limits.ts";
import { planRelay, type RelayPlan } from "./agent-client/relay-plan.ts";
import { Artifacts } from "./artifacts/artifacts.ts";
import { Budget } from "./budget/budget.ts";
import type { NodeConfig } from "./config/config.ts";
import { checkOwnEndorsement } from "./config/endorsement.ts";
import { entryOf, machinesMaxOf, rulesOf } from "./config/namespaces.ts";
import { reportOpenDoors } from "./config/open-doors.ts";
import { Connections } from "./connections/connections.ts";
import { hostServicesLogin, namespaceLogins } from "./connections/logins.ts";
import { deploy, nodeActions } from "./control-api/actions.ts";
import { autostart, readAutostartIssuer } from "./control-api/autostart.ts";
import { Dispatcher } from "./control-api/dispatcher.ts";
import { NodeInfo } from "./control-api/info.ts";
import { Events } from "./feeds/events.ts";
import { Logs } from "./feeds/logs.ts";
import { Outlet } from "./feeds/outlet.ts";
import { ReplyRules } from "./functions/triggers/reply-rules.ts";
import { AddressRules } from "./host-services/addresses.ts";
import { HostServices } from "./host-services/host-services.ts";
import { Pool } from "./machines/pool.ts";
import { endPredecessor } from "./machines/predecessor.ts";
import { type CompleteNodeOptions, completeOptions, defaultLimits, type NodeOptions } from "./options.ts";
import type { DriverSource } from "./sandbox/choose.ts";
import { Identity } from "./state/identity.ts";
import { openAbandoned, openNumbered, StateDirectory } from "./state/state-directory.ts";
import { UsedTokens } from "./state/used-tokens.ts";
import { Drain } from "./workloads/drain.ts";
import { plainTemplate } from "./workloads/machine-template.ts";
import type { GrantedLimits } from "./workloads/spec.ts";
import { Workloads } from "./workloads/workloads.ts";

const bytesPerMebibyte = 1_048_576;

/** A running node. */
export interface NexNode extends AsyncDisposable {
  /** `N…` */
  readonly id: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Settles when the node has ended; with the reason where neither `stop` nor an operator asked for it. */
  readonly ended: Promise<NexError | undefined>;
  /** Undeploys everything, says so, and gives all back. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts a node and joins its nexus; when this returns it takes deploys.
 *
 * @throws NexError `config_invalid`, `state_locked`, `state_unusable`, `sandbox_unavailable`, `connection_failed`, `no_ready_machine`; nothing is left
 *   behind then.
 */
export async function startNode(given: NodeOptions): Promise<NexNode> {
  const options = completeOptions(given, pino({ level: "silent" }));
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await openDirectory(options));
  const identity = await Identity.open(directory.path);
  const { config, nexus, log } = options;
  checkOwnEndorsement(config.endorsement, { nodeId: identity.id, nexus }, log);
  const driver = await chooseDriver(options.driver, directory);
  // One that was given may serve other nodes too.
  if ("choose" in options.driver) stack.defer(async () => await driver.close?.());
  const connections = stack.use(await openConnections(options, identity.id));
  const node = await compose({ options, identity, connections, directory, driver }, stack);
  return node.running(stack.move());
}

/** @throws NexError `connection_failed` */
function openConnections(
  { login, config, tuning, log }: CompleteNodeOptions,
  nodeId: string,
): Promise<Connections> {
  const name = `nex-node-${nodeId.slice(0, 8)}`;
  const ofNamespaces = Object.entries(namespaceLogins(config.namespaces ?? {}, login)).map(
    ([namespace, given]) =>
      [namespace, given && { ...given, login: { ...given.login, name: `${name} ${namespace}` } }] as const,
  );
  const hostServices = hostServicesLogin(config.host_services, login);
  return Connections.open({
    login: { name, ...login },
    ofNamespaces: Object.fromEntries(ofNamespaces),
    hostServices: hostServices && { ...hostServices, name: `${name} host services` },
    connectTimeMs: tuning.connectTimeMs,
    requestConnectionsMax: tuning.requestConnectionsMax,
    log,
  });
}

/** Opens the state directory, and ends what dead nodes have left in it and beside it. */
async function openDirectory(options: CompleteNodeOptions): Promise<StateDirectory> {
  const { directory: path, nodesDirectory, driver, log } = options;
  const numbered = path === undefined ? nodesDirectory : undefined;
  const directory = numbered === undefined ? await StateDirectory.open(path) : await openNumbered(numbered);
  const end = (one: StateDirectory): Promise<void> =>
    endPredecessor(one, (kind) => driverOfKind(driver, kind, one), log);
  await end(directory);
  if (numbered !== undefined) {
    for await (const abandoned of openAbandoned(numbered)) {
      await using other = abandoned;
      await end(other);
    }
  }
  return directory;
}

/** @throws NexError `sandbox_unavailable` */
async function chooseDriver(given: Driver | DriverSource, directory: StateDirectory): Promise<Driver> {
  if ("choose" in given) return await given.choose(directory.path);
  const found = await given.fingerprint();
  if (found.available) return given;
  throw new NexError(
    "sandbox_unavailable",
    `Cannot make machines with the ${given.kind} driver: ${found.reason}`,
    { advice: found.advice },
  );
}

function driverOfKind(
  given: Driver | DriverSource,
  kind: string,
  directory: StateDirectory,
): Driver | undefined {
  if ("choose" in given) return given.ofKind(kind, directory.path);
  return given.kind === kind ? given : undefined;
}

/** What a node is composed of that had to be there first. */
interface Foundations {
  options: CompleteNodeOptions;
  identity: Identity;
  connections: Connections;
  directory: StateDirectory;
  driver: Driver;
}

async function compose(
  { options, identity, connections, directory, driver }: Foundations,
  stack: AsyncDisposableStack,
): Promise<RunningNode> {
  const { config, tuning, log } = options;
  reportOpenDoors(config, sandboxOf(driver), log);
  const connection = connections.own;
  const issuer = await readAutostartIssuer(config.autostart?.issuer_file);
  // A machine that shares the host's loopback device needs no relay to what listens there.
  const relayTo = (login: NatsLogin): RelayPlan =>
    planRelay(driver.ownLoopback ? (login.servers ?? [defaultServer]) : []);
  const limitsOf = ({ limits }: Pick<NodeConfig, "limits">): LimitFacts => ({
    defaults: defaultsOf({ ...config, limits }),
    max: limits.max,
    driver,
    hostNetworks: hostNetworks(),
  });
  const budget = new Budget({ bootsMax: tuning.bootsMax, unsentBytesMax: tuning.feedUnsentBytesMax });
  const pool = new Pool({
    driver,
    budget,
    directory: directory.machines,
    records: directory.records,
    template: plainTemplate(grantLimits({}, "native", limitsOf(config)).machine, relayTo(options.login)),
    size: config.machine_pool_size,
    handshakeTimeoutMs: config.agent_handshake_timeout_ms,
    nodeLostTimeoutMs: tuning.nodeLostTimeoutMs,
    log,
  });
  stack.use(pool);
  await startPool(pool);
  const outlet = stack.use(new Outlet(connection, budget.unsentBytesMax, log));
  const events = new Events(outlet, identity.id);
  const logs = new Logs(outlet, identity.id, tuning.logBytesPerSecondMax, budget.logLines);
  const addressRules = new AddressRules(config.http_allow);
  const workloads = new Workloads(
    {
      connections,
      artifacts: new Artifacts(directory.artifacts, tuning.artifactTimeMs),
      pool,
      budget,
      relayOf: (namespace) => relayTo(connections.loginOf(namespace)),
      replyRulesOf: (namespace, isOwnConnection) =>
        new ReplyRules({
          isOwnConnection,
          inboxPrefixes: [options.login, connections.loginOf(namespace)].flatMap(
            ({ inboxPrefix }) => inboxPrefix ?? [],
          ),
          allowed: config.reply_subjects,
          denied: rulesOf(config, namespace).denyTriggerSubjects,
        }),
      hostServicesOf: (owner, connections) =>
        new HostServices({
          owner,
          connections,
          settings: (entryOf(config.namespaces ?? {}, owner.namespace)?.host_services ?? config.host_services)
            .services,
          deniedSubjects: rulesOf(config, owner.namespace).denyTriggerSubjects,
          addressRules,
        }),
      publishAddress: config.publish_address,
      events,
      logs,
      log,
      tuning,
    },
    config.node_limits.max_total_bytes,
  );
  stack.defer(() => workloads.stopAll("Node is stopping"));
  const usedTokens = stack.use(await UsedTokens.open(directory.usedTokens));
  const info = new NodeInfo({
    identity,
    nexus: options.nexus,
    endorsement: config.endorsement,
    version: options.version,
    sandbox: sandboxOf(driver),
    workloadTypes: config.workload_types,
    configuredTags: config.tags,
    exactNamespaces: config.namespaces !== undefined,
    answerListBytesMax: tuning.answerListBytesMax,
    readyMachines: () => pool.readyCount,
    artifactLimits: (namespace) => {
      const { artifactBytesMax, limits } = deployFacts(namespace);
      const { diskBytes } = grantLimits({}, "native", limits).machine;
      return {
        artifact_bytes_max: artifactBytesMax,
        ...(diskBytes === undefined ? {} : { disk_bytes_default: diskBytes }),
      };
    },
  });
  const deployFacts = (namespace: string | undefined): DeployFacts => {
    const rules = rulesOf(config, namespace);
    const login = namespace === undefined ? options.login : connections.loginOf(namespace);
    return {
      nodeId: identity.id,
      requireBoundClaims: config.require_bound_claims,
      isUsed: (token) => usedTokens.has(token),
      replaceable: (id) => {
        const workload = workloads.replaceable(id);
        if (workload === undefined) return undefined;
        const { namespace, claims, spec } = workload;
        return { namespace, issuer: claims.iss, replicas: spec.replicas };
      },
      lameDuck: info.lameDuck,
      workloadCount: workloads.count,
      workloadCountMax: config.node_limits.max_workloads,
      machineCount: workloads.machineCount(),
      machineCountMax: machinesMaxOf(config.node_limits),
      namespaceMachineCount: namespace === undefined ? 0 : workloads.machineCount(namespace),
      workloadTypes: config.workload_types,
      rules,
      namespaceCount: namespace === undefined ? 0 : workloads.countIn(namespace),
      isConnected: namespace === undefined || connections.isConnected(namespace),
      inboxPrefixes: [options.login, login].flatMap(({ inboxPrefix }) => inboxPrefix ?? []),
      xkey: identity.xkey,
      login,
      requestConnections: config.request_connections,
      functionConcurrency: tuning.functionConcurrency,
      limits: limitsOf(rules),
      artifactBytesMax: Math.min(rules.workloadBytesMax, tuning.artifactBytesMax),
      nowMs: Date.now(),
    };
  };
  const dispatcher = new Dispatcher(connection, log);
  stack.defer(() => dispatcher.stop());
  const lameDuckFacts = (): LameDuckFacts => ({
    ...deployFacts(undefined),
    operators: config.operators,
    requiresOperator: config.lameduck_requires_operator,
  });
  const drain = stack.use(new Drain(workloads));
  const context = {
    ...{ info, workloads, drain, events, usedTokens, log, deployFacts, lameDuckFacts },
    recentLines: logs.recent.bind(logs),
    fitsReadyMachine: (granted: GrantedLimits, namespace: string | undefined) => {
      const login = namespace === undefined ? options.login : connections.loginOf(namespace);
      return granted.network !== "egress" && pool.fits(plainTemplate(granted.machine, relayTo(login)));
    },
  };
  await dispatcher.start(nodeActions(context));
  // The operator's own configuration needs no token of a client; for the rest it is like any request.
  const own = {
    ...context,
    deployFacts: (namespace: string | undefined) => ({
      ...deployFacts(namespace),
      requireBoundClaims: false,
    }),
  };
  void autostart(config.autostart?.workloads ?? [], issuer, {
    nodeId: identity.id,
    xkey: identity.xkey.publicKey,
    log,
    deploy: (namespace, body) => deploy(own, namespace, body),
  });
  return new RunningNode({
    info,
    workloads,
    drained: drain.finished,
    events,
    connection,
    log,
    heartbeatMs: tuning.heartbeatMs,
  });
}

/** What a workload gets that asks for nothing: ours, the reference's template, the configuration's own. */
function defaultsOf({ machine_template: template, limits }: NodeConfig): Limits {
  return {
    ...defaultLimits,
    ...(template?.vcpu_count === undefined ? {} : { vcpus: template.vcpu_count }),
    ...(template?.memsize_mib === undefined ? {} : { memory_bytes: template.memsize_mib * bytesPerMebibyte }),
    ...limits.default,
  };
}

async function startPool(pool: Pool): Promise<void> {
  try {
    await pool.start();
  } catch (error) {
    if (error instanceof MachineError)
      throw new NexError("no_ready_machine", error.message, { cause: error });
    throw error;
  }
}

function sandboxOf(driver: Driver): Sandbox {
  // The scripted mock stands for a machine without isolation.
  return driver.kind === "mock" ? "process" : driver.kind;
}

interface RunningParts {
  info: NodeInfo;
  workloads: Workloads;
  /** Settles when an operator's end of the node has come. */
  drained: Promise<void>;
  events: Events;
  connection: Connections["own"];
  log: CompleteNodeOptions["log"];
  heartbeatMs: number;
}

class RunningNode implements NexNode {
  readonly #parts: RunningParts;
  readonly #ended = Promise.withResolvers<NexError | undefined>();
  #resources: AsyncDisposableStack | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: RunningParts) {
    this.#parts = parts;
  }

  /** Owns all that the node holds from now on, and says that it has started. */
  running(resources: AsyncDisposableStack): this {
    const { info, events, workloads, drained, connection, heartbeatMs, log } = this.#parts;
    this.#resources = resources;
    events.node("node_started", { version: info.version, id: info.nodeId, tags: info.tags });
    this.#heartbeat = setInterval(() => {
      const { node_id, version, nexus, uptime, tags, running_machines } = info.ping(workloads);
      events.node("heartbeat", { version, node_id, nexus, uptime, tags, running_machines });
    }, heartbeatMs);
    void connection.closed().then((error) => {
      if (this.#stopping !== undefined) return;
      const why = error === undefined ? "nobody asked for it" : error.message;
      log.error({ reason: why }, "connection to NATS was closed for good");
      void this.#endWith(
        new NexError("connection_failed", `The connection to NATS was closed for good: ${why}`),
      );
    });
    void drained.then(() => this.#endWith(undefined));
    log.info({ node: info.nodeId, tags: info.tags }, "node runs");
    return this;
  }

  get id(): string {
    return this.#parts.info.nodeId;
  }

  get tags(): Readonly<Record<string, string>> {
    return this.#parts.info.tags;
  }

  get ended(): Promise<NexError | undefined> {
    return this.#ended.promise;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop(undefined);
    return this.#stopping;
  }

  /** Ends the node although nobody waits for it; what fails then is logged. */
  async #endWith(reason: NexError | undefined): Promise<void> {
    this.#stopping ??= this.#stop(reason);
    await this.#stopping.catch(() => undefined);
  }

  async #stop(reason: NexError | undefined): Promise<void> {
    const { info, events, workloads, log } = this.#parts;
    clearInterval(this.#heartbeat);
    info.lameDuck = true;
    try {
      await workloads.stopAll("Node is stopping");
      events.node("node_stopped", { id: info.nodeId, graceful: reason === undefined });
      await this.#resources?.disposeAsync();
      log.info({ node: info.nodeId }, "node stopped");
      this.#ended.resolve(reason);
    } catch (thrown) {
      const error = toNexError(thrown, "internal", "Cannot stop the node whole");
      log.error({ node: info.nodeId, reason: error.message }, "node stopped, and something of it is left");
      this.#ended.resolve(reason ?? error);
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
