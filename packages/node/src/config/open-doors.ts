/** Finds what a configuration leaves open, for a line each in the log at start. */
import { isIP, isIPv4 } from "node:net";
import { isInside, isMetadata } from "@nexengine/machines";
import { type EgressRule, parseEgressRule, type Sandbox } from "@nexengine/protocol/messages";
import type { Logger } from "pino";
import type { NodeConfig } from "./config.ts";
import { listenAddress } from "./http.ts";
import { rulesOf } from "./namespaces.ts";

/** An open door of a configuration. */
export interface OpenDoor {
  /** Key that closes it. */
  key: string;
  /** Who can use it, and for what. */
  text: string;
}

/** Logs each open door. */
export function reportOpenDoors(config: NodeConfig, sandbox: Sandbox, log: Logger): void {
  for (const { key, text } of openDoors(config, sandbox)) log.info({ key }, `open door: ${text}`);
}

/** Finds the open doors of a configuration with this kind of machine. */
export function openDoors(config: NodeConfig, sandbox: Sandbox): OpenDoor[] {
  return [
    ...sandboxDoors(config, sandbox),
    ...peopleDoors(config),
    ...config.http_allow.filter(leadsInside).map((entry) => ({
      key: "http_allow",
      text: `functions may send requests to ${entry}, which is of the inside`,
    })),
    ...egressDoors(config, sandbox),
  ];
}

function sandboxDoors(config: NodeConfig, sandbox: Sandbox): OpenDoor[] {
  if (sandbox !== "process") return [];
  const key = config.no_sandbox === true ? "no_sandbox" : "sandbox";
  return [{ key, text: "workloads are plain processes of this host, and nothing holds them" }];
}

function peopleDoors(config: NodeConfig): OpenDoor[] {
  const doors: OpenDoor[] = [];
  const names = [undefined, ...Object.keys(config.namespaces ?? {})];
  for (const name of names) {
    if (rulesOf(config, name).validIssuers.length > 0) continue;
    const where = name === undefined ? "" : ` into the namespace "${name}"`;
    const key = name === undefined ? "valid_issuers" : `namespaces.${name}.valid_issuers`;
    doors.push({ key, text: `whoever may publish a request may deploy${where}, with any key` });
  }
  if (!config.require_bound_claims) {
    const text =
      "a token that is not bound to its request is accepted: who captures one can use it for another";
    doors.push({ key: "require_bound_claims", text });
  }
  if (!config.lameduck_requires_operator) {
    const text = "whoever may publish a request may put this node into lame duck mode for good";
    doors.push({ key: "lameduck_requires_operator", text });
  }
  if (config.request_connections === "any") {
    const text = "a request may have this node connect to any NATS server that it names";
    doors.push({ key: "request_connections", text });
  }
  if (isIP(config.publish_address) !== 0 && !isLoopback(config.publish_address)) {
    const text = `published ports are reached from other hosts, at ${config.publish_address}`;
    doors.push({ key: "publish_address", text });
  }
  const { host = "" } = listenAddress(config.http?.listen ?? "") ?? {};
  if (isIP(host) !== 0 && !isLoopback(host)) {
    const text = `functions are reached by HTTP from other hosts, at ${config.http?.listen}`;
    doors.push({ key: "http.listen", text });
  }
  return doors;
}

const isLoopback = (address: string): boolean => /^(?:127\.|::1$)/.test(address);

function egressDoors(config: NodeConfig, sandbox: Sandbox): OpenDoor[] {
  if (sandbox === "process") return [];
  return [undefined, ...Object.keys(config.namespaces ?? {})].flatMap((name) => {
    const { max } = rulesOf(config, name).limits;
    const key = `${name === undefined ? "" : `namespaces.${name}.`}limits.max`;
    const where = name === undefined ? "" : ` of the namespace "${name}"`;
    if (max.network !== undefined && max.network !== "egress") return [];
    if (max.egress_allow === undefined) {
      const text = `a workload${where} may ask for a way to any address of the outside`;
      return [{ key: `${key}.network`, text }];
    }
    return max.egress_allow.filter(leadsInsideByRule).map((entry) => ({
      key: `${key}.egress_allow`,
      text: `a workload${where} may reach ${entry}, ${isOfMetadata(entry) ? "an address of a cloud's secrets" : "which is of the inside"}`,
    }));
  });
}

/** @param entry Entry of `http_allow`: a network, an address, or `host:port`. */
function leadsInside(entry: string): boolean {
  const [, host = entry] = /^\[?([^\]]+?)\]?:\d+$/.exec(entry) ?? [];
  const address = isIP(host) === 0 ? (entry.split("/")[0] ?? "") : host;
  // A name is only listed because it is private.
  return isIP(address) === 0 || isInside(address) || entry.endsWith("/0");
}

function leadsInsideByRule(entry: string): boolean {
  const rule = parseEgressRule(entry);
  return isAddress(rule) && rule.prefixBits >= 8 && isInside(rule.address);
}

function isOfMetadata(entry: string): boolean {
  const rule = parseEgressRule(entry);
  return isAddress(rule) && rule.prefixBits === 32 && isMetadata(rule.address);
}

function isAddress(rule: EgressRule): rule is Extract<EgressRule, { kind: "address" }> {
  return rule.kind === "address" && isIPv4(rule.address);
}
