/** Composes a node of its parts; nobody else holds the whole. */

import type { NatsConnection } from "@nats-io/nats-core";
import { type Driver, MachineError } from "@nexengine/machines";
import { NexError } from "@nexengine/protocol/errors";
import { defaultServer, type NatsLogin } from "@nexengine/protocol/nats";
import { repairEmbeddingProgram } from "@nexengine/protocol/node-runtime";
import { pingNodeSubject } from "@nexengine/protocol/subjects";
import type { Signer } from "@nexengine/protocol/tokens";
import { pino } from "pino";
import { AdmissionFacts, limitFactsOf } from "./admission/facts.ts";
import { grantLimits } from "./admission/limits.ts";
import { planRelay, type RelayPlan } from "./agent-client/relay-plan.ts";
import { Artifacts } from "./artifacts/artifacts.ts";
import { Budget } from "./budget/budget.ts";
import { checkOwnEndorsement } from "./config/endorsement.ts";
import { entryOf, rulesOf } from "./config/namespaces.ts";
import { reportOpenDoors } from "./config/open-doors.ts";
import { Connections } from "./connections/connections.ts";
import { hostServicesLogin, namespaceLogins } from "./connections/logins.ts";
import { deploy, nodeActions } from "./control-api/actions.ts";
import { autostart, digestOfEntry, readAutostartIssuer } from "./control-api/autostart.ts";
import type { ActionContext } from "./control-api/context.ts";
import { Dispatcher } from "./control-api/dispatcher.ts";
import { NodeInfo } from "./control-api/info.ts";
import { type PreviousWork, type Release, restoreWorkloads } from "./control-api/restore.ts";
import { handedOverBy, releaseOf, takeOver } from "./control-api/take-over.ts";
import { WaitingWorkloads } from "./control-api/waiting-workloads.ts";
import type { FunctionServices } from "./functions/function-runtime.ts";
import { ReplyRules } from "./functions/triggers/reply-rules.ts";
import { StreamRules } from "./functions/triggers/stream-rules.ts";
import type { PreparedHandOver } from "./hand-over/predecessor.ts";
import { AddressRules } from "./host-services/addresses.ts";
import { HostServices } from "./host-services/host-services.ts";
import { HttpListener } from "./ingress/listener.ts";
import { Pool } from "./machines/pool.ts";
import { cleanUpAfterPreviousNode, endMachine } from "./machines/previous-node.ts";
import { type CompleteNodeOptions, completeOptions, type NodeOptions } from "./options.ts";
import { type NexNode, RunningNode } from "./running-node.ts";
import type { DriverSource } from "./sandbox/choose.ts";
import type { DeployRecord } from "./state/deploy-records.ts";
import { DurableDeploys, recoverDeploys } from "./state/durable-deploys.ts";
import { Identity } from "./state/identity.ts";
import type { StoredMachine } from "./state/machine-records.ts";
import { openAbandoned, openNumbered, StateDirectory } from "./state/state-directory.ts";
import { UsedTokens } from "./state/used-tokens.ts";
import { EventFeed } from "./telemetry/event-feed.ts";
import { History } from "./telemetry/history.ts";
import { LogFeed } from "./telemetry/log-feed.ts";
import { NodeLog } from "./telemetry/node-log.ts";
import { Outlet } from "./telemetry/outlet.ts";
import { RefusalLog } from "./telemetry/refusal-log.ts";
import { Reporter } from "./telemetry/reporter.ts";
import { Drain } from "./workloads/drain.ts";
import { plainTemplate } from "./workloads/machine-template.ts";
import { RecordedDeploys } from "./workloads/recorded-deploys.ts";
import type { GrantedLimits } from "./workloads/spec.ts";
import { Workloads } from "./workloads/workloads.ts";

/**
 * Starts a node and joins its nexus; when this returns it takes deploys. On a Node that computes wrong results it switches
 * the faulty optimization off, and warns.
 *
 * @throws NexError `config_invalid`, `state_locked`, `state_unusable`, `sandbox_unavailable`, `connection_failed`, `no_ready_machine`; nothing is left
 *   behind then.
 */
export async function startNode(given: NodeOptions): Promise<NexNode> {
  repairEmbeddingProgram();
  const options = completeOptions(given, pino({ level: "silent" }));
  await using stack = new AsyncDisposableStack();
  const prepared = await options.predecessor?.prepare();
  const directory = stack.use(await openDirectory(options, prepared));
  const previous = prepared === undefined ? await takeStock(options, directory) : nothing;
  const identity = await Identity.open(directory.path, options.identityFile);
  const { config, nexus, log } = options;
  checkOwnEndorsement(config.endorsement, { nodeId: identity.id, nexus }, log);
  const driver = await chooseDriver(options.driver, directory);
  // One that was given may serve other nodes too.
  if ("choose" in options.driver) stack.defer(async () => await driver.close?.());
  const connections = stack.use(await openConnections(options, identity.id));
  if (options.identityFile !== undefined && prepared === undefined) {
    await assertAlone(connections.own, identity.id);
    await identity.keep();
  }
  const durable = durableOf(options, directory, identity, connections);
  if (durable !== undefined) stack.use(durable);
  const recovered =
    durable === undefined || prepared !== undefined ? [] : await recoverDeploys(durable, directory);
  if (recovered.length > 0) log.warn({ workloads: recovered.length }, "deploys are back from their buckets");
  const deploys = [...previous.deploys, ...recovered];
  const foundations = {
    ...{ options, identity, connections, directory, driver, durable },
    previous: { ...previous, deploys },
  };
  const node = await compose(foundations, stack, prepared?.lameDuck);
  return node.running(stack.move());
}

/** Where copies of deploys are kept, if they are. */
function durableOf(
  options: CompleteNodeOptions,
  directory: StateDirectory,
  { id: nodeId }: Identity,
  { own: connection }: Connections,
): DurableDeploys | undefined {
  const { config, log } = options;
  if (config.durable === undefined || !isLasting(options, directory)) return undefined;
  return new DurableDeploys({ connection, nodeId, replicas: config.durable_replicas, log });
}

/** Two nodes of one identity would both take its deploys. @throws NexError `state_locked` */
async function assertAlone(connection: NatsConnection, nodeId: string): Promise<void> {
  try {
    await connection.request(pingNodeSubject(nodeId), "", { timeout: aloneTimeMs });
  } catch {
    return;
  }
  throw new NexError("state_locked", `Cannot be node ${nodeId}: a node with this identity runs already`, {
    advice: "Stop that node, or start without: --identity",
  });
}

/** @throws NexError `connection_failed` */
function openConnections(
  { login, config, tuning, log, predecessor }: CompleteNodeOptions,
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
    // A successor must not keep its predecessor waiting.
    startWaitMs: predecessor === undefined ? config.wait_for_nats_ms : 0,
    requestConnectionsMax: tuning.requestConnectionsMax,
    log,
  });
}

/**
 * Cleans up what dead nodes have left in the state directory and beside it.
 *
 * @returns what this node continues.
 */
async function takeStock(options: CompleteNodeOptions, directory: StateDirectory): Promise<PreviousWork> {
  const { directory: path, nodesDirectory, driver, log } = options;
  const cleanUp = async (one: StateDirectory, isContinued: boolean): Promise<PreviousWork> => {
    const { records, unreadable } = await one.deploys.list();
    for (const { id, reason } of unreadable) {
      log.error({ workload: id, reason }, "a deploy's record is unreadable; its machines are left alone");
    }
    const deploys = isContinued ? records : [];
    const kept = new Set([...deploys, ...unreadable].map(({ id }) => id));
    const driverOf = (kind: string): Driver | undefined => driverOfKind(driver, kind, one);
    const machines = await cleanUpAfterPreviousNode(one, driverOf, log, (id) => kept.has(id));
    return { deploys, machines };
  };
  const work = await cleanUp(directory, isLasting(options, directory));
  if (path === undefined && nodesDirectory !== undefined) {
    for await (const abandoned of openAbandoned(nodesDirectory)) {
      await using other = abandoned;
      if (await other.hasDeploys()) {
        const hint = `continue them with: nex node up --state-directory ${other.path}`;
        log.warn({ directory: other.path }, `a node that does not run has workloads recorded; ${hint}`);
        continue;
      }
      await cleanUp(other, false);
    }
  }
  return work;
}

async function openDirectory(
  { directory: path, nodesDirectory, ephemeral }: CompleteNodeOptions,
  prepared: PreparedHandOver | undefined,
): Promise<StateDirectory> {
  if (prepared !== undefined) return await StateDirectory.openUnlocked(prepared.directory);
  if (path !== undefined || nodesDirectory === undefined) return await StateDirectory.open(path);
  return await openNumbered(nodesDirectory, ephemeral);
}

/** Whether workloads outlive the node. */
function isLasting({ ephemeral }: CompleteNodeOptions, directory: StateDirectory): boolean {
  return !ephemeral && !directory.isTemporary;
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

/** Time for another node of the same identity to answer. */
const aloneTimeMs = 1_000;
/** Work of a node that nothing was before. */
const nothing: PreviousWork = { deploys: [], machines: [] };

/** Parts of a node that must exist before it is composed. */
interface Foundations {
  options: CompleteNodeOptions;
  identity: Identity;
  connections: Connections;
  directory: StateDirectory;
  driver: Driver;
  durable: DurableDeploys | undefined;
  /** Workloads of the node that ran before in this directory. */
  previous: PreviousWork;
}

async function compose(
  foundations: Foundations,
  stack: AsyncDisposableStack,
  wasLameDuck = false,
): Promise<RunningNode> {
  const { options, identity, connections, directory, driver } = foundations;
  const { config, tuning, log, login } = options;
  reportOpenDoors(config, driver.kind, log);
  const issuer = await readAutostartIssuer(config.autostart?.issuer_file);
  // A machine that shares the host's loopback device needs no relay to what listens there.
  const relayTo = (to: NatsLogin): RelayPlan =>
    planRelay(driver.ownLoopback ? (to.servers ?? [defaultServer]) : []);
  const budget = new Budget({ bootsMax: tuning.bootsMax, unsentBytesMax: tuning.feedUnsentBytesMax });
  const pool = stack.use(makePool(foundations, budget, relayTo(login)));
  if (options.predecessor === undefined) await startPool(pool);
  const outlet = stack.use(new Outlet(connections.own, budget.unsentBytesMax, log));
  const logs = new LogFeed(outlet, identity.id, tuning.logBytesPerSecondMax, budget.logLines);
  const history = stack.use(new History(connections.own, config, log));
  const reporter = new Reporter([new EventFeed(outlet, identity.id), logs, new NodeLog(log), history]);
  const recentLines = logs.recent.bind(logs);
  const artifacts = new Artifacts(directory.artifacts, tuning.artifactTimeMs);
  const recorded = new RecordedDeploys(
    isLasting(options, directory) ? directory.deploys : undefined,
    log,
    foundations.durable,
  );
  const services = {
    ...{ connections, pool, budget, reporter, recentLines, tuning },
    ...{ artifacts, recorded },
    relayOf: (namespace: string) => relayTo(connections.loginOf(namespace)),
    publishAddress: config.publish_address,
    ...servicesOfFunctions(foundations),
  };
  const workloads = new Workloads(services, config.node_limits.max_total_bytes);
  stack.defer(() => workloads.stopAll("Node is stopping"));
  const usedTokens = stack.use(new UsedTokens(directory.usedTokens));
  const facts = new AdmissionFacts({
    ...{ config, tuning, login, identity, connections, workloads, usedTokens, driver },
    isLameDuck: () => info.lameDuck,
  });
  const info: NodeInfo = makeInfo(foundations, facts, pool);
  const dispatcher = new Dispatcher(connections.own, log);
  stack.use(new RefusalLog({ ...budget.refusals, dropped_requests: () => dispatcher.dropped }, log));
  stack.defer(() => dispatcher.stop());
  const drain = stack.use(new Drain(workloads));
  const context = {
    ...{ info, workloads, drain, reporter, usedTokens, recentLines },
    waiting: new WaitingWorkloads(),
    deployFacts: facts.forDeploy.bind(facts),
    lameDuckFacts: facts.forLameDuck.bind(facts),
    fitsReadyMachine: (granted: GrantedLimits, namespace: string | undefined) => {
      const plan = relayTo(namespace === undefined ? login : connections.loginOf(namespace));
      return granted.network !== "egress" && pool.fits(plainTemplate(granted.machine, plan));
    },
  };
  info.lameDuck = wasLameDuck;
  const stopping = new AbortController();
  stack.defer(() => stopping.abort());
  const parts: Parts = { ...foundations, context, signal: stopping.signal };
  const listening = { dispatcher, actions: nodeActions(context), context, directory, log, stopping };
  const { predecessor } = options;
  if (predecessor === undefined) {
    await usedTokens.read();
    await sweepArtifacts(artifacts, directory);
    await restore(parts);
    await dispatcher.start(listening.actions);
  } else {
    parts.previous = await takeOver(listening, predecessor);
    await sweepArtifacts(artifacts, directory);
    await restore(parts, releaseOf(listening, predecessor, parts.previous.machines));
    dispatcher.hold(() => false);
    await predecessor.finish();
    pool.fill();
  }
  const httpAddress = await listenForHttp(foundations, budget, info, stack);
  startAutostart(parts, issuer);
  const { heartbeatMs } = tuning;
  return new RunningNode({
    ...{ info, workloads, reporter, log, heartbeatMs, httpAddress },
    drained: drain.finished,
    connection: connections.own,
    handedOver: handedOverBy({ ...listening, isLasting: isLasting(options, directory) }),
  });
}

/**
 * Opens the HTTP listener, if the configuration has one.
 *
 * @returns its address
 * @throws NexError `port_taken`, `file_not_found`, `config_invalid`
 */
async function listenForHttp(
  { options: { config, tuning, log, predecessor }, connections }: Foundations,
  budget: Budget,
  info: NodeInfo,
  stack: AsyncDisposableStack,
): Promise<string | undefined> {
  if (config.http === undefined) return undefined;
  const listening = {
    ...{ config: config.http, connections, log },
    routesSilentMs: tuning.routesSilentMs,
    isDraining: () => info.lameDuck,
    held: budget.heldBytes.share(),
  };
  const listener = stack.use(await HttpListener.start(listening, predecessor !== undefined));
  return listener.address;
}

/** Parts of a composed node. */
interface Parts extends Foundations {
  context: ActionContext;
  /** Aborted when the node stops. */
  signal: AbortSignal;
}

/** Removes the artifacts that no workload needs any more. */
async function sweepArtifacts(artifacts: Artifacts, directory: StateDirectory): Promise<void> {
  const { records } = await directory.deploys.list();
  await artifacts.sweep(new Set(records.map(({ artifact }) => artifact.sha256)));
}

/** Continues the workloads of the previous node, but those of autostart whose entry has changed. */
async function restore(
  { options: { config, log, driver: source }, directory, driver, durable, previous, context, signal }: Parts,
  release?: Release,
): Promise<void> {
  const endOne = async (machine: StoredMachine): Promise<void> => {
    await endMachine(machine, driverOfKind(source, machine.driver, directory));
    await directory.records.remove(machine.id);
  };
  const forget = async ({ id, namespace }: DeployRecord): Promise<void> => {
    await directory.deploys.remove(id);
    durable?.remove({ id, namespace });
  };
  const entries = new Set((config.autostart?.workloads ?? []).map(digestOfEntry));
  const isWanted = ({ autostart: digest }: DeployRecord): boolean =>
    digest === undefined || entries.has(digest);
  const unwanted = previous.deploys.filter((record) => !isWanted(record));
  for (const record of unwanted) {
    const { id } = record;
    const machines =
      (await release?.(id)) ?? previous.machines.filter(({ workload_id }) => workload_id === id);
    await Promise.all(machines.map(endOne));
    await forget(record);
    log.info({ workload: id }, "a workload of autostart is ended: its entry has changed");
  }
  await restoreWorkloads(
    {
      ...context,
      log,
      machineKind: driver.kind,
      endMachine: endOne,
      forget,
      signal,
      ...(release === undefined ? {} : { release }),
    },
    { deploys: previous.deploys.filter(isWanted), machines: previous.machines },
  );
}

function makePool({ options, directory, driver }: Foundations, budget: Budget, relay: RelayPlan): Pool {
  const { config, tuning, log } = options;
  const { machine } = grantLimits({}, "native", limitFactsOf(config, config, driver));
  return new Pool({
    driver,
    budget,
    directory: directory.machines,
    records: directory.records,
    epoch: directory.epoch,
    template: plainTemplate(machine, relay),
    size: config.machine_pool_size,
    handshakeTimeoutMs: config.agent_handshake_timeout_ms,
    nodeLostTimeoutMs: tuning.nodeLostTimeoutMs,
    log,
  });
}

/** The parts of a function that depend on the namespace that it is in. */
function servicesOfFunctions({
  options: { config, login },
  identity,
  connections,
}: Foundations): Pick<FunctionServices, "nodeId" | "replyRulesOf" | "streamRulesOf" | "hostServicesOf"> {
  const addressRules = new AddressRules(config.http_allow);
  return {
    nodeId: identity.id,
    replyRulesOf: (namespace, isOwnConnection) =>
      new ReplyRules({
        isOwnConnection,
        inboxPrefixes: [login, connections.loginOf(namespace)].flatMap(
          ({ inboxPrefix }) => inboxPrefix ?? [],
        ),
        allowed: config.reply_subjects,
        denied: rulesOf(config, namespace).denyTriggerSubjects,
      }),
    streamRulesOf: ({ namespace, name }, isOwnConnection) => {
      const { denyTriggerSubjects, denyTriggerStreams } = rulesOf(config, namespace);
      return new StreamRules({
        ...{ namespace, isOwnConnection, workload: name },
        ...{ deniedSubjects: denyTriggerSubjects, deniedStreams: denyTriggerStreams },
      });
    },
    hostServicesOf: (owner, through, shares) => {
      const own = entryOf(config.namespaces ?? {}, owner.namespace)?.host_services;
      return new HostServices({
        owner,
        connections: through,
        settings: (own ?? config.host_services).services,
        deniedSubjects: rulesOf(config, owner.namespace).denyTriggerSubjects,
        addressRules,
        ...shares,
      });
    },
  };
}

function makeInfo({ options, identity, driver }: Foundations, facts: AdmissionFacts, pool: Pool): NodeInfo {
  const { config, tuning, nexus, version } = options;
  return new NodeInfo({
    ...{ identity, nexus, version },
    endorsement: config.endorsement,
    sandbox: driver.kind,
    workloadTypes: config.workload_types,
    configuredTags: config.tags,
    exactNamespaces: config.namespaces !== undefined,
    answerListBytesMax: tuning.answerListBytesMax,
    readyMachines: () => pool.readyCount,
    artifactLimits: (namespace) => {
      const { artifactBytesMax, limits } = facts.forDeploy(namespace);
      const { diskBytes } = grantLimits({}, "native", limits).machine;
      return {
        artifact_bytes_max: artifactBytesMax,
        ...(diskBytes === undefined ? {} : { disk_bytes_default: diskBytes }),
      };
    },
  });
}

/** The operator's own configuration needs no token of a client; for the rest it is like any request. */
function startAutostart({ options: { config }, identity, previous, context }: Parts, issuer: Signer): void {
  const own: ActionContext = {
    ...context,
    deployFacts: (namespace) => ({ ...context.deployFacts(namespace), requireBoundClaims: false }),
  };
  const restored = new Set(previous.deploys.map(({ autostart: digest }) => digest));
  const entries = config.autostart?.workloads ?? [];
  const missing = entries.filter((entry) => !restored.has(digestOfEntry(entry)));
  void autostart(missing, issuer, {
    nodeId: identity.id,
    xkey: identity.xkey.publicKey,
    reporter: context.reporter,
    deploy: (namespace, body, entryDigest) => deploy(own, namespace, body, entryDigest),
  });
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
